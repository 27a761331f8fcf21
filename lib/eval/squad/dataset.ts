/**
 * Reads SQuAD's JSON (v1.1 and v2.0, plain or gzip) and checks it. The file counts in Unicode code points, this package
 * in UTF-16 units, so starts are converted here.
 */
import { setImmediate } from 'node:timers/promises';
import * as z from 'zod';
import { ApolloError } from '../../errors.js';
import { readJson } from './json.js';

export interface SquadAnswer {
  readonly text: string;
  /**
   * UTF-16 offset in the context; undefined where the context does not hold the text at the place that the file names.
   * Such an answer can be scored against, not trained on.
   */
  readonly start: number | undefined;
}

export interface SquadQuestion {
  readonly id: string;
  readonly title: string;
  readonly question: string;
  readonly context: string;
  readonly answers: readonly SquadAnswer[];
  /** The file says that the context holds no answer (v2.0). */
  readonly impossible: boolean;
}

export interface SquadDataset {
  /** As the file has it, '1.1' or 'v2.0'; '' without one. */
  readonly version: string;
  readonly articles: number;
  readonly paragraphs: number;
  readonly questions: readonly SquadQuestion[];
  /** Places of answers whose text does not stand where answer_start says: `data[0].paragraphs[2].qas[1].answers[0]`. */
  readonly misplaced: readonly string[];
}

const answer = z.looseObject({ text: z.string(), answer_start: z.int().min(0) });
const qaSchema = z.looseObject({
  id: z.string().min(1),
  question: z.string(),
  answers: z.array(answer).default([]),
  is_impossible: z.boolean().default(false),
});
const paragraph = z.looseObject({ context: z.string(), qas: z.array(qaSchema) });
const article = z.looseObject({ title: z.string().default(''), paragraphs: z.array(paragraph) });
const file = z.looseObject({ version: z.string().default(''), data: z.array(z.unknown()) });

/** Milliseconds of work between two breaks. */
const pieceMs = 20;

/**
 * The questions of a file, in its order.
 * ```ts
 * const { questions } = await readSquad('dev-v2.0.json');
 * ```
 * @throws ApolloError BAD_CORPUS for a file that cannot be read, is not JSON, or has another layout, with the place in
 * the JSON: `dev.json: data[0].paragraphs[3].qas[1].answers[0].answer_start: ...`; for an id that stands twice and for
 * a file without questions. ABORT_ERR when the signal fires.
 */
export async function readSquad(path: string, options: { readonly signal?: AbortSignal } = {}): Promise<SquadDataset> {
  const reading = new Reading(await readJson(path, options), path);
  let started = performance.now();
  while (reading.next()) {
    if (performance.now() - started < pieceMs) continue;
    await setImmediate();
    if (options.signal?.aborted) throw new ApolloError('ABORT_ERR', `Reading ${path} was stopped.`);
    started = performance.now();
  }
  return reading.dataset();
}

/** As readSquad, from JSON that has been parsed; `name` is what errors call it. */
export function parseSquad(json: unknown, name: string): SquadDataset {
  const reading = new Reading(json, name);
  while (reading.next());
  return reading.dataset();
}

/** A file on the way from JSON to questions, article by article. */
class Reading {
  readonly #name: string;
  readonly #version: string;
  readonly #articles: readonly unknown[];
  #done = 0;
  #paragraphs = 0;
  readonly #questions: SquadQuestion[] = [];
  readonly #misplaced: string[] = [];
  /** Where each id stands. */
  readonly #places = new Map<string, string>();

  constructor(json: unknown, name: string) {
    const parsed = file.safeParse(json);
    if (!parsed.success) throw layoutError(parsed.error, [], name);
    this.#name = name;
    this.#version = parsed.data.version;
    this.#articles = parsed.data.data;
  }

  /** Takes one more article; false when there is none. */
  next(): boolean {
    if (this.#done === this.#articles.length) return false;
    const place = ['data', this.#done];
    const parsed = article.safeParse(this.#articles[this.#done++]);
    if (!parsed.success) throw layoutError(parsed.error, place, this.#name);
    const { title, paragraphs } = parsed.data;
    this.#paragraphs += paragraphs.length;
    for (const [p, { context, qas }] of paragraphs.entries()) {
      const offsets = codePointOffsets(context);
      for (const [q, qa] of qas.entries()) {
        this.#add(qa, { title, context, offsets }, z.core.toDotPath([...place, 'paragraphs', p, 'qas', q]));
      }
    }
    return true;
  }

  #add(
    { id, question, answers, is_impossible: impossible }: z.output<typeof qaSchema>,
    { title, context, offsets }: { title: string; context: string; offsets: ReturnType<typeof codePointOffsets> },
    place: string,
  ): void {
    const earlier = this.#places.get(id);
    if (earlier !== undefined)
      throw bad(`${this.#name}: ${place}.id: "${id}" is also the id of ${earlier}. Every question needs its own.`);
    this.#places.set(id, place);
    if (impossible && answers.length > 0)
      throw bad(`${this.#name}: ${place}: is_impossible is true, yet there are answers. Remove one of the two.`);
    const placed = answers.map(({ text, answer_start }, i) => {
      const start = offsets(answer_start);
      const found = start !== undefined && text !== '' && context.startsWith(text, start);
      if (!found) this.#misplaced.push(`${place}.answers[${i}]`);
      return { text, start: found ? start : undefined };
    });
    this.#questions.push({ id, title, question, context, answers: placed, impossible });
  }

  /** All that was read. */
  dataset(): SquadDataset {
    if (this.#questions.length === 0)
      throw bad(`${this.#name} holds no questions: data[].paragraphs[].qas is empty throughout.`);
    return {
      version: this.#version,
      articles: this.#articles.length,
      paragraphs: this.#paragraphs,
      questions: this.#questions,
      misplaced: this.#misplaced,
    };
  }
}

/**
 * A function from an offset in code points to one in UTF-16 units; undefined beyond the end. Text without surrogate
 * pairs, nearly all of it, needs no table.
 */
export function codePointOffsets(text: string): (codePoints: number) => number | undefined {
  if (!/[\ud800-\udbff][\udc00-\udfff]/.test(text)) return (count) => (count <= text.length ? count : undefined);
  const starts: number[] = [];
  let units = 0;
  for (const character of text) {
    starts.push(units);
    units += character.length;
  }
  starts.push(units);
  return (count) => starts[count];
}

function layoutError(error: z.ZodError, place: readonly PropertyKey[], name: string): ApolloError {
  const [first] = error.issues;
  const path = [...place, ...(first?.path ?? [])];
  if (path.length === 0 || (path.length === 1 && first?.message.endsWith('received undefined'))) {
    return bad(
      `${name} is not in SQuAD's layout: expected an object with "data", a list of articles ` +
        '({"data": [{"title", "paragraphs": [{"context", "qas": [{"id", "question", "answers"}]}]}]}).',
    );
  }
  const others = error.issues.length - 1;
  const rest = others === 0 ? '' : ` (and ${others} more of the kind)`;
  const message = first?.message.replace(/^Invalid input: (expected .*), received undefined$/, 'is missing, $1');
  return bad(`${name}: ${z.core.toDotPath(path)}: ${message}${rest}. See the layout in docs/squad.md.`);
}

function bad(message: string): ApolloError {
  return new ApolloError('BAD_CORPUS', message);
}

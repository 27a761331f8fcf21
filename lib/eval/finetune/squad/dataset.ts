/**
 * Reads SQuAD's JSON (v1.1 and v2.0), or the flat layout of Hugging Face's datasets (a list of questions, or JSON lines),
 * plain or packed. Irregular entries are read where their meaning is unambiguous, and otherwise left out and counted. The file
 * counts in Unicode code points, this package in UTF-16 units, so starts are converted here.
 */
import { setImmediate } from 'node:timers/promises';
import { ApolloError } from '../../../errors.js';
import * as is from '../../../is.js';
import { readJson } from './json.js';

/** An answer as the data set gives it. */
export interface SquadAnswer {
  /** The answer as it is written in the context. */
  readonly text: string;
  /**
   * UTF-16 offset in the context; undefined where the context does not hold the text at the place that the file names.
   * Such an answer can be scored against, not trained on.
   */
  readonly start: number | undefined;
}

/** A question with its context and its answers. */
export interface SquadQuestion {
  /** Unique in the file; predictions and scores refer to the question by it. */
  readonly id: string;
  /** Title of the article; '' where the file has none. */
  readonly title: string;
  /** Text of the question. */
  readonly question: string;
  /** The paragraph in which the answer is looked for. */
  readonly context: string;
  /** Accepted answers; empty where there is none, or where the file holds no labels. */
  readonly answers: readonly SquadAnswer[];
  /** The file says that the context holds no answer (v2.0). */
  readonly impossible: boolean;
}

/** The questions of a file, and what of it was left out. */
export interface SquadDataset {
  /** As the file has it, '1.1' or 'v2.0'; '' without one. */
  readonly version: string;
  /** Number of articles; the flat layout counts one for each change of the title. */
  readonly articles: number;
  /** Number of paragraphs, skipped ones included; the flat layout counts one for each change of the context. */
  readonly paragraphs: number;
  /** The questions that could be read, in the order of the file. */
  readonly questions: readonly SquadQuestion[];
  /** Whether any question has an answer or is marked as impossible. Empty lists of answers alone may as well be missing labels. */
  readonly isLabelled: boolean;
  /** Places of answers whose text is not where answer_start says: `data[0].paragraphs[2].qas[1].answers[0]`. */
  readonly misplaced: readonly string[];
  /** Number of skipped entries, by reason. */
  readonly skipped: readonly Skipped[];
}

/** Skipped questions or answers, and why. */
export interface Skipped {
  /** "without an id". */
  readonly reason: string;
  /** Number of entries skipped for this reason. */
  readonly count: number;
  /** Place of the first one: `data[0].paragraphs[2].qas[1]`. */
  readonly first: string;
}

/** Milliseconds of work between two breaks. */
const pieceMs = 20;

const takesReadSquad = is.takes('readSquad', {
  path: is.path,
  options: is.options({ signal: is.optional(is.signal) }),
});

/**
 * The questions of a file, in its order.
 * @param path The file, JSON or JSON Lines, packed or not.
 * @param options How the reading is stopped.
 * @example
 * ```ts
 * const { questions } = await squad.readSquad('dev-v2.0.json');
 * ```
 * @throws ApolloError BAD_CORPUS for a file that cannot be read, is not JSON, has another layout, or holds no question
 * that can be read, with the place of the first that cannot. ABORT_ERR when the signal fires.
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export async function readSquad(
  path: string,
  options: {
    /** Stops the reading with ABORT_ERR. */
    readonly signal?: AbortSignal;
  } = {},
): Promise<SquadDataset> {
  takesReadSquad(path, options);

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

const isJson = (value: unknown): boolean => !['undefined', 'function', 'symbol'].includes(typeof value);

const takesParseSquad = is.takes('parseSquad', { json: is.kind('a parsed JSON value', isJson), name: is.string });

/**
 * As readSquad, from JSON that has been parsed; `name` is what errors call it.
 * @example
 * const { questions } = squad.parseSquad(JSON.parse(await readFile('dev-v1.1.json', 'utf8')), 'dev-v1.1.json');
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function parseSquad(json: unknown, name: string): SquadDataset {
  takesParseSquad(json, name);

  const reading = new Reading(json, name);
  while (reading.next());
  return reading.dataset();
}

type Fields = Readonly<Record<string, unknown>>;

const isFields = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** A text and its questions, on the way. */
interface Paragraph {
  readonly title: string;
  readonly context: string;
  readonly offsets: ReturnType<typeof codePointOffsets>;
  /** Whether questions come as Hugging Face's datasets have them, where a list of no answers says that there is none. */
  readonly isFlat: boolean;
}

/** A file on the way from JSON to questions, article by article. */
class Reading {
  readonly #name: string;
  readonly #version: string;
  /** Articles, or questions of the flat layout. */
  readonly #entries: readonly unknown[];
  readonly #root: string;
  #done = 0;
  #articles = 0;
  #paragraphs = 0;
  #isLabelled = false;
  readonly #questions: SquadQuestion[] = [];
  readonly #misplaced: string[] = [];
  readonly #skipped = new Map<string, { count: number; first: string }>();
  readonly #byId = new Map<string, SquadQuestion>();

  constructor(json: unknown, name: string) {
    this.#name = name;
    const data = isFields(json) ? json['data'] : json;
    const entries = isFields(json) && isQuestion(json) ? [json] : data;
    if (
      !Array.isArray(entries) ||
      (!isFields(json) && !entries.some((entry) => isQuestion(entry) || isArticle(entry)))
    ) {
      throw bad(
        `${name} is not in SQuAD's layout: expected an object with "data", a list of articles ` +
          '({"data": [{"title", "paragraphs": [{"context", "qas": [{"id", "question", "answers"}]}]}]}), or a list of ' +
          'questions as in Hugging Face\'s datasets ({"id", "context", "question", "answers": {"text", "answer_start"}}).',
      );
    }
    this.#version = isFields(json) ? (wordOf(json['version']) ?? '') : '';
    this.#entries = entries;
    this.#root = entries === data && isFields(json) ? 'data' : '';
  }

  /** Takes one more article; false when there is none. */
  next(): boolean {
    if (this.#done === this.#entries.length) return false;
    const place = `${this.#root}[${this.#done}]`;
    const entry = this.#entries[this.#done++];
    if (isFields(entry) && isQuestion(entry)) {
      this.#takeFlat(entry, place);
    } else if (isArticle(entry)) {
      this.#articles++;
      const title = wordOf(entry['title']) ?? '';
      for (const [i, paragraph] of entry.paragraphs.entries())
        this.#takeParagraph(paragraph, title, `${place}.paragraphs[${i}]`);
    } else {
      this.#skip('articles without a list of paragraphs', place);
    }
    return true;
  }

  #takeFlat(entry: Fields, place: string): void {
    const { context } = entry;
    if (typeof context !== 'string') return this.#skip('questions without a context', place);
    const last = this.#questions.at(-1);
    if (last?.context !== context) this.#paragraphs++;
    const title = wordOf(entry['title']) ?? '';
    if (last === undefined || last.title !== title) this.#articles++;
    this.#takeQuestion(entry, { title, context, offsets: codePointOffsets(context), isFlat: true }, place);
  }

  #takeParagraph(paragraph: unknown, title: string, place: string): void {
    this.#paragraphs++;
    const { context, qas } = isFields(paragraph) ? paragraph : {};
    if (!Array.isArray(qas)) return this.#skip('paragraphs without a list of questions', place);
    if (typeof context !== 'string') {
      for (const i of qas.keys()) this.#skip('questions without a context', `${place}.qas[${i}]`);
      return;
    }
    const shared = { title, context, offsets: codePointOffsets(context), isFlat: false };
    for (const [i, qa] of qas.entries()) this.#takeQuestion(qa, shared, `${place}.qas[${i}]`);
  }

  #takeQuestion(qa: unknown, { title, context, offsets, isFlat }: Paragraph, place: string): void {
    if (!isFields(qa)) return this.#skip('questions that are not objects', place);
    const id = wordOf(qa['id']);
    const { question } = qa;
    if (id === undefined || id === '') return this.#skip('questions without an id', place);
    if (typeof question !== 'string') return this.#skip('questions without a text', place);
    const given = answersOf(qa['answers']);
    const texts = given?.filter(({ text }) => typeof text === 'string') ?? [];
    if (given === undefined || texts.length < given.length) {
      this.#skip(texts.length > 0 ? 'answers without a text' : 'questions with answers without a text', place);
      if (texts.length === 0) return;
    }
    const says = flagOf(qa['is_impossible']);
    if (says === 'unclear' && texts.length === 0)
      return this.#skip('questions whose is_impossible is neither true nor false', place);
    if (says === true && texts.length > 0)
      return this.#skip('questions that are marked as impossible, yet have answers', place);
    const impossible =
      says === true || (isFlat && says === undefined && given?.length === 0 && isFields(qa['answers']));

    const misplaced: string[] = [];
    const answers = texts.map(({ text: value, start: stated, place: inside }): SquadAnswer => {
      const text = value as string;
      const start = stated === undefined ? undefined : offsets(stated);
      const found = start !== undefined && text !== '' && context.startsWith(text, start);
      if (!found) misplaced.push(`${place}.${inside}`);
      return { text, start: found ? start : undefined };
    });
    const read: SquadQuestion = { id, title, question, context, answers, impossible };
    const earlier = this.#byId.get(id);
    if (earlier !== undefined) {
      const same = earlier.question === question && earlier.context === context;
      return this.#skip(same ? 'duplicate questions' : 'questions with the id of another one', place);
    }
    this.#byId.set(id, read);
    this.#questions.push(read);
    this.#isLabelled ||= answers.length > 0 || says === true;
    this.#misplaced.push(...misplaced);
  }

  #skip(reason: string, place: string): void {
    const known = this.#skipped.get(reason);
    if (known) known.count++;
    else this.#skipped.set(reason, { count: 1, first: place });
  }

  /** All that was read. */
  dataset(): SquadDataset {
    const skipped = [...this.#skipped].map(([reason, found]) => ({ reason, ...found }));
    if (this.#questions.length === 0) {
      throw bad(
        skipped.length > 0
          ? `${this.#name} holds no question that can be read: ${describeSkipped(skipped)}. See the layout in docs/squad.md.`
          : `${this.#name} holds no questions: data[].paragraphs[].qas is empty throughout.`,
      );
    }
    return {
      version: this.#version,
      articles: this.#articles,
      paragraphs: this.#paragraphs,
      questions: this.#questions,
      isLabelled: this.#isLabelled,
      misplaced: this.#misplaced,
      skipped,
    };
  }
}

/** "2 questions without an id (the first is data[0].paragraphs[0].qas[3])". */
export function describeSkipped(skipped: readonly Skipped[]): string {
  return skipped.map(({ reason, count, first }) => `${count} ${reason} (the first is ${first})`).join('; ');
}

/** Whether an entry is a question of the flat layout. */
function isQuestion(entry: unknown): boolean {
  return isFields(entry) && 'question' in entry && 'context' in entry;
}

function isArticle(entry: unknown): entry is Fields & { readonly paragraphs: readonly unknown[] } {
  return isFields(entry) && Array.isArray(entry['paragraphs']);
}

/** A name as text, where it is text or a number. */
function wordOf(value: unknown): string | undefined {
  if (typeof value === 'string') return value;
  return typeof value === 'number' && Number.isFinite(value) ? String(value) : undefined;
}

function flagOf(value: unknown): boolean | 'unclear' | undefined {
  if (value === undefined || value === null) return undefined;
  if (value === true || value === 1 || value === 'true') return true;
  return value === false || value === 0 || value === 'false' ? false : 'unclear';
}

interface StatedAnswer {
  readonly text: unknown;
  /** Code points before it; undefined where the file does not say. */
  readonly start: number | undefined;
  /** In its question. */
  readonly place: string;
}

/** Answers as a list of objects, or as Hugging Face has them, an object of lists; undefined for anything else. */
function answersOf(value: unknown): StatedAnswer[] | undefined {
  if (value === undefined || value === null) return [];
  if (Array.isArray(value)) {
    return value.map((answer: unknown, i) => {
      const { text, answer_start: start } = isFields(answer) ? answer : {};
      return { text, start: startOf(start), place: `answers[${i}]` };
    });
  }
  if (!isFields(value)) return undefined;
  const { text, answer_start: starts } = value;
  const texts: unknown[] = Array.isArray(text) ? text : [text];
  const places: unknown[] = Array.isArray(starts) ? starts : [starts];
  return texts.map((each, i) => ({ text: each, start: startOf(places[i]), place: `answers.text[${i}]` }));
}

function startOf(value: unknown): number | undefined {
  const number = typeof value === 'string' && /^\d+$/.test(value) ? Number(value) : value;
  return typeof number === 'number' && Number.isInteger(number) && number >= 0 ? number : undefined;
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

function bad(message: string): ApolloError {
  return new ApolloError('BAD_CORPUS', message);
}

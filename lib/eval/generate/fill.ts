/** Masked words that a BERT fills in. */
import type { Tokenizer } from '../../data/index.js';
import { Graph, type Program } from '../../engine/index.js';
import { ApolloError, check } from '../../errors.js';
import * as is from '../../is.js';
import { familyOf, modelWeights } from '../../models/index.js';
import type { TrainedModel } from '../trained.js';
import { candidates, checkSampling } from './sampling.js';

/** Options of {@link fillMask}. */
export interface FillOptions {
  /** Candidates for each mask. Default 5. */
  readonly topK?: number;
  /** Ends the run with ABORT_ERR. */
  readonly signal?: AbortSignal | undefined;
}

/** A token for a mask. */
export interface FillCandidate {
  /** Id of the token. */
  readonly token: number;
  /** As the vocabulary spells it; `##` marks a piece that continues a word. */
  readonly text: string;
  /** Probability of the token at the mask among all tokens of the vocabulary, from 0 to 1. */
  readonly probability: number;
  /** The text with this candidate in the mask's place, and the most likely candidates in the other masks. */
  readonly sentence: string;
}

/** Candidates for one mask, the most likely first. */
export interface FilledMask {
  /** Which mask of the text, from 0. */
  readonly mask: number;
  /** As many as `topK` says, or as the vocabulary has. */
  readonly candidates: readonly FillCandidate[];
}

/** Texts are padded to a power of two, at least this long, so that few programs serve all. */
const shortest = 16;

const takesFillMask = is.takes('fillMask', {
  trained: is.trainedModel,
  text: is.string,
  options: is.options({ topK: is.optional(is.number), signal: is.optional(is.signal) }),
});

/**
 * BERT's candidates for the masked words of `text`, each mask predicted separately from the words around it.
 * ```ts
 * const [mask] = await fillMask(await loadModel(device, 'runs/bert'), 'The [MASK] sat on the mat.');
 * mask?.candidates[0]?.sentence; // 'The cat sat on the mat.'
 * ```
 * @throws ApolloError BAD_ARGUMENT (a GPT, a text without a mask or longer than the model's positions, no tokenizer),
 * BAD_TOKENIZER when the tokenizer has no mask, NON_FINITE, ABORT_ERR.
 */
export async function fillMask(trained: TrainedModel, text: string, options: FillOptions = {}): Promise<FilledMask[]> {
  takesFillMask(trained, text, options);
  const { topK = 5, signal } = options;
  const { vocabSize, maxPositions } = trained.model.config;
  const { objective, title } = familyOf(trained.model.config);
  check(
    objective === 'masked',
    `Only a masked model (BERT) fills in masked words; this model is a ${title}, which generates text.`,
  );
  check(Number.isInteger(topK) && topK > 0, `topK must be a positive whole number; got ${topK}.`);
  const { tokenizer } = trained;
  check(tokenizer, 'This model has no tokenizer, so it cannot read text.');
  const { mask, cls, sep, pad = 0 } = tokenizer.specials;
  if (mask === undefined || cls === undefined || sep === undefined) {
    throw new ApolloError('BAD_TOKENIZER', "The model's tokenizer lacks one of the tokens [MASK], [CLS] and [SEP].");
  }
  const ids = [cls, ...tokenizer.encode(text), sep];
  check(
    ids.length <= maxPositions,
    `The text has ${ids.length} tokens with [CLS] and [SEP], and the model ${maxPositions} positions. Shorten it.`,
  );
  const masks = ids.flatMap((id, position) => (id === mask ? [position] : []));
  const spelled = spelling(tokenizer, mask);
  check(masks.length > 0, `The text has no ${spelled}: write ${spelled} in place of the missing word.`);

  const seq = Math.min(maxPositions, roundUp(ids.length, shortest));
  const targets = roundUp(masks.length, 1);
  using program = await compile(trained, seq, targets);
  const padded = (values: readonly number[], length: number, filler: number) =>
    Int32Array.from({ length }, (_, i) => values[i] ?? filler);
  const inputs = {
    tokens: padded(ids, seq, pad),
    mask: padded(
      ids.map(() => 1),
      seq,
      0,
    ),
    rows: padded(masks, targets, 0),
  };
  const { outputs } = await program.run(inputs, signal ? { signal } : {});
  const logits = outputs['logits'] as Float32Array;
  const found = masks.map((_, i) => mostLikely(logits.subarray(i * vocabSize, (i + 1) * vocabSize), topK));
  const wordOf = words(tokenizer);
  const best = found.map(([first]) => wordOf(first!.token));
  return found.map((tokens, place) => ({
    mask: place,
    candidates: tokens.map(({ token, probability }) => {
      const words = best.map((word, i) => (i === place ? wordOf(token) : word));
      return { token, text: spelling(tokenizer, token), probability, sentence: filled(text, spelled, words) };
    }),
  }));
}

/** The smallest power of two that is at least `count` and `least`. */
function roundUp(count: number, least: number): number {
  let size = least;
  while (size < count) size *= 2;
  return size;
}

function compile({ model, store, layerMap }: TrainedModel, seq: number, targets: number): Promise<Program> {
  const graph = new Graph();
  const weights = modelWeights(graph, model, store.precision);
  graph.output('logits', model.predict(graph, weights, { batch: 1, seq, targets, padding: true }, { layerMap }));
  return store.device.compile(graph, { store });
}

/** The k most likely tokens with their probabilities among all tokens. */
function mostLikely(logits: Float32Array, k: number): { token: number; probability: number }[] {
  const { ids, probabilities } = candidates(logits, checkSampling({}));
  const order = [...ids].sort((a, b) => probabilities[b]! - probabilities[a]! || a - b).slice(0, k);
  return order.map((token) => ({ token, probability: probabilities[token]! }));
}

/** A token as the vocabulary spells it. */
function spelling(tokenizer: Tokenizer, token: number): string {
  return tokenizer.tokenOf(token) ?? `[${token}]`;
}

/** A token as text, and how it joins what is before it. */
interface Word {
  readonly text: string;
  /**
   * 'blank': it starts a word and gets a blank in front, unless one is there or the text starts here; 'none': it continues
   * the word before it; 'as it is': the vocabulary does not say.
   */
  readonly before: 'blank' | 'none' | 'as it is';
}

/** The type of a part of a tokenizer's pipeline that writes blanks as a mark, and the mark. */
function blankMark({ definition }: Tokenizer): string | undefined {
  const find = (part: unknown): string | undefined => {
    if (typeof part !== 'object' || part === null) return undefined;
    const { type, replacement, pattern, content } = part as Record<string, unknown>;
    if (type === 'Metaspace') return typeof replacement === 'string' ? replacement : '\u2581';
    if (type === 'Replace' && (pattern as { String?: unknown } | undefined)?.String === ' ') return content as string;
    return Object.values(part)
      .map(find)
      .find((mark) => mark !== undefined);
  };
  return find(definition.pre_tokenizer) ?? find(definition.normalizer);
}

/** How tokens are written in a sentence: without the marks of the vocabulary (`##`, U+2581, `Ġ`) for blanks and their lack. */
function words(tokenizer: Tokenizer): (token: number) => Word {
  const mark = blankMark(tokenizer);
  const special = new Set(tokenizer.specialIds);
  return (token) => {
    const spelled = spelling(tokenizer, token);
    if (special.has(token)) return { text: spelled, before: 'as it is' };
    if (tokenizer.kind === 'bpe') return joining(tokenizer.decode([token]));
    if (mark !== undefined) return joining(spelled.replaceAll(mark, ' '));
    return spelled.startsWith('##')
      ? { text: spelled.slice(2), before: 'none' }
      : { text: spelled, before: 'as it is' };
  };
}

/** A piece of text in which blanks are written out. */
function joining(piece: string): Word {
  return piece.startsWith(' ') ? { text: piece.slice(1), before: 'blank' } : { text: piece, before: 'none' };
}

/** The text with words in the places of its masks. */
function filled(text: string, mask: string, words: readonly Word[]): string {
  const [first = '', ...rest] = text.split(mask);
  return rest.reduce((joined, part, i) => {
    const { text: word, before } = words[i]!;
    if (before === 'as it is') return joined + word + part;
    const start = joined.trimEnd();
    return `${start}${before === 'blank' && start !== '' ? ' ' : ''}${word}${part}`;
  }, first);
}

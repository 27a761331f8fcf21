/**
 * Batches as pure functions of (seed, step, micro): training can stop anywhere and go on, and methods that are
 * compared see the same tokens and masks. A source is cut into blocks of one row each; every epoch visits every block
 * once, in an order of its own (permutation.ts); the remainder that fills no row is left out. Of a mixture each part is
 * cut and has epochs by itself, and rows are dealt out by shares (mixture.ts).
 */
import { ApolloError, check } from '../../errors.js';
import * as is from '../../is.js';
import { type MaskRules, maskedRow } from './masking.js';
import { createDealer, roundRows } from './mixture.js';
import { epochOrder } from './permutation.js';
import type { TokenSource } from './token-source.js';

/**
 * Label of a position that has none; the losses leave it out.
 * @example
 * const labels = new Int32Array(8).fill(noLabel);
 */
export const noLabel = -100;

/** Which batch of a source, and its size. */
export interface BatchOptions {
  /** Rows. */
  readonly batch: number;
  /** Tokens per row, T. */
  readonly seq: number;
  /** Whole number from which the order of the blocks in each epoch follows, the masks of a masked batch as well. */
  readonly seed: number;
  /** Optimizer step, from 0. */
  readonly step: number;
  /** Which of the step's micro-batches, from 0. */
  readonly micro?: number;
  /** Micro-batches per step. 2 of batch 8 hold the same rows as 1 of batch 16. */
  readonly accumulation?: number;
}

/** A batch for next-token prediction. */
export interface CausalBatch {
  /** Token ids, `[B, T]`. */
  readonly tokens: Int32Array;
  /** `[B * T]`: the next token of the row; -100 at its last position. */
  readonly labels: Int32Array;
}

/** Which batch of a source, its size, and the ids that masking needs (from {@link mlmIds}). */
export interface MlmOptions extends BatchOptions, MaskRules {
  /** Id of the token at the start of each row, [CLS]. */
  readonly clsId: number;
  /** Id of the token at the end of each row, [SEP]. */
  readonly sepId: number;
  /** Masked positions a batch has room for, P; see mlmCapacity. Masks beyond it are not made. */
  readonly targets: number;
}

/** A batch for masked language modelling. */
export interface MlmBatch {
  /** `[B, T]`, each row [CLS] ... [SEP], masks applied. */
  readonly tokens: Int32Array;
  /** `[P]`: flat places in tokens of the masked positions, ascending; unused ones are 0. */
  readonly positions: Int32Array;
  /** `[P]`: the tokens that stood there; unused ones are -100. */
  readonly labels: Int32Array;
}

const sizes = { batch: is.count, seq: is.count };
const place = { seed: is.integer, step: is.index, micro: is.optional(is.index), accumulation: is.optional(is.count) };
const masks = {
  seed: is.integer,
  clsId: is.index,
  sepId: is.index,
  targets: is.count,
  maskId: is.index,
  vocabSize: is.count,
  specialIds: is.list(is.index),
};
const takesCausalBatch = is.takes('causalBatch', {
  source: is.tokenSource,
  options: is.options({ ...sizes, ...place }),
});
const takesMlmBatch = is.takes('mlmBatch', {
  source: is.tokenSource,
  options: is.options({ ...sizes, ...place, ...masks }),
});
const takesMlmCapacity = is.takes('mlmCapacity', { positions: is.count, rows: is.index });
const evaluationBatches = is.optional(is.positive);
const takesHeldOutCausal = is.takes('heldOutCausalBatches', {
  source: is.tokenSource,
  options: is.options({ ...sizes, evaluationBatches }),
});
const takesHeldOutMlm = is.takes('heldOutMlmBatches', {
  source: is.tokenSource,
  options: is.options({ ...sizes, ...masks, evaluationBatches }),
});
const takesBlockCount = is.takes('blockCount', { source: is.tokenSource, content: is.count });

/**
 * A batch for next-token prediction.
 * @example
 * const { tokens, labels } = causalBatch(corpus.train, { batch: 8, seq: 128, seed: 42, step: 0 });
 * @throws ApolloError BAD_ARGUMENT for sizes out of range; BAD_CORPUS when the source does not fill one row.
 */
export function causalBatch(source: TokenSource, options: BatchOptions): CausalBatch {
  takesCausalBatch(source, options);
  const { batch, seq } = options;
  return causalRows(source, rowsOf(options, partsOf(source, seq)), batch, seq);
}

/**
 * A batch for masked language modelling: 15 % of the positions that hold no special token, each chosen by itself, and
 * at least one in each row; 80 % of them become the mask, 10 % a random token, 10 % stay (Devlin et al. 2019, section 3.1). Masks depend on
 * (seed, epoch, block) and not on the batch the block is in.
 * @example
 * const masks = { ...mlmIds(tokenizer), targets: mlmCapacity(8 * 128, 8) };
 * const { tokens, positions, labels } = mlmBatch(corpus.train, { batch: 8, seq: 128, seed: 42, step: 0, ...masks });
 * @throws ApolloError BAD_ARGUMENT for sizes out of range; BAD_CORPUS when the source does not fill one row.
 */
export function mlmBatch(source: TokenSource, options: MlmOptions): MlmBatch {
  takesMlmBatch(source, options);
  return mlmRows(source, rowsOf(options, partsOf(source, options.seq - 2)), options);
}

/**
 * Room for the masked positions of a batch of `positions` tokens in `rows` rows: the mean plus six standard deviations
 * (more are chosen less than once in 10^8 batches), as a multiple of 16, so that shapes are static. That each row has
 * at least one matters for rows of less than ten tokens only.
 * @param positions Tokens of the batch: rows times their length.
 * @param rows Rows of the batch, of which each has a masked token at least. Default: 0, no such rule.
 * @example
 * mlmCapacity(8 * 128, 8) // room for the masks of 8 rows of 128 tokens, a multiple of 16
 */
export function mlmCapacity(positions: number, rows = 0): number {
  takesMlmCapacity(positions, rows);
  const share = 0.15;
  const deviations = (count: number): number => 6 * Math.sqrt(count * share * (1 - share));
  const most = share * positions + deviations(positions);
  const inRow = rows === 0 ? 0 : Math.max(1, positions / rows - 2);
  const atLeastOne = rows * (share * inRow + (1 - share) ** inRow) + deviations(rows * inRow);
  const needed = Math.max(most, Math.min(atLeastOne, rows * inRow));
  return Math.min(16 * Math.ceil(needed / 16), 16 * Math.ceil(positions / 16));
}

/** Settings of held-out batches: fixed, so without step and micro. */
export interface HeldOutOptions {
  /** Rows per batch, B. */
  readonly batch: number;
  /** Tokens per row, T; of masked batches [CLS] and [SEP] included. */
  readonly seq: number;
  /** At most this many batches, spread evenly over the source; all of it when left out. */
  readonly evaluationBatches?: number;
}

/** A fixed list of batches that are made when they are asked for, the same each time. */
export interface BatchList<Batch> {
  readonly count: number;
  at(index: number): Batch;
}

/**
 * All held-out text as a fixed list of batches for next-token prediction. Rows missing in the last batch repeat the
 * first one without labels, so that they do not count. Of a mixture as much as has its shares is taken.
 * @example
 * const batches = heldOutCausalBatches(corpus.heldOut, { batch: 8, seq: 128, evaluationBatches: 4 });
 * @throws ApolloError BAD_CORPUS when the source does not fill one row.
 */
export function heldOutCausalBatches(source: TokenSource, options: HeldOutOptions): CausalBatch[] {
  return allOf(heldOutCausal(source, options));
}

/** The same, each batch made when it is asked for. */
export function heldOutCausal(source: TokenSource, options: HeldOutOptions): BatchList<CausalBatch> {
  takesHeldOutCausal(source, options);
  const { batch, seq, evaluationBatches } = options;
  return batchList(heldOutRows(partsOf(source, seq, true), batch, evaluationBatches), batch, (rows, count) => {
    const made = causalRows(source, rows, batch, seq);
    made.labels.fill(noLabel, count * seq);
    return made;
  });
}

/**
 * The same for masked language modelling; `seed` decides the masks, which are the same on every call.
 * @example
 * const masks = { ...mlmIds(tokenizer), targets: mlmCapacity(8 * 128, 8) };
 * const batches = heldOutMlmBatches(corpus.heldOut, { batch: 8, seq: 128, seed: 0, ...masks });
 */
export function heldOutMlmBatches(
  source: TokenSource,
  options: HeldOutOptions & Omit<MlmOptions, 'step' | 'micro' | 'accumulation'>,
): MlmBatch[] {
  return allOf(heldOutMlm(source, options));
}

/** The same, each batch made when it is asked for. */
export function heldOutMlm(
  source: TokenSource,
  options: HeldOutOptions & Omit<MlmOptions, 'step' | 'micro' | 'accumulation'>,
): BatchList<MlmBatch> {
  takesHeldOutMlm(source, options);
  const { batch, seq, evaluationBatches } = options;
  return batchList(heldOutRows(partsOf(source, seq - 2, true), batch, evaluationBatches), batch, (rows, count) =>
    mlmRows(source, rows, options, count),
  );
}

/** An epoch that training never reaches: held-out masks are drawn as of this one. */
const heldOutEpoch = 2 ** 32 - 1;

/**
 * How many rows of `content` tokens the source gives; of a mixture, all parts together.
 * @example
 * blockCount(arraySource([1, 2, 3, 4, 5], 8), 2) // 2
 */
export function blockCount(source: TokenSource, content: number): number {
  takesBlockCount(source, content);
  return partsOf(source, content).reduce((sum, { blocks }) => sum + blocks, 0);
}

/**
 * How often the parts of a source are gone through by `rows` rows of `content` tokens: 1.5 is once and a half. A source
 * that is no mixture has one part without a name.
 */
export function passes(
  source: TokenSource,
  { rows, content }: { readonly rows: number; readonly content: number },
): { readonly name: string; readonly passes: number }[] {
  const parts = partsOf(source, content);
  return parts.map((part) => ({ name: part.name, passes: (rows * part.rows) / roundRows / part.blocks }));
}

interface Part {
  readonly name: string;
  /** Blocks of `content` tokens that it is cut into, the number of the first one, and its offset. */
  readonly blocks: number;
  readonly firstBlock: number;
  readonly firstToken: number;
  readonly content: number;
  /** Rows of each round of a mixture. */
  readonly rows: number;
}

/** @throws ApolloError BAD_CORPUS when the source, or a part of a mixture, has too few tokens for one row of `content`. */
export function checkHasRows(
  source: TokenSource,
  content: number,
  { isHeldOut }: { readonly isHeldOut: boolean },
): void {
  partsOf(source, content, isHeldOut);
}

function partsOf(source: TokenSource, content: number, isHeldOut = false): Part[] {
  check(Number.isInteger(content) && content >= 1, `A row must hold at least one token of the source; got ${content}.`);
  const whole = { name: '', start: 0, tokenCount: source.tokenCount, rows: roundRows };
  let firstBlock = 0;
  return (source.parts ?? [whole]).map(({ name, start, tokenCount, rows }) => {
    const blocks = Math.floor(tokenCount / content);
    if (blocks < 1) {
      throw new ApolloError(
        'BAD_CORPUS',
        `The source ${name === '' ? '' : `"${name}" `}has ${tokenCount} tokens, too few for one row of ${content}. Add text, ${isHeldOut ? 'hold out more (--held-out), ' : ''}or use shorter rows (--seq). See docs/troubleshooting.md#text-is-too-short.`,
      );
    }
    const part = { name, blocks, firstBlock, firstToken: start, content, rows };
    firstBlock += blocks;
    return part;
  });
}

interface Row {
  readonly epoch: number;
  /** Number of the block among those of all parts. */
  readonly block: number;
  /** Its first token in the source. */
  readonly start: number;
}

function rowOf({ firstBlock, firstToken, content }: Part, epoch: number, block: number): Row {
  return { epoch, block: firstBlock + block, start: firstToken + block * content };
}

/** The rows of a batch. Rows are numbered through all steps; an epoch of a part is as many of its rows as it has blocks. */
function rowsOf({ batch, seed, step, micro = 0, accumulation = 1 }: BatchOptions, parts: readonly Part[]): Row[] {
  check(Number.isInteger(batch) && batch >= 1, `batch must be a whole number >= 1; got ${batch}.`);
  check(Number.isInteger(step) && step >= 0, `step must be a whole number >= 0; got ${step}.`);
  check(
    Number.isInteger(micro) && micro >= 0 && micro < accumulation,
    `micro must be from 0 to accumulation - 1 (${accumulation - 1}); got ${micro}.`,
  );
  const first = (step * accumulation + micro) * batch;
  const deal = createDealer(
    parts.map(({ rows }) => rows),
    seed,
  );
  const orders = parts.map(() => ({ epoch: -1, order: (place: number): number => place }));
  return Array.from({ length: batch }, (_, i) => {
    const { part, index } = deal(first + i);
    const { blocks } = parts[part]!;
    const epoch = Math.floor(index / blocks);
    const current = orders[part]!;
    // Each part has orders of its own: the words of the counter above 2^32 are its number.
    if (current.epoch !== epoch) orders[part] = { epoch, order: epochOrder(blocks, seed, epoch + part * 2 ** 32) };
    return rowOf(parts[part]!, epoch, orders[part]!.order(index % blocks));
  });
}

function causalRows(source: TokenSource, rows: readonly Row[], batch: number, seq: number): CausalBatch {
  const tokens = new Int32Array(batch * seq);
  const labels = new Int32Array(batch * seq).fill(noLabel);
  rows.forEach(({ start }, row) => {
    const ids = source.read(start, seq);
    tokens.set(ids, row * seq);
    labels.set(ids.subarray(1), row * seq);
  });
  return { tokens, labels };
}

/** Rows of [CLS] block [SEP] with masks; only the first `labelled` rows get any. */
function mlmRows(
  source: TokenSource,
  rows: readonly Row[],
  options: Omit<MlmOptions, 'step' | 'micro' | 'accumulation'>,
  labelled = rows.length,
): MlmBatch {
  const { batch, seq, clsId, sepId, targets, seed } = options;
  check(
    Number.isInteger(targets) && targets >= 1,
    `targets must be a whole number >= 1 (see mlmCapacity); got ${targets}.`,
  );
  const content = seq - 2;
  const tokens = new Int32Array(batch * seq);
  const positions = new Int32Array(targets);
  const labels = new Int32Array(targets).fill(noLabel);
  let used = 0;
  rows.forEach(({ epoch, block, start: from }, row) => {
    const ids = source.read(from, content);
    const start = row * seq;
    tokens[start] = clsId;
    tokens.set(ids, start + 1);
    tokens[start + seq - 1] = sepId;
    if (row >= labelled) return;
    for (const { position, token } of maskedRow(ids, options, seed, epoch, block)) {
      if (used === targets) break;
      positions[used] = start + 1 + position;
      labels[used++] = ids[position]!;
      tokens[start + 1 + position] = token;
    }
  });
  return { tokens, positions, labels };
}

/** Rows of each held-out batch: all, or `evaluationBatches` full ones, spread over each part. */
function heldOutRows(parts: readonly Part[], batch: number, evaluationBatches = Number.POSITIVE_INFINITY): Row[][] {
  check(evaluationBatches >= 1, `evaluationBatches must be at least 1; got ${evaluationBatches}.`);
  // As many rows as there are without one twice while the parts keep their shares.
  const rows = Math.max(1, Math.floor(Math.min(...parts.map((part) => (part.blocks * roundRows) / part.rows))));
  const all = Math.ceil(rows / batch);
  const count = Math.min(all, Math.floor(evaluationBatches));
  const used = count === all ? rows : count * batch;
  let dealt = 0; // of a round
  const chosen = parts.flatMap((part) => {
    const before = Math.round((used * dealt) / roundRows);
    dealt += part.rows;
    const share = Math.min(part.blocks, Math.round((used * dealt) / roundRows) - before);
    return Array.from({ length: share }, (_, i) => rowOf(part, heldOutEpoch, Math.floor((i * part.blocks) / share)));
  });
  const batches = Math.ceil(chosen.length / batch);
  return Array.from({ length: batches }, (_, i) => chosen.slice(i * batch, (i + 1) * batch));
}

/** Batches of these rows, which `make` gets with the number of those that count. */
function batchList<Batch>(
  all: readonly (readonly Row[])[],
  batch: number,
  make: (rows: readonly Row[], count: number) => Batch,
): BatchList<Batch> {
  return {
    count: all.length,
    at: (index) => make(fill(all[index]!, batch, all[0]![0]!), all[index]!.length),
  };
}

function allOf<Batch>({ count, at }: BatchList<Batch>): Batch[] {
  return Array.from({ length: count }, (_, index) => at(index));
}

function fill(rows: readonly Row[], batch: number, missing: Row): Row[] {
  return Array.from({ length: batch }, (_, i) => rows[i] ?? missing);
}

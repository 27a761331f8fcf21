/**
 * Batches as pure functions of (seed, step, micro): training can stop anywhere and go on, and methods that are
 * compared see the same tokens and masks. A source is cut into blocks of one row each; every epoch visits every block
 * once, in an order of its own (permutation.ts); the remainder that fills no row is left out.
 */
import { check } from '../errors.js';
import { type MaskRules, maskedRow } from './masking.js';
import { epochOrder } from './permutation.js';
import type { TokenSource } from './token-source.js';

/** Label of a position that has none; the losses leave it out. */
export const noLabel = -100;

export interface BatchOptions {
  /** Rows. */
  readonly batch: number;
  /** Tokens a row, T. */
  readonly seq: number;
  readonly seed: number;
  /** Optimizer step, from 0. */
  readonly step: number;
  /** Which of the step's micro-batches, from 0. */
  readonly micro?: number;
  /** Micro-batches a step. 2 of batch 8 hold the same rows as 1 of batch 16. */
  readonly microBatches?: number;
}

export interface CausalBatch {
  /** [B, T] */
  readonly tokens: Int32Array;
  /** [B * T]: the next token of the row; -100 at its last position. */
  readonly labels: Int32Array;
}

export interface MlmOptions extends BatchOptions, MaskRules {
  readonly clsId: number;
  readonly sepId: number;
  /** Masked positions a batch has room for, P; see mlmCapacity. Masks beyond it are not made. */
  readonly targets: number;
}

export interface MlmBatch {
  /** [B, T], each row [CLS] ... [SEP], masks applied. */
  readonly tokens: Int32Array;
  /** [P]: flat places in tokens of the masked positions, ascending; unused ones are 0. */
  readonly positions: Int32Array;
  /** [P]: the tokens that stood there; unused ones are -100. */
  readonly labels: Int32Array;
}

/**
 * A batch for next-token prediction.
 * @throws ApolloError BAD_ARGUMENT for sizes out of range, or when the source does not fill one row.
 */
export function causalBatch(source: TokenSource, options: BatchOptions): CausalBatch {
  const { batch, seq } = options;
  return causalRows(
    source,
    rowsOf(options, blockCount(source, seq)).map(({ block }) => block),
    batch,
    seq,
  );
}

/**
 * A batch for masked language modelling: 15 % of the positions that hold no special token, each chosen by itself;
 * 80 % of them become the mask, 10 % a random token, 10 % stay (Devlin et al. 2019, section 3.1). Masks depend on
 * (seed, epoch, block) and not on the batch the block is in.
 * @throws ApolloError BAD_ARGUMENT for sizes out of range, or when the source does not fill one row.
 */
export function mlmBatch(source: TokenSource, options: MlmOptions): MlmBatch {
  return mlmRows(source, rowsOf(options, blockCount(source, options.seq - 2)), options);
}

/**
 * Room for the masked positions of a batch of `positions` tokens: the mean plus six standard deviations (more are
 * chosen less than once in 10^8 batches), as a multiple of 16, so that shapes are static.
 */
export function mlmCapacity(positions: number): number {
  const share = 0.15;
  const most = share * positions + 6 * Math.sqrt(positions * share * (1 - share));
  return Math.min(16 * Math.ceil(most / 16), 16 * Math.ceil(positions / 16));
}

/** Settings of held-out batches: fixed, so without step and micro. */
export interface HeldOutOptions {
  readonly batch: number;
  readonly seq: number;
  /** At most this many batches, spread evenly over the source; all of it when left out. */
  readonly maxBatches?: number;
}

/**
 * All held-out text as a fixed list of batches for next-token prediction. Rows missing in the last batch repeat the
 * first block without labels, so that they do not count.
 * @throws ApolloError BAD_ARGUMENT when the source does not fill one row.
 */
export function heldOutCausalBatches(source: TokenSource, { batch, seq, maxBatches }: HeldOutOptions): CausalBatch[] {
  return heldOutBlocks(blockCount(source, seq), batch, maxBatches).map((blocks) => {
    const rows = causalRows(source, fill(blocks, batch), batch, seq);
    rows.labels.fill(noLabel, blocks.length * seq);
    return rows;
  });
}

/** The same for masked language modelling; `seed` decides the masks, which are the same on every call. */
export function heldOutMlmBatches(
  source: TokenSource,
  options: HeldOutOptions & Omit<MlmOptions, 'step' | 'micro' | 'microBatches'>,
): MlmBatch[] {
  const { batch, seq, maxBatches } = options;
  return heldOutBlocks(blockCount(source, seq - 2), batch, maxBatches).map((blocks) =>
    mlmRows(
      source,
      fill(blocks, batch).map((block) => ({ epoch: heldOutEpoch, block })),
      options,
      blocks.length,
    ),
  );
}

/** An epoch that training never reaches: held-out masks are drawn as of this one. */
const heldOutEpoch = 2 ** 32 - 1;

/** How many rows of `content` tokens the source gives an epoch. */
export function blockCount(source: TokenSource, content: number): number {
  check(Number.isInteger(content) && content >= 1, `A row must hold at least one token of the source; got ${content}.`);
  const blocks = Math.floor(source.tokenCount / content);
  check(
    blocks >= 1,
    `The source has ${source.tokenCount} tokens, too few for one row of ${content}. Add text, hold out more, or take shorter rows (seq).`,
  );
  return blocks;
}

interface Row {
  readonly epoch: number;
  readonly block: number;
}

/** Which blocks the rows of a batch are. Rows are numbered through all steps; an epoch is `blocks` rows. */
function rowsOf({ batch, seed, step, micro = 0, microBatches = 1 }: BatchOptions, blocks: number): Row[] {
  check(Number.isInteger(batch) && batch >= 1, `batch must be a whole number >= 1; got ${batch}.`);
  check(Number.isInteger(step) && step >= 0, `step must be a whole number >= 0; got ${step}.`);
  check(
    Number.isInteger(micro) && micro >= 0 && micro < microBatches,
    `micro must be from 0 to microBatches - 1 (${microBatches - 1}); got ${micro}.`,
  );
  const first = (step * microBatches + micro) * batch;
  let epoch = -1;
  let order = (place: number): number => place;
  return Array.from({ length: batch }, (_, i) => {
    const row = first + i;
    if (Math.floor(row / blocks) !== epoch) {
      epoch = Math.floor(row / blocks);
      order = epochOrder(blocks, seed, epoch);
    }
    return { epoch, block: order(row % blocks) };
  });
}

function causalRows(source: TokenSource, blocks: readonly number[], batch: number, seq: number): CausalBatch {
  const tokens = new Int32Array(batch * seq);
  const labels = new Int32Array(batch * seq).fill(noLabel);
  blocks.forEach((block, row) => {
    const ids = source.read(block * seq, seq);
    tokens.set(ids, row * seq);
    labels.set(ids.subarray(1), row * seq);
  });
  return { tokens, labels };
}

/** Rows of [CLS] block [SEP] with masks; only the first `labelled` rows get any. */
function mlmRows(
  source: TokenSource,
  rows: readonly Row[],
  options: Omit<MlmOptions, 'step' | 'micro' | 'microBatches'>,
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
  rows.forEach(({ epoch, block }, row) => {
    const ids = source.read(block * content, content);
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

/** Blocks of each held-out batch: all, or `maxBatches` full ones spread over the source. */
function heldOutBlocks(blocks: number, batch: number, maxBatches = Number.POSITIVE_INFINITY): number[][] {
  check(maxBatches >= 1, `maxBatches must be at least 1; got ${maxBatches}.`);
  const all = Math.ceil(blocks / batch);
  const count = Math.min(all, Math.floor(maxBatches));
  const used = count === all ? blocks : count * batch;
  const chosen = Array.from({ length: used }, (_, i) => Math.floor((i * blocks) / used));
  return Array.from({ length: count }, (_, i) => chosen.slice(i * batch, (i + 1) * batch));
}

function fill(blocks: readonly number[], batch: number): number[] {
  return Array.from({ length: batch }, (_, i) => blocks[i] ?? 0);
}

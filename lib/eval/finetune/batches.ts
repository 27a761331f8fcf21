/**
 * Features as batches of static shape: rows are padded to one of a few lengths, each with its own compiled program, and
 * rows that are missing repeat the first one without counting.
 */
import { epochOrder } from '../../data/batches/permutation.js';
import { ignoredLabel } from '../../engine/ops/index.js';
import type { Head } from './head.js';
import type { Feature } from './task.js';

const lengths = [16, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048];

/** The lengths that rows are padded to, up to `maxLength`, which is the last. */
export function buckets(maxLength: number): number[] {
  return [...lengths.filter((length) => length < maxLength), maxLength];
}

/** The shortest bucket that holds all `features`. */
export function bucketOf(features: readonly Pick<Feature, 'tokens'>[], all: readonly number[]): number {
  const longest = Math.max(...features.map(({ tokens }) => tokens.length));
  return all.find((length) => length >= longest) ?? longest;
}

/** Batches that are drawn together and sorted by length: more would save little and mix less. */
const pooled = 32;

/**
 * The batches of an epoch as indices into `features`: every feature once, in an order that is a function of seed and
 * epoch alone. Rows of similar length are grouped, so that little is padded: the shuffled features are taken in pools of
 * 32 batches, each sorted by length, cut, and its batches shuffled again.
 */
export function epochBatches(
  features: readonly Pick<Feature, 'tokens'>[],
  { batch, seed, epoch }: { readonly batch: number; readonly seed: number; readonly epoch: number },
): number[][] {
  const order = epochOrder(features.length, seed, epoch);
  const length = (index: number): number => features[index]?.tokens.length as number;
  const batches: number[][] = [];
  for (let start = 0; start < features.length; start += pooled * batch) {
    const size = Math.min(pooled * batch, features.length - start);
    const pool = Array.from({ length: size }, (_, place) => order(start + place));
    pool.sort((a, b) => length(a) - length(b));
    const count = Math.ceil(size / batch);
    const place = epochOrder(count, seed, (epoch + 1) * 2 ** 24 + batches.length); // epochs of their own: another order
    for (let i = 0; i < count; i++) batches.push(pool.slice(place(i) * batch, (place(i) + 1) * batch));
  }
  return batches;
}

export type FeatureBatch = Readonly<Record<string, Int32Array | Float32Array>>;

/**
 * At most `batch` features as inputs: `tokens`, `types`, `mask` i32[B * T], `last` i32[B] (flat place of each row's last
 * real token), `counted` f32[B], and each target of the head [B].
 */
export function featureBatch(
  features: readonly Feature[],
  size: { readonly batch: number; readonly seq: number; readonly padId: number },
  head: Pick<Head, 'targets'>,
): FeatureBatch {
  const { batch, seq, padId } = size;
  const tokens = new Int32Array(batch * seq).fill(padId);
  const types = new Int32Array(batch * seq);
  const mask = new Int32Array(batch * seq);
  const last = new Int32Array(batch);
  const counted = new Float32Array(batch);
  const targets = Object.entries(head.targets).map(([name, dtype]) => ({
    name,
    values: dtype === 'i32' ? new Int32Array(batch).fill(ignoredLabel) : new Float32Array(batch),
  }));
  for (let row = 0; row < batch; row++) {
    const isReal = row < features.length;
    const feature = features[isReal ? row : 0] as Feature;
    tokens.set(feature.tokens, row * seq);
    types.set(feature.types, row * seq);
    mask.fill(1, row * seq, row * seq + feature.tokens.length);
    last[row] = row * seq + feature.tokens.length - 1;
    const labels = isReal ? feature.targets : undefined;
    if (!labels) continue;
    counted[row] = 1;
    for (const { name, values } of targets) values[row] = labels[name] as number;
  }
  return {
    tokens,
    types,
    mask,
    last,
    counted,
    ...Object.fromEntries(targets.map(({ name, values }) => [name, values])),
  };
}

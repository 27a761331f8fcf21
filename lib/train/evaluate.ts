/**
 * Held-out loss through given layer maps. Neither its FLOPs nor its time count as training. The ranks of a group share the
 * batches.
 */
import { describe } from '../arguments.js';
import { agreed, alone, type Group } from '../dist/index.js';
import { ApolloError } from '../errors.js';
import type { LayerMap } from '../growth/index.js';
import { gatesAtPlaces } from '../methods/gates.js';
import type { Gates } from '../methods/method.js';
import { type BatchSize, checkedBatch, type TrainingCorpus } from './corpus.js';
import { fieldsOf, gateInputs, type RunPrograms } from './programs.js';

export interface EvaluationOptions extends BatchSize {
  readonly programs: RunPrograms;
  readonly corpus: TrainingCorpus;
  /** Batches at most: of more they are spread evenly over all. */
  readonly limit: number;
  /** Gates of the trained layers. */
  readonly gates?: Gates | undefined;
  readonly signal?: AbortSignal | undefined;
  /** The ranks that share the batches; default: this process alone. */
  readonly group?: Group | undefined;
}

/** Contribution of a batch to the mean. */
interface BatchLoss {
  /** Times the labels. */
  readonly sum: number;
  readonly labels: number;
}

/**
 * Mean loss over all counted labels of the held-out batches (each batch weighs by its labels). Of several ranks each runs
 * every N-th batch; the losses of all batches are then known to all ranks, which add them in the order of the batches:
 * the same bits on every rank, whenever they come, and those of one rank with these weights.
 */
async function heldOutLoss(layerMap: LayerMap, options: EvaluationOptions): Promise<number> {
  const { limit, group = alone } = options;
  const batches = Math.min(limit, heldOutCount(options));
  const own = Array.from({ length: batches }, (_, index) => index).filter((index) => index % group.size === group.rank);
  const losses = await allOf(group, batches, await agreed(group, () => batchLosses(layerMap, own, options)));
  let sum = 0;
  let labels = 0;
  for (const each of losses) {
    if (each.labels === 0) continue;
    sum += each.sum;
    labels += each.labels;
  }
  if (batches > 0 && labels === 0) {
    throw new ApolloError(
      'BAD_CORPUS',
      'The held-out text has nothing to predict: all its tokens are special ones. Hold out more text (--held-out), or check text and tokenizer. See docs/troubleshooting.md#nothing-to-predict.',
    );
  }
  return labels === 0 ? Number.NaN : sum / labels;
}

/** @throws ApolloError BAD_CORPUS where the corpus gives no number. */
function heldOutCount({ corpus, batch, seq, objective }: EvaluationOptions): number {
  const count: unknown = corpus.heldOutCount({ batch, seq, objective });
  if (Number.isSafeInteger(count) && (count as number) >= 0) return count as number;
  throw new ApolloError(
    'BAD_CORPUS',
    `heldOutCount of the corpus must return a whole number >= 0, the number of held-out batches; got ${describe(count)}.`,
  );
}

/** The losses of these batches of the evaluation, by their index. */
async function batchLosses(
  layerMap: LayerMap,
  indices: readonly number[],
  options: EvaluationOptions,
): Promise<ReadonlyMap<number, BatchLoss>> {
  const { corpus, batch, seq, objective, signal, gates } = options;
  const size = { batch, seq, objective };
  const program = await options.programs.evaluation(layerMap, corpus.shape(size), gates);
  const gateValues = gates && gateInputs(gatesAtPlaces(gates, layerMap));
  const available = heldOutCount(options);
  const batches = Math.min(options.limit, available);
  const losses = new Map<number, BatchLoss>();
  for (const index of indices) {
    // A mixture lists its batches source by source: the first ones alone would be of one source.
    const inputs = checkedBatch(await corpus.heldOut({ ...size, index: Math.floor((index * available) / batches) }));
    const { outputs } = await program.run({ ...fieldsOf(program, inputs), ...gateValues }, signal ? { signal } : {});
    const labels = (outputs['count'] as Float32Array)[0] as number;
    losses.set(index, { sum: ((outputs['loss'] as Float32Array)[0] as number) * labels, labels });
  }
  return losses;
}

/** Results of all batches. Each rank has different ones, and adding 0 to a number keeps its bits. */
async function allOf(
  group: Group,
  batches: number,
  own: ReadonlyMap<number, BatchLoss>,
): Promise<readonly BatchLoss[]> {
  const values = Array.from({ length: batches }, (_, index) => own.get(index) ?? { sum: 0, labels: 0 });
  if (group.size === 1 || batches === 0) return values;
  const numbers = await group.sum(values.flatMap(({ sum, labels }) => [labels === 0 ? 0 : sum, labels]));
  return values.map((_, index) => ({ sum: numbers[2 * index]!, labels: numbers[2 * index + 1]! }));
}

/** Loss at full depth and with the stage's layers alone; where both are the same network it runs once. */
export async function evaluateMaps(
  maps: { readonly full: LayerMap; readonly stage: LayerMap },
  options: EvaluationOptions,
): Promise<{ lossFull: number; lossStage: number }> {
  const lossFull = await heldOutLoss(maps.full, options);
  const same = maps.full.join() === maps.stage.join();
  return { lossFull, lossStage: same ? lossFull : await heldOutLoss(maps.stage, options) };
}

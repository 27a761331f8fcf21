/** Held-out loss through given layer maps. Neither its FLOPs nor its time count as training. */
import { ApolloError } from '../errors.js';
import type { LayerMap } from '../growth/index.js';
import { gatesAtPlaces } from '../methods/gates.js';
import type { Gates } from '../methods/method.js';
import type { BatchSize, TrainingCorpus } from './corpus.js';
import { gateInputs, type RunPrograms } from './programs.js';

export interface EvaluationOptions extends BatchSize {
  readonly programs: RunPrograms;
  readonly corpus: TrainingCorpus;
  /** Batches at most. */
  readonly limit: number;
  /** Of the trained layers. */
  readonly gates?: Gates | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Mean loss over all counted labels of the held-out batches (each batch weighs by its labels). */
async function heldOutLoss(layerMap: LayerMap, options: EvaluationOptions): Promise<number> {
  const { corpus, batch, seq, objective, limit, signal, gates } = options;
  const size = { batch, seq, objective };
  const program = await options.programs.evaluation(layerMap, corpus.shape(size), gates);
  const gateValues = gates && gateInputs(gatesAtPlaces(gates, layerMap));
  const batches = Math.min(limit, corpus.heldOutCount(size));
  let sum = 0;
  let labels = 0;
  for (let index = 0; index < batches; index++) {
    const inputs = await corpus.heldOut({ ...size, index });
    const { outputs } = await program.run({ ...inputs, ...gateValues }, signal ? { signal } : {});
    const count = (outputs['count'] as Float32Array)[0] as number;
    if (count === 0) continue;
    sum += ((outputs['loss'] as Float32Array)[0] as number) * count;
    labels += count;
  }
  if (batches > 0 && labels === 0) {
    throw new ApolloError(
      'BAD_CORPUS',
      'The held-out text has nothing to predict: all its tokens are special ones. Hold out more text (--held-out), or check the tokenizer.',
    );
  }
  return labels === 0 ? Number.NaN : sum / labels;
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

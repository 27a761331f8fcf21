/** Refuses a run that will not fit before it starts, with the memory that it needs, the memory that is free, and a batch that fits. */

import { outerSlots } from '../dist/index.js';
import { optimizerState, stateBytes } from '../engine/optim/index.js';
import { ParameterStore } from '../engine/parameters.js';
import { size } from '../engine/shape.js';
import { ApolloError } from '../errors.js';
import { identityMap, type StepPlan, type TrainingMethod } from '../methods/method.js';
import { type BatchShape, declarationOf, declareSpecs, type LanguageModel } from '../models/index.js';
import type { TrainConfig } from './config.js';
import type { TrainingCorpus } from './corpus.js';
import { type ProgramOptions, RunPrograms } from './programs.js';
import { finishedNetwork } from './stage.js';

const human = (bytes: number) =>
  bytes < 2 ** 30 ? `${(bytes / 2 ** 20).toFixed(1)} MiB` : `${(bytes / 2 ** 30).toFixed(2)} GiB`;

/** Compiles the finished network's program in its own store, where the run starts with a smaller one. */
async function attemptFinished(
  options: ProgramOptions,
  plan: StepPlan,
  shape: BatchShape,
  accumulation: number,
): Promise<void> {
  const store = new ParameterStore(options.device, { precision: options.precision });
  const programs = new RunPrograms({ ...options, store });
  try {
    declareSpecs(store, options.network.specs);
    await programs.training(plan, shape, accumulation);
  } finally {
    programs.clear();
    store.dispose();
  }
}

export interface HeldParameters extends Pick<TrainConfig, 'precision' | 'optimizer'> {
  /** Steps between outer steps, whose state is kept as well. */
  readonly syncEvery?: number | undefined;
  /** Layers; default: all. */
  readonly layers?: number;
  /** Ranks that share the optimizer's state; default: 1. */
  readonly shards?: number | undefined;
}

/**
 * Bytes of a model's parameters in training, on one rank: value, gradient, its share of the optimizer's state and the state of
 * outer steps in f32, and bf16 copies of matrices. Where a rank keeps no more than a part of a parameter's state, parts are equal
 * up to 64 KiB.
 */
export function parameterBytes(
  model: LanguageModel,
  { precision, optimizer, syncEvery, layers = model.config.layers, shards = 1 }: HeldParameters,
): number {
  const state = optimizerState(optimizer);
  let [held, shared] = [0, 0];
  for (const spec of model.parameters(layers)) {
    const elements = size(spec.shape);
    const copy = precision === 'bf16' && spec.role === 'matrix' ? 2 : 0;
    const outer = syncEvery === undefined ? 0 : 4 * outerSlots.length;
    held += elements * (8 + copy + outer);
    shared += stateBytes(state, declarationOf(spec));
  }
  return held + Math.ceil(shared / shards);
}

/**
 * Compiles the largest network the run will use, regardless of its first stage, and checks that the parameters of the
 * last stage fit in addition.
 * @throws ApolloError OUT_OF_MEMORY with both figures and, where there is one, the largest halving of the batch that fits.
 */
export async function checkMemory(
  options: ProgramOptions,
  run: {
    readonly finished: LanguageModel;
    readonly config: TrainConfig;
    readonly method: TrainingMethod;
    readonly corpus: TrainingCorpus;
    readonly step: number;
    /** The run's own programs: the one compiled here stays with them. */
    readonly programs: RunPrograms;
    /** Ranks that share the optimizer's state. */
    readonly shards: number;
  },
): Promise<void> {
  const { finished, config, method, corpus, step, shards } = run;
  const { device, store, network } = options;
  const layerMap = method.evaluationMaps(step).full;
  const { layers } = finished.config;
  const plain = network.model === finished && !network.reparameterisation;
  const plan = plain
    ? { trainedLayers: method.plan(step).trainedLayers, depth: layerMap.length, layerMap }
    : { trainedLayers: layers, depth: layers, layerMap: identityMap(layers) };
  const needed = parameterBytes(finished, { ...config, shards });

  const attempt = async (batch: number, programs: RunPrograms): Promise<void> => {
    const shape = corpus.shape({ batch, seq: config.seq, objective: finished.objective });
    if (plain) await programs.training(plan, shape, config.accumulation);
    else await attemptFinished({ ...options, network: finishedNetwork(finished) }, plan, shape, config.accumulation);
    const { availableBytes } = device.info();
    if (needed - store.bytes > availableBytes) {
      throw new ApolloError(
        'OUT_OF_MEMORY',
        `The parameters of the last stage need ${human(needed)}, ${human(needed - store.bytes)} more than now; ` +
          `${human(availableBytes)} are left next to the activations. Use a smaller model or batch. See docs/troubleshooting.md#does-not-fit-in-memory.`,
      );
    }
  };

  try {
    await attempt(config.batch, run.programs);
  } catch (error) {
    if (!(error instanceof ApolloError) || error.code !== 'OUT_OF_MEMORY') throw error;
    await device.releaseArena();
    for (let batch = config.batch >> 1; batch >= 1; batch >>= 1) {
      const programs = new RunPrograms(options);
      const fits = await attempt(batch, programs).then(
        () => true,
        () => false,
      );
      programs.clear();
      // What a batch that is too large has reserved would stay, and the smaller ones be measured next to it.
      await device.releaseArena();
      if (!fits) continue;
      const equal = largestDivisor(config.batch, batch);
      const accumulation = (config.accumulation * config.batch) / equal;
      throw new ApolloError(
        'OUT_OF_MEMORY',
        `batch ${config.batch} at depth ${plan.depth} does not fit: ${error.message}\n` +
          `batch ${equal} fits; with ${accumulation} micro-batches per step (accumulation) it is the same step. See docs/troubleshooting.md#does-not-fit-in-memory.`,
        { cause: error },
      );
    }
    throw error;
  }
}

/** The largest divisor of `count` that is at most `limit`. */
function largestDivisor(count: number, limit: number): number {
  let divisor = limit;
  while (count % divisor !== 0) divisor--;
  return divisor;
}

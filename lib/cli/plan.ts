/** The cost of a run before it starts: parameters, FLOPs by stage, memory and time by depth. */

import {
  accumulateGradients,
  type Device,
  Graph,
  type OptimizerName,
  ParameterStore,
  type Program,
  updateFlops,
} from '../engine/index.js';
import { interpolate, seedWords } from '../growth/index.js';
import type { MethodStage, TrainingMethod } from '../methods/index.js';
import {
  declarationOf,
  declareParameters,
  type LanguageModel,
  modelWeights,
  type ParameterSpec,
  parameterCount,
  type StageShape,
} from '../models/index.js';
import { batchShape, flopsOfStep, parameterBytes, stageNetwork } from '../train/index.js';

export interface StageCost {
  readonly trainedLayers: number;
  readonly steps: number;
  readonly meanDepth: number;
  readonly parameters: number;
  /** Training FLOPs by the paper's accounting. */
  readonly flops: number;
  /** FLOPs of the optimizer's matrix products, which are not among those. */
  readonly updateFlops: number;
  /** Those over the FLOPs of the same steps in which all layers train and nothing else is computed: less than 1 with frozen layers. */
  readonly relativeFlops: number;
  /** Steps at each depth (index = depth). */
  readonly depthSteps: readonly number[];
  /** Widths of the stage's network; absent: the finished model's. */
  readonly shape?: StageShape;
}

export interface RunSize {
  readonly steps: number;
  readonly seq: number;
  /** Tokens per step, over all micro-batches. */
  readonly tokens: number;
}

/** An optimizer by name, with what its FLOPs depend on. */
export interface PlannedOptimizer {
  readonly name: OptimizerName;
  readonly iterations?: number | undefined;
}

/** The stages of a run, from the depths that its seed draws. */
export function stageCosts(
  method: TrainingMethod,
  model: LanguageModel,
  { steps, seq, tokens }: RunSize,
  optimizer: PlannedOptimizer,
): StageCost[] {
  const stages: { stage: MethodStage; flops: number; updateFlops: number; depthSteps: number[] }[] = [];
  let updates: readonly { readonly name: string; readonly flops: number }[] = [];
  for (let step = 0; step < steps; step++) {
    const stage = method.stageAt(step);
    if (stages.at(-1)?.stage.index !== stage.index) {
      stages.push({ stage, flops: 0, updateFlops: 0, depthSteps: new Array<number>(method.layers + 1).fill(0) });
      updates = stageNetwork(model, stage)
        .specs.map((spec) => ({ name: spec.name, flops: flopsOfUpdate(spec, optimizer) }))
        .filter((update) => update.flops > 0);
    }
    const current = stages.at(-1)!;
    const { depth, trainable = () => true } = method.plan(step);
    current.depthSteps[depth]! += 1;
    for (const update of updates) if (trainable(update.name)) current.updateFlops += update.flops;
    current.flops += flopsOfStep(method, model.config, step, { seq, tokens }).model;
  }
  return stages.map(({ stage, flops, updateFlops: update, depthSteps }) => {
    const count = depthSteps.reduce((sum, value) => sum + value, 0);
    const depths = depthSteps.reduce((sum, value, depth) => sum + value * depth, 0);
    const network = stageNetwork(model, stage);
    const plain = depthSteps.reduce((sum, value, depth) => sum + value * network.model.flopsPerToken(depth, seq), 0);
    return {
      trainedLayers: stage.trainedLayers,
      steps: count,
      meanDepth: depths / count,
      parameters: parameterCount(network.specs),
      flops,
      updateFlops: update,
      relativeFlops: flops / (tokens * plain),
      depthSteps,
      ...(stage.shape && { shape: stage.shape }),
    };
  });
}

const flopsOfUpdate = (spec: ParameterSpec, { name, iterations }: PlannedOptimizer) =>
  updateFlops(name, declarationOf(spec), { iterations });

export interface DepthCost {
  readonly depth: number;
  /** Width of the network, where a stage has another one than the finished model. */
  readonly hidden?: number;
  /** Activations and temporaries, as planned; absent where the program does not fit on the device. */
  readonly arenaBytes?: number;
  /** Why it does not fit. */
  readonly misfit?: string;
  /** Bytes of weights, gradients and optimizer state for a number of trained layers. */
  readonly parameterBytes: number;
  /** Forward and backward of one micro-batch: the median of several runs, or extrapolated. */
  readonly ms: number;
}

export interface ProbeOptions {
  readonly device: Device;
  readonly model: LanguageModel;
  readonly precision: 'f32' | 'bf16';
  readonly optimizer: OptimizerName;
  /** Ranks that share the optimizer's state; default: 1. */
  readonly shards?: number | undefined;
  /** Steps between outer steps, whose state each rank keeps as well. */
  readonly syncEvery?: number | undefined;
  readonly batch: number;
  readonly seq: number;
  readonly depths: readonly number[];
  readonly signal?: AbortSignal;
  /** Receives the current task and the share of all work that is done. */
  readonly onProgress?: ((label: string, done: number) => void) | undefined;
  /** Milliseconds of a clock; for tests. */
  readonly now?: () => number;
}

/** Timed runs of each depth, after one to warm up. */
const probes = 3;

/**
 * Compiles the training program of each depth and runs it a few times on made-up tokens.
 * @throws ApolloError OUT_OF_MEMORY where a depth does not fit.
 */
export async function probeDepths({
  device,
  model,
  precision,
  optimizer,
  shards,
  syncEvery,
  batch,
  seq,
  depths,
  signal,
  onProgress,
}: ProbeOptions): Promise<DepthCost[]> {
  const { layers, vocabSize } = model.config;
  const store = new ParameterStore(device, { precision });
  try {
    declareParameters(store, model, layers);
    const shape = batchShape({ batch, seq, objective: model.objective });
    const costs: DepthCost[] = [];
    for (const depth of depths) {
      const graph = new Graph();
      const { loss } = model.trace(graph, modelWeights(graph, model, precision), shape, {
        layerMap: interpolate(depth, depth),
        training: true,
      });
      accumulateGradients(loss);
      graph.output('loss', loss);
      using program = await device.compile(graph, { store });
      const inputs = madeUpInputs(program, vocabSize);
      const times: number[] = [];
      for (let run = 0; run <= probes; run++) {
        onProgress?.(
          `depth ${depth}, run ${run + 1} of ${probes + 1}`,
          (costs.length + run / (probes + 1)) / depths.length,
        );
        const { elapsedMs } = await program.run(inputs, { signal });
        if (run > 0) times.push(elapsedMs);
      }
      times.sort((a, b) => a - b);
      costs.push({
        depth,
        arenaBytes: program.memory.arenaBytes,
        parameterBytes: parameterBytes(model, { layers: depth, precision, optimizer, shards, syncEvery }),
        ms: times[times.length >> 1]!,
      });
    }
    return costs;
  } finally {
    store.dispose();
  }
}

/** Inputs of the right kind for any training program of lib/models: the values do not change the time. */
export function madeUpInputs(program: Program, vocabSize: number): Record<string, Int32Array> {
  return Object.fromEntries(
    program.inputs.map(({ name, shape }) => {
      const elements = shape.reduce((product, size) => product * size, 1);
      if (name === 'rng') return [name, Int32Array.from([...seedWords(1), 0, 0])];
      if (name === 'positions') return [name, Int32Array.from({ length: elements }, (_, index) => index)];
      return [name, Int32Array.from({ length: elements }, (_, index) => (index * 7919 + 13) % vocabSize)];
    }),
  );
}

/** Time at any depth from the probed ones, by least squares: a step is its head and a share for each layer. */
export function timeAtDepth(costs: readonly Pick<DepthCost, 'depth' | 'ms'>[]): (depth: number) => number {
  const count = costs.length;
  const meanDepth = costs.reduce((sum, cost) => sum + cost.depth, 0) / count;
  const meanMs = costs.reduce((sum, cost) => sum + cost.ms, 0) / count;
  const spread = costs.reduce((sum, cost) => sum + (cost.depth - meanDepth) ** 2, 0);
  const slope =
    spread > 0 ? costs.reduce((sum, cost) => sum + (cost.depth - meanDepth) * (cost.ms - meanMs), 0) / spread : 0;
  return (depth) => meanMs + slope * (depth - meanDepth);
}

/** Held-out loss, gradients and activations of a network made of a checkpoint's layers. */
import { accumulateGradients, Graph, ParameterStore } from '../../../lib/engine/index.js';
import type { LayerMap } from '../../../lib/growth/index.js';
import { identityMap } from '../../../lib/methods/index.js';
import {
  createModel,
  declareSpecs,
  initialiseParameters,
  type LanguageModel,
  modelWeights,
} from '../../../lib/models/index.js';
import { type BatchInputs, evaluateMaps, loadModel, RunPrograms } from '../../../lib/train/index.js';
import { finishedNetwork } from '../../../lib/train/stage.js';
import { type GradientStatistics, gradientStatistics } from './statistics.js';
import { type Bench, sourceName } from './support.js';

/** Sequences of the held-out text that a measurement takes, as many as the paper's Table 2. */
export const heldOutSequences = 500;

/** Weights on the device, and the model that they belong to. Dropout is off, precision f32. */
export interface Loaded {
  readonly model: LanguageModel;
  readonly layers: number;
  readonly store: ParameterStore;
}

const withoutDropout = (model: LanguageModel, layers: number) =>
  createModel({ ...model.config, layers, dropout: 0, attentionDropout: 0 });

/** The newest checkpoint in `directory`: the layers it has. Dispose the store. */
export async function loadTrained(bench: Bench, directory: string): Promise<Loaded> {
  const { store, layerMap } = await loadModel(bench.device, directory, { depth: 'stored' });
  return { model: withoutDropout(bench.model, bench.model.config.layers), layers: layerMap.length, store };
}

/** A model of random weights. Dispose the store. */
export async function loadRandom(bench: Bench, seed: number): Promise<Loaded> {
  const { layers } = bench.model.config;
  const model = withoutDropout(bench.model, layers);
  const store = new ParameterStore(bench.device, { precision: 'f32' });
  await initialiseParameters(store, model, layers, seed);
  return { model, layers, store };
}

/** The network of which layer i is a copy of layer `map[i]`, with weights of its own. Dispose the store. */
export async function expanded({ model, store }: Loaded, map: LayerMap): Promise<Loaded> {
  const grown = new ParameterStore(store.device, { precision: 'f32' });
  const specs = model.parameters(map.length);
  declareSpecs(grown, specs);
  for (const { name } of specs) await grown.write(name, await store.read(sourceName(name, map)));
  return { model, layers: map.length, store: grown };
}

export interface Measurement {
  /** Mean held-out loss per label. */
  readonly loss: number;
  /** Gradients of that loss. */
  readonly gradient: GradientStatistics;
  readonly sequences: number;
}

const labelsOf = ({ labels = new Int32Array() }: BatchInputs) => [...labels].filter((id) => id >= 0).length;

async function heldOut(bench: Bench, batch: number, limit: number): Promise<BatchInputs[]> {
  const { batches, model, settings } = bench;
  const seq = settings.seq ?? model.config.maxPositions;
  const size = { batch, seq, objective: model.objective };
  const count = Math.min(limit, batches.heldOutCount(size));
  const inputs: BatchInputs[] = [];
  for (let index = 0; index < count; index++) inputs.push(await batches.heldOut({ ...size, index }));
  return inputs;
}

/**
 * Loss and gradient of the network through `map` on the held-out text. A layer used several times has the sum of its
 * uses' gradients; for those of a network with layers of its own measure an expanded one.
 */
export async function measure(
  bench: Bench,
  { model, store, layers }: Loaded,
  signal: AbortSignal,
  map: LayerMap = identityMap(layers),
): Promise<Measurement> {
  const { settings } = bench;
  const { batch } = settings;
  const seq = settings.seq ?? model.config.maxPositions;
  const inputs = await heldOut(bench, batch, Math.ceil(heldOutSequences / batch));
  const total = inputs.reduce((sum, rows) => sum + labelsOf(rows), 0);
  const graph = new Graph();
  const { loss } = model.trace(
    graph,
    modelWeights(graph, model, 'f32'),
    bench.batches.shape({ batch, seq, objective: model.objective }),
    {
      layerMap: map,
      training: true,
    },
  );
  const names = accumulateGradients(loss, { scale: graph.input('scale', [1]) });
  graph.output('loss', loss);
  const program = await bench.device.compile(graph, { store });
  try {
    await store.zeroGradients();
    let sum = 0;
    for (const rows of inputs) {
      const share = labelsOf(rows) / total;
      const { outputs } = await program.run({ ...rows, scale: [share] }, { signal });
      sum += ((outputs['loss'] as Float32Array)[0] as number) * share;
    }
    const tensors: Float32Array[] = [];
    for (const name of names) tensors.push(await store.gradient(name));
    return { loss: sum, gradient: gradientStatistics(tensors), sequences: inputs.length * batch };
  } finally {
    program.dispose();
  }
}

/** The loss alone, of the same held-out text: a third of the work. */
export async function heldOutLoss(
  bench: Bench,
  { model, store }: Loaded,
  signal: AbortSignal,
  map: LayerMap,
): Promise<number> {
  const { batches: corpus, device, settings } = bench;
  const { batch, seq = model.config.maxPositions } = settings;
  const limit = Math.ceil(heldOutSequences / batch);
  const { objective } = model;
  const programs = new RunPrograms({ device, store, network: finishedNetwork(model), precision: 'f32' });
  try {
    return (await evaluateMaps({ full: map, stage: map }, { programs, corpus, batch, seq, objective, limit, signal }))
      .lossFull;
  } finally {
    programs.clear();
  }
}

/** Sequences of a batch of activations: all layers' outputs of a batch come to the host at once. */
export const activationBatch = 16;

/**
 * The outputs of every layer of the network through `map` on held-out batches: `take` gets those of each place in turn
 * (place 0: the embeddings). Returns the mean loss per label.
 */
export async function activations(
  bench: Bench,
  { model, store }: Loaded,
  { map, batches, signal }: { readonly map: LayerMap; readonly batches: number; readonly signal: AbortSignal },
  take: (place: number, values: Float32Array) => void,
): Promise<number> {
  const seq = bench.settings.seq ?? model.config.maxPositions;
  const inputs = await heldOut(bench, activationBatch, batches);
  const graph = new Graph();
  const shape = bench.batches.shape({ batch: activationBatch, seq, objective: model.objective });
  const options = { layerMap: map, training: false, hiddenStates: true };
  const { loss, hiddenStates = [] } = model.trace(graph, modelWeights(graph, model, 'f32'), shape, options);
  graph.output('loss', loss);
  for (const [place, state] of hiddenStates.entries()) graph.output(`state ${place}`, state);
  const program = await bench.device.compile(graph, { store });
  try {
    let [sum, labels] = [0, 0];
    for (const rows of inputs) {
      const { outputs } = await program.run(rows, { signal });
      const count = labelsOf(rows);
      sum += ((outputs['loss'] as Float32Array)[0] as number) * count;
      labels += count;
      for (const place of hiddenStates.keys()) take(place, outputs[`state ${place}`] as Float32Array);
    }
    return sum / labels;
  } finally {
    program.dispose();
  }
}

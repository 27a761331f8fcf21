/** A body with a head as programs: one for training and one for prediction for each length of rows, made when needed. */
import { accumulateGradients } from '../../engine/autodiff.js';
import type { Device } from '../../engine/device.js';
import { Graph, type Tensor } from '../../engine/graph.js';
import { gatherRows, reshape, slice } from '../../engine/ops/index.js';
import type { ParameterStore } from '../../engine/parameters.js';
import type { Program } from '../../engine/program.js';
import type { LayerMap } from '../../growth/index.js';
import * as is from '../../is.js';
import { familyOf, type LanguageModel, type ParameterSpec, storedWeights } from '../../models/index.js';
import { flatten } from '../../nn/heads.js';
import type { FeatureBatch } from './batches.js';
import type { Head } from './head.js';

export interface NetworkOptions {
  readonly device: Device;
  readonly store: ParameterStore;
  readonly model: LanguageModel;
  /** Which weights form which layers. */
  readonly layerMap: LayerMap;
  readonly head: Head;
  readonly batch: number;
  /** Micro-batches of a training step; default 1. */
  readonly accumulation?: number;
}

export interface TracedNetwork {
  readonly graph: Graph;
  /** f32 [B, …] */
  readonly output: Tensor;
  /** Scalar f32. */
  readonly loss: Tensor;
}

const takesNetworkSpecs = is.takes('networkSpecs', { model: is.languageModel, head: is.head, trainedLayers: is.count });

/**
 * Parameters of a body whose trained layers are 0 to trainedLayers - 1, and of a head.
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function networkSpecs(model: LanguageModel, head: Head, trainedLayers: number): ParameterSpec[] {
  takesNetworkSpecs(model, head, trainedLayers);

  return [...model.body.parameters(trainedLayers), ...head.parameters(model.config)];
}

const takesTrainedLayersOf = is.takes('trainedLayersOf', { layerMap: is.list(is.index, { least: 1 }) });

/**
 * The number of layers that a map uses: one more than its greatest entry.
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function trainedLayersOf(layerMap: LayerMap): number {
  takesTrainedLayersOf(layerMap);
  return Math.max(...layerMap) + 1;
}

/** Records body, head and loss for rows of `seq` tokens. What nothing asks for is not computed. */
export function traceNetwork(
  { model, head, layerMap, batch, store }: Omit<NetworkOptions, 'device'>,
  seq: number,
  training: boolean,
): TracedNetwork {
  const { config } = model;
  const graph = new Graph();
  const weights = storedWeights(graph, networkSpecs(model, head, trainedLayersOf(layerMap)), store.precision);
  const shape = { batch, seq, padding: true, types: familyOf(config).hasTypes };
  const { hidden } = model.body.trace(graph, weights, shape, { layerMap, training });
  const summary = (): Tensor => {
    if (model.objective === 'causal') return gatherRows(flatten(hidden), graph.input('last', [batch], 'i32'));
    return reshape(slice(hidden, [0, 0, 0], [batch, 1, config.hidden]), [batch, config.hidden]);
  };
  const mask = () => graph.input('mask', [batch, seq], 'i32');
  const output = head.output({ config, hidden, mask, weights, training, summary });
  const loss = head.loss(output, {
    target: (name) => graph.input(name, [batch], head.targets[name] as 'i32' | 'f32'),
    counted: () => graph.input('counted', [batch]),
  });
  return { graph, output, loss };
}

/**
 * A forward and backward pass that adds to the store's gradients. Output: `loss` f32[1]. With several micro-batches it
 * takes the input `share` f32[1], the factor of the micro-batch's loss in that of the step.
 */
export interface NetworkTraining {
  readonly program: Program;
  /** Parameters whose gradients it adds to. */
  readonly names: readonly string[];
}

const takesNetworkProgramsPrediction = is.takes('NetworkPrograms.prediction', { seq: is.count });

const takesNetworkProgramsHas = is.takes('NetworkPrograms.has', { seq: is.count });

const takesNetworkProgramsTraining = is.takes('NetworkPrograms.training', { seq: is.count });

const takesNewNetworkPrograms = is.takes('new NetworkPrograms', {
  options: is.options({
    device: is.device,
    store: is.store,
    model: is.languageModel,
    layerMap: is.layerMap,
    head: is.head,
    batch: is.count,
    accumulation: is.optional(is.count),
  }),
});

/**
 * The programs of a body with a head: one for each length of sequences, compiled when it is first needed.
 * @example
 * const tuned = await loadFineTuned(device, 'runs/sst2/pre-trained/seed-42/model', task);
 * const { model, store, layerMap } = tuned;
 * const programs = new NetworkPrograms({ device, store, model, layerMap, head: task.head, batch: 16 });
 */
export class NetworkPrograms {
  readonly #options: NetworkOptions;
  readonly #training = new Map<number, Promise<NetworkTraining>>();
  readonly #prediction = new Map<number, Promise<Program>>();
  /** Lengths whose training program is compiled. */
  readonly #ready = new Set<number>();

  constructor(options: NetworkOptions) {
    takesNewNetworkPrograms(options);

    this.#options = options;
  }

  /**
   * Whether the training program for rows of `seq` tokens is compiled.
   * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
   */
  has(seq: number): boolean {
    takesNetworkProgramsHas(seq);

    return this.#ready.has(seq);
  }

  /** The program of a training step with sequences of `seq` tokens. @throws {ApolloError} BAD_ARGUMENT, OUT_OF_MEMORY. */
  async training(seq: number): Promise<NetworkTraining> {
    takesNetworkProgramsTraining(seq);

    const known = this.#training.get(seq) ?? this.#compileTraining(seq);
    this.#training.set(seq, known);
    return known;
  }

  /**
   * Output: `output`, the head's, without dropout.
   * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
   */
  async prediction(seq: number): Promise<Program> {
    takesNetworkProgramsPrediction(seq);

    const known = this.#prediction.get(seq) ?? this.#compilePrediction(seq);
    this.#prediction.set(seq, known);
    return known;
  }

  async #compileTraining(seq: number): Promise<NetworkTraining> {
    const { graph, loss } = traceNetwork(this.#options, seq, true);
    const { device, store, accumulation = 1 } = this.#options;
    const names = accumulateGradients(loss, {
      guard: true,
      ...(accumulation > 1 && { scale: graph.input('share', [1]) }),
    });
    graph.output('loss', loss);
    const program = await device.compile(graph, { store });
    this.#ready.add(seq);
    return { program, names };
  }

  async #compilePrediction(seq: number): Promise<Program> {
    const { graph, output } = traceNetwork(this.#options, seq, false);
    graph.output('output', output);
    const { device, store } = this.#options;
    return device.compile(graph, { store });
  }

  /** Frees the programs. */
  dispose(): void {
    const free = (program: Program) => program.dispose();
    for (const entry of this.#training.values()) entry.then(({ program }) => free(program)).catch(() => undefined);
    for (const entry of this.#prediction.values()) entry.then(free).catch(() => undefined);
    this.#training.clear();
    this.#ready.clear();
    this.#prediction.clear();
  }
}

/** The inputs of a batch that a program takes; of `others` those it takes as well: `rng` where it drops, `share`. */
export function inputsOf(program: Program, batch: FeatureBatch, others: FeatureBatch = {}): FeatureBatch {
  return Object.fromEntries(
    program.inputs.map(({ name }) => [name, (others[name] ?? batch[name]) as Int32Array | Float32Array]),
  );
}

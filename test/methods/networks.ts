/** Tiny networks with random weights, run on the engine: for tests of growth that must not change what is computed. */
import {
  accumulateGradients,
  type Device,
  evaluate,
  Graph,
  ParameterStore,
  type RunResult,
  type Tensor,
} from '../../lib/engine/index.js';
import type { InitialWeights, WeightSource } from '../../lib/methods/index.js';
import {
  createModel,
  declareParameters,
  initialValue,
  type LanguageModel,
  type ModelConfig,
  modelWeights,
  type ParameterSpec,
  withDefaults,
} from '../../lib/models/index.js';

export interface Network {
  readonly model: LanguageModel;
  readonly values: ReadonlyMap<string, Float32Array>;
}

/** A configuration without dropout; norms' epsilon so large that leaving it out of the arithmetic would show. */
export const tinyConfig = (
  kind: string,
  sizes: Pick<ModelConfig, 'layers' | 'hidden' | 'heads' | 'ffn'> & Partial<ModelConfig>,
): ModelConfig =>
  withDefaults({ kind, vocabSize: 13, maxPositions: 6, dropout: 0, attentionDropout: 0, epsilon: 1e-3, ...sizes });

export const specsOf = (model: LanguageModel): ParameterSpec[] => model.parameters(model.config.layers);

/** Every tensor random: biases too, and the norms' weights around 1. */
export function randomNetwork(config: ModelConfig, seed: number): Network {
  const model = createModel(config);
  const values = specsOf(model).map(({ zeroRow: _, ...spec }): [string, Float32Array] => {
    const drawn = initialValue({ ...spec, init: { kind: 'normal', std: 0.3 } }, seed);
    return [spec.name, spec.init.kind === 'ones' ? drawn.map((value) => 1 + value) : drawn];
  });
  return { model, values: new Map(values) };
}

/** The network as a source to grow from. */
export function sourceOf({ model, values }: Network): WeightSource {
  return {
    config: model.config,
    layers: model.config.layers,
    async read(name) {
      const found = values.get(name);
      if (!found) throw new Error(`no parameter ${name}`);
      return found;
    },
  };
}

/** Result of `change` for a tensor of the network, computed on the device. */
export async function changed(
  device: Device,
  { shape }: Pick<ParameterSpec, 'shape'>,
  values: Float32Array,
  change: (before: Tensor) => Tensor,
): Promise<Float32Array> {
  return (await evaluate((graph) => change(graph.input('x', shape)), { x: values }, { device })) as Float32Array;
}

/** The network of `config` whose parameters are what `value` makes of the source's. */
export async function grown(
  config: ModelConfig,
  value: InitialWeights['value'],
  source: WeightSource,
): Promise<Network> {
  const model = createModel(config);
  const values = new Map<string, Float32Array>();
  for (const spec of specsOf(model)) {
    const made = await value(spec, source);
    const elements = spec.shape.reduce((a, b) => a * b, 1);
    if (made.length !== elements) throw new Error(`${spec.name} has ${made.length} elements, not ${elements}`);
    values.set(spec.name, made);
  }
  return { model, values };
}

const [batch, seq] = [2, 6];
const tokens = Int32Array.from({ length: batch * seq }, (_, i) => (5 * i + 3) % 13);
const inputs = {
  causal: { tokens, labels: tokens.map((_, i) => ((i + 1) % seq === 0 ? -100 : (tokens[i + 1] as number))) },
  masked: { tokens, positions: Int32Array.of(1, 4, 8, 9), labels: Int32Array.of(7, 2, 11, 0) },
};

/** Loss, logits of all positions and the gradient of every parameter, on one fixed batch. */
export async function compute(
  device: Device,
  { model, values }: Network,
): Promise<{ loss: number; logits: Float32Array; gradients: Map<string, Float32Array> }> {
  using store = new ParameterStore(device, { precision: 'f32' });
  declareParameters(store, model, model.config.layers);
  for (const [name, value] of values) await store.write(name, value);
  const graph = new Graph();
  const trace = model.trace(
    graph,
    modelWeights(graph, model, 'f32'),
    { batch, seq, targets: 4, padding: false },
    { layerMap: Array.from({ length: model.config.layers }, (_, i) => i), training: true, logits: true },
  );
  graph.output('loss', trace.loss);
  graph.output('logits', trace.logits as Tensor);
  const names = accumulateGradients(trace.loss);
  const { outputs }: RunResult = await (await device.compile(graph, { store })).run(inputs[model.objective]);
  const gradients = new Map<string, Float32Array>();
  for (const name of names) gradients.set(name, await store.gradient(name));
  return { loss: outputs['loss']?.[0] as number, logits: outputs['logits'] as Float32Array, gradients };
}

/** max |actual - expected| / max |expected|. */
export function distance(actual: Float32Array, expected: Float32Array): number {
  if (actual.length !== expected.length) return Number.POSITIVE_INFINITY;
  const size = expected.reduce((max, value) => Math.max(max, Math.abs(value)), 0);
  return actual.reduce((max, value, i) => Math.max(max, Math.abs(value - (expected[i] as number))), 0) / size;
}

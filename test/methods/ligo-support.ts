/**
 * Tiny networks for the tests of LiGO, their runs in float64, and LiGO's weights by a second way: the paper's, on
 * matrices [outputs, inputs], which widens every small layer with whole operators [I; S] and blends afterwards.
 */
import { Graph } from '../../lib/engine/graph.js';
import { lower } from '../../lib/engine/lowering.js';
import { size } from '../../lib/engine/shape.js';
import { type LigoInit, type LigoWeights, ligoWeights } from '../../lib/methods/ligo-weights.js';
import type { WeightSource } from '../../lib/methods/method.js';
import type { SmallModel } from '../../lib/methods/small-model.js';
import {
  type BatchShape,
  createModel,
  type LanguageModel,
  type ModelConfig,
  type ParameterSpec,
  storedWeights,
  type Trace,
  withDefaults,
  withShape,
} from '../../lib/models/index.js';
import type { Weights } from '../../lib/nn/index.js';
import { interpret } from '../reference/interpreter.js';

export type Values = Map<string, Float64Array>;

export type Kind = 'gpt' | 'bert' | 'llama';

export const smallSizes = { layers: 2, hidden: 4, heads: 2, ffn: 6 };

/** Wider and deeper by odd factors. */
export const largeConfig = (kind: Kind, sizes: Partial<ModelConfig> = {}): ModelConfig =>
  withDefaults({
    kind,
    layers: 3,
    hidden: 6,
    heads: 3,
    ffn: 11,
    vocabSize: 7,
    maxPositions: 4,
    dropout: 0,
    attentionDropout: 0,
    ...(kind === 'llama' && { attentionBias: 'all', ffnBias: true }),
    ...sizes,
  });

export const batchShape: BatchShape = { batch: 2, seq: 4, targets: 3, padding: false };

export function batchOf(kind: Kind): Record<string, Int32Array> {
  const tokens = Int32Array.of(3, 1, 6, 2, 5, 5, 0, 4);
  return kind === 'bert'
    ? { tokens, positions: Int32Array.of(1, 6, 3), labels: Int32Array.of(2, 4, 5) }
    : { tokens, labels: Int32Array.of(1, 6, 2, -100, 5, 0, 4, -100) };
}

/** Numbers that look random, of about the given size, the same everywhere; exact in f32. */
export function scattered(count: number, seed: number, scale = 0.5): Float64Array {
  return Float64Array.from({ length: count }, (_, i) => {
    const x = Math.sin(12.9898 * (i + 1) + 78.233 * (seed + 1)) * 43758.5453;
    return Math.fround(scale * (2 * (x - Math.floor(x)) - 1));
  });
}

export interface Tiny {
  readonly model: LanguageModel;
  readonly small: SmallModel;
  readonly ligo: LigoWeights;
  /** The small model's weights by its own names. */
  readonly trained: Values;
  readonly source: WeightSource;
}

export const defaultInit: LigoInit = { width: 'rand', depth: 'stackbert_noisy', selectionNoise: 0, seed: 3 };

export function tiny(config: ModelConfig, small: SmallModel = smallSizes, init: LigoInit = defaultInit): Tiny {
  const smallConfig = { ...config, ...small };
  const trained: Values = new Map();
  for (const { name, shape, init: start } of createModel(smallConfig).parameters(small.layers)) {
    const values = scattered(size(shape), trained.size);
    trained.set(name, start.kind === 'ones' ? values.map((x) => Math.fround(1 + x / 2)) : values);
  }
  const source: WeightSource = {
    config: smallConfig,
    layers: small.layers,
    async read(name) {
      const values = trained.get(name);
      if (!values) throw new Error(`the small model has no ${name}`);
      return Float32Array.from(values);
    },
  };
  return {
    model: createModel(config),
    small,
    ligo: ligoWeights(config, { ...withShape(config, small), layers: small.layers }, init),
    trained,
    source,
  };
}

/** Initial contents of the store. */
export async function initialState({ ligo, source }: Tiny): Promise<Values> {
  const state: Values = new Map();
  for (const spec of ligo.parameters) state.set(spec.name, Float64Array.from(await ligo.initial(spec, source)));
  return state;
}

/** The same with operators of any values, as training may leave them. */
export async function trainedState(network: Tiny): Promise<Values> {
  const state = await initialState(network);
  for (const [name, values] of state) {
    if (name.startsWith('operator.')) state.set(name, scattered(values.length, state.size + name.length, 0.6));
  }
  return state;
}

/** Traces the large model on `weights`, by default LiGO's expressions. */
export function traced(
  { model, ligo }: Tiny,
  precision: 'f32' | 'bf16' = 'f32',
  weightsOf: (graph: Graph) => Weights = (graph) =>
    ligo.weights(graph, storedWeights(graph, ligo.parameters, precision)),
): { graph: Graph; trace: Trace; weights: Weights } {
  const graph = new Graph();
  const weights = weightsOf(graph);
  const layerMap = Array.from({ length: model.config.layers }, (_, layer) => layer);
  const trace = model.trace(graph, weights, batchShape, { layerMap, training: true });
  graph.output('loss', trace.loss);
  return { graph, trace, weights };
}

/** Runs a graph in float64: its outputs, and the gradients it has accumulated. */
export function run64(
  graph: Graph,
  state: Values,
  feeds: Record<string, ArrayLike<number>>,
): { outputs: Record<string, Float64Array>; gradients: Values } {
  const lowered = lower(graph);
  const gradients: Values = new Map();
  const buffers = lowered.buffers.map(({ kind, name, shape }) => {
    if (kind !== 'gradient') return state.get(name)!;
    gradients.set(name, gradients.get(name) ?? new Float64Array(size(shape)));
    return gradients.get(name)!;
  });
  const inputs = lowered.inputs.map(({ name }) => feeds[name]!);
  const results = interpret(lowered.desc, buffers, inputs);
  return { outputs: Object.fromEntries(lowered.outputs.map(({ name }, slot) => [name, results[slot]!])), gradients };
}

export type Matrix = number[][];

export const transpose = (a: Matrix): Matrix => a[0]!.map((_, column) => a.map((row) => row[column]!));
export const product = (a: Matrix, b: Matrix): Matrix =>
  a.map((row) => transpose(b).map((column) => row.reduce((sum, x, k) => sum + x * column[k]!, 0)));
export const toMatrix = (values: ArrayLike<number>, columns: number): Matrix =>
  Array.from({ length: values.length / columns }, (_, row) =>
    Array.from({ length: columns }, (_, column) => values[row * columns + column]!),
  );

/** module: operators of inputs (A) and outputs (B), as the paper's section 3.3 and appendix B.1 have them. */
const tieTable: Record<string, [a: string, b: string]> = {
  'attention.query': ['emb', 'attention.query'],
  'attention.key': ['emb', 'attention.key'],
  'attention.value': ['emb', 'attention.value'],
  'attention.output': ['attention.value', 'emb'],
  'attention.norm': ['-', 'emb'],
  'ffn.gate': ['emb', 'ffn.gate'],
  'ffn.up': ['emb', 'ffn.up'],
  'ffn.down': ['ffn.up', 'emb'],
  'ffn.norm': ['-', 'emb'],
};
/** LiGO by the paper's formulas. */
export class Reference {
  /** Modules whose outputs are side by side in a tensor, all of equal width. */
  readonly fused: Readonly<Record<string, readonly string[]>>;

  constructor(
    readonly network: Tiny,
    readonly state: Values,
  ) {
    this.fused = {
      'attention.qkv': ['attention.query', 'attention.key', 'attention.value'],
      ...(network.model.config.kind === 'llama' && { 'ffn.up': ['ffn.gate', 'ffn.up'] }),
    };
  }

  /** The whole operator [I; S] of `module` of large layer `layer`, of `old` units. */
  operator(module: string, layer: number, old: number): Matrix {
    const name = module === 'emb' ? 'operator.embeddings.width' : `operator.layer.${layer}.${module}.width`;
    const identity = Array.from({ length: old }, (_, i) => Array.from({ length: old }, (_, j) => Number(i === j)));
    return [...identity, ...toMatrix(this.state.get(name) ?? [], old)];
  }

  /** W_j [outputs, inputs] of small layer `j`; a bias or norm is [outputs, 1]. */
  smallWeight(j: number, module: string, kind: string): Matrix {
    const [tensor, modules] = Object.entries(this.fused).find(([, parts]) => parts.includes(module)) ?? [
      module,
      [module],
    ];
    const stored = this.network.trained.get(`layer.${j}.${tensor}.${kind}`)!;
    const { hidden, ffn } = this.network.small;
    const outputs = tensor === 'ffn.up' ? ffn : hidden;
    const first = modules.indexOf(module) * outputs;
    return transpose(toMatrix(stored, modules.length * outputs)).slice(first, first + outputs);
  }

  /** W'_j = B W_j A^T for large layer `layer`. */
  widened(layer: number, j: number, module: string, kind: string): Matrix {
    const [a, b] = tieTable[module]!;
    const w = this.smallWeight(j, module, kind);
    const tall = product(this.operator(b, layer, w.length), w);
    return kind === 'bias' || a === '-' ? tall : product(tall, transpose(this.operator(a, layer, w[0]!.length)));
  }

  depth(layer: number, module: string, kind: string): Float64Array {
    return this.state.get(`operator.layer.${layer}.${module}.${kind}.depth`)!;
  }

  /** W''_l = sum_j w[l, j] W'_j, as [inputs, outputs]. */
  layerWeight(layer: number, module: string, kind: string): Matrix {
    const w = this.depth(layer, module, kind);
    const layers = [...w].map((weight, j) =>
      this.widened(layer, j, module, kind).map((row) => row.map((x) => weight * x)),
    );
    return transpose(layers.reduce((sum, next) => sum.map((row, i) => row.map((x, k) => x + next[i]![k]!))));
  }

  /** The large model's parameter, row-major. */
  weight({ name }: ParameterSpec): number[] {
    const [, layer, module, kind] = /^layer\.(\d+)\.(.+)\.(weight|bias)$/.exec(name) ?? [];
    if (layer !== undefined) {
      const modules = this.fused[module!] ?? [module!];
      const parts = modules.map((part) => this.layerWeight(Number(layer), part, kind!));
      return parts[0]!.flatMap((_, row) => parts.flatMap((part) => part[row]!));
    }
    const stored = this.network.trained.get(name)!;
    if (name === 'head.bias') return [...stored];
    const b = this.operator('emb', 0, this.network.small.hidden);
    const tall =
      name === 'head.transform.weight' ? product(b, toMatrix(stored, b[0]!.length)) : toMatrix(stored, b[0]!.length);
    return product(tall, transpose(b)).flat();
  }
}

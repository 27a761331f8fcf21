/**
 * Interface of a language model: a configuration, a list of parameters, a graph for any layer
 * map, and its FLOPs. A model holds no data and never touches a device.
 */
import type { Graph, Tensor } from '../engine/graph.js';
import { type Shape, size } from '../engine/shape.js';
import { ApolloError, check } from '../errors.js';
import * as is from '../is.js';
import { atPositions, flatten } from '../nn/heads.js';
import type { Weights } from '../nn/layers.js';
import type { ModelConfig } from './config.js';

export type { ModelConfig } from './config.js';

/** How a parameter starts. `std` is the standard deviation of a normal distribution around 0. */
export type Initial =
  | { readonly kind: 'normal'; readonly std: number }
  | { readonly kind: 'zeros' }
  | { readonly kind: 'ones' };

/**
 * A dimension of the network along which tensors have units: the residual stream, all query heads, all key/value heads,
 * the feed-forward units; or one that does not grow: dimensions of a head, tokens, positions, token types, outputs of a task.
 */
export type Axis =
  | 'hidden'
  | 'heads'
  | 'keyValueHeads'
  | 'ffn'
  | 'headSize'
  | 'vocab'
  | 'positions'
  | 'types'
  | 'outputs';

/** Units side by side along one dimension of a tensor. */
export interface Span {
  /** The dimension of the network that the units belong to, which decides how they grow. */
  readonly axis: Axis;
  /** Number of units. */
  readonly size: number;
  /** The module of the layer that makes the units, as `attention.value`; absent for those that belong to no layer. */
  readonly module?: string;
}

/** How a tensor is laid out along the axes. */
export interface TensorAxes {
  /** A matrix's inputs, or a table's entries; absent for vectors. */
  readonly rows?: Span;
  /** Outputs; several where matrices are side by side, as fused queries, keys and values. */
  readonly columns: readonly Span[];
}

/**
 * Role of a tensor in growth, in addition to its shape. 'branchOutput': it ends a residual branch; 'norm': it belongs to a
 * norm; 'innerNorm': to the norm between the two branches of a post-norm layer; 'headNorm': to the norm whose output the
 * head's matrix reads.
 */
export type TensorUse = 'branchOutput' | 'norm' | 'innerNorm' | 'headNorm';

/** Where a parameter is in a Hugging Face checkpoint: one tensor, or several whose outputs are joined. */
export interface ForeignTensors {
  /** Names of the tensors in the file; of several, their outputs are joined in this order. */
  readonly names: readonly string[];
  /** Theirs is [outputs, inputs], ours [inputs, outputs]. */
  readonly transposed: boolean;
}

/** One trained tensor of a model. */
export interface ParameterSpec {
  /** `layer.<layer>.<part>`, or the part alone. */
  readonly name: string;
  /** Its name within its layer. */
  readonly part: string;
  /** The layer it belongs to; absent for embeddings, final norm and head. */
  readonly layer?: number;
  /** Extents, outermost first: a matrix is [inputs, outputs], a table [entries, width]. */
  readonly shape: Shape;
  /** The values that it starts with. */
  readonly init: Initial;
  /** Whether weight decay applies: matrices and tables yes, biases and norms no. */
  readonly decay: boolean;
  /** 'matrix': used in the working precision (bf16 copy in bf16 runs); 'vector': always f32. */
  readonly role: 'matrix' | 'vector';
  /** Absent for parameters of methods, which do not grow. */
  readonly axes?: TensorAxes;
  /** Its role in growth beyond its shape; absent for those without one. */
  readonly use?: TensorUse;
  /** A row that starts as zeros (the padding token's embedding). */
  readonly zeroRow?: number;
  /** Absent: such checkpoints have no place for it. */
  readonly foreign?: ForeignTensors;
}

/** The tokens that a model is trained to predict: each next token, or masked ones. */
export type ObjectiveName = 'causal' | 'masked';

/** The static shape of one batch. */
export interface BatchShape {
  /** Sequences of the batch, B. */
  readonly batch: number;
  /** Tokens per sequence, T; at most the model's `maxPositions`. */
  readonly seq: number;
  /** Masked objective: rows of `positions` and `labels`, the padded number of masked positions in the batch. */
  readonly targets?: number;
  /** Whether there is an input `mask` i32[B, T] (1 = a real token, 0 = padding). */
  readonly padding: boolean;
  /** BERT: whether there is an input `types` i32[B, T]; without it every token has type 0. */
  readonly types?: boolean;
}

/** How a training graph is recorded. */
export interface TraceOptions {
  /** Entry i names the layer whose weights form layer i; its length is the depth. Any map is allowed. */
  readonly layerMap: readonly number[];
  /** Dropout on, and activations kept for a backward pass. */
  readonly training: boolean;
  /** Also the logits of every position, f32 [B*T, V]. They are large: for checks and for generation. */
  readonly logits?: boolean;
  /** Also the hidden states [B, T, C]: the embeddings' output, then one for each layer. */
  readonly hiddenStates?: boolean;
  /** Whether there is an input `branchScales` f32[depth]: the factor of both residual branches of each layer. */
  readonly branchScales?: boolean;
  /** Whether there is an input `blockGates` f32[depth]: the factor m of each whole layer, h = m layer(h) + (1 - m) h. */
  readonly blockGates?: boolean;
}

/** The static shape of what `predict` reads: no labels. */
export interface PredictionShape {
  /** Sequences of the batch, B. */
  readonly batch: number;
  /** Tokens per sequence, T; at most the model's `maxPositions`. */
  readonly seq: number;
  /** Rows of logits: an input `rows` i32[targets] says of which positions, flat. Without it all of them, in order. */
  readonly targets?: number;
  /** Whether there is an input `mask` i32[B, T] (1 = a real token, 0 = padding). */
  readonly padding?: boolean;
  /** BERT: whether there is an input `types` i32[B, T]. */
  readonly types?: boolean;
}

/**
 * Causal models: keys and values of earlier tokens stay on the device, in the program's states (lib/nn/transformer.ts). An input
 * `positions` i32[B, T] says where the new tokens are.
 */
export interface DecodingOptions {
  /** Sequences that are kept: as many as the batch has, or any number when the batch is 1 and `first`. */
  readonly batch: number;
  /** Positions that are kept, at most the model's. */
  readonly length: number;
  /** The tokens are the first of their sequences, at 0, 1, 2, …; else they may attend to all that is kept before them. */
  readonly first: boolean;
}

/** How a prediction is recorded. */
export type PredictionOptions = Pick<BodyOptions, 'layerMap' | 'decoding'>;

/** What recording a training graph gives. */
export interface Trace {
  /** Mean cross-entropy over the counted labels, in nats, scalar f32. */
  readonly loss: Tensor;
  /** Number of labels that count, f32 of one element: the weight of `loss` among other batches. */
  readonly count: Tensor;
  /** Logits of every position, f32 [B*T, V]; present when asked for. */
  readonly logits?: Tensor;
  /**
   * The embeddings' output, then one tensor for each layer, [B, T, C] each, the last one after a final norm where
   * there is one; present when asked for.
   */
  readonly hiddenStates?: Tensor[];
}

/** Outputs of a body's forward pass. */
export interface BodyTrace {
  /** The last layer's output, [B, T, C]; of a pre-norm model after the final norm. */
  readonly hidden: Tensor;
  /** The embeddings' output, then one for each layer, [B, T, C] each. */
  readonly states: Tensor[];
  /** For a pre-norm model: the residual stream before the final norm, [B, T, C]. */
  readonly stream?: Tensor;
}

/** A model up to its last hidden state: embeddings and layers, without the language-model head. */
export interface ModelBody {
  /** Parameters of the embeddings, of layers 0 to trainedLayers - 1 and of a final norm, in the order of the whole model's. */
  parameters(trainedLayers: number): ParameterSpec[];
  /**
   * Records the forward pass. Inputs: `tokens` i32[B, T]; `types`, `mask`, `branchScales` and `blockGates` as for the whole model.
   * @throws ApolloError BAD_ARGUMENT for a layer map or batch shape that does not fit the model.
   */
  trace(graph: Graph, weights: Weights, batch: Omit<PredictionShape, 'targets'>, options: BodyOptions): BodyTrace;
}

/** How a body is recorded, see {@link ModelBody}. */
export interface BodyOptions extends Pick<TraceOptions, 'layerMap' | 'training' | 'branchScales' | 'blockGates'> {
  /** Causal models, when not training: with keys and values of earlier tokens. */
  readonly decoding?: DecodingOptions | undefined;
}

/** The parts that a family creates for a configuration. */
export interface ModelGraphs {
  /** The model without its head, for those that put another on it. */
  readonly body: ModelBody;
  /** Shared parameters and those of layers 0 to trainedLayers - 1, in a fixed order. */
  parameters(trainedLayers: number): ParameterSpec[];
  /**
   * Records the forward pass. Inputs: `tokens` i32[B, T]; causal: `labels` i32[B*T], already shifted (last
   * position -100); masked: `positions` i32[P] (flat, padded with 0), `labels` i32[P] (padded with -100); `types` and
   * `mask` as the batch shape says.
   * @throws ApolloError BAD_ARGUMENT for a layer map or batch shape that does not fit the model.
   */
  trace(graph: Graph, weights: Weights, batch: BatchShape, options: TraceOptions): Trace;
  /**
   * Records the forward pass without a loss: logits f32 [targets, V] of the rows that the shape asks for. Inputs:
   * `tokens` i32[B, T], and `rows`, `mask`, `types`, `positions` as shape and options say.
   * @throws ApolloError BAD_ARGUMENT for a layer map, shape or decoding that does not fit the model.
   */
  predict(graph: Graph, weights: Weights, batch: PredictionShape, options: PredictionOptions): Tensor;
  /**
   * Records the language-model head: hidden states [rows, C] -> logits f32 [rows, V]. They are large; `trace` forms its loss
   * without them.
   */
  logits(rows: Tensor, weights: Weights, training: boolean): Tensor;
}

/** A model, from {@link createModel}: its parameters and graphs. It holds no weights. */
export interface LanguageModel extends ModelGraphs {
  /** Its configuration, as `createModel` has checked it. */
  readonly config: ModelConfig;
  /** The training objective, by which batches have their fields: that of its family. */
  readonly objective: ObjectiveName;
  /** Forward FLOPs per token at the configured length; the head on all positions. */
  readonly flops: {
    /** Of one layer, with sequences of `maxPositions`. */
    readonly layer: number;
    /** Of the head. */
    readonly head: number;
  };
  /** Training FLOPs per token (3 x forward) at any depth and length: `flops.model`. */
  flopsPerToken(depth: number, seq: number): number;
}

/** The rows of hidden [B, T, C] that a prediction is asked for, [targets, C]. */
export function wantedRows(graph: Graph, hidden: Tensor, { targets }: PredictionShape): Tensor {
  return targets === undefined ? flatten(hidden) : atPositions(hidden, graph.input('rows', [targets], 'i32'));
}

const takesParameterCount = is.takes('parameterCount', {
  specs: is.list(is.object('a ParameterSpec (from model.parameters)', { shape: is.shape })),
});

/**
 * Elements of all `specs`.
 * @example
 * parameterCount(model.parameters(model.config.layers));
 */
export function parameterCount(specs: readonly Pick<ParameterSpec, 'shape'>[]): number {
  takesParameterCount(specs);
  return specs.reduce((total, { shape }) => total + size(shape), 0);
}

const takesCheckTrace = is.takes('checkTrace', {
  config: is.modelConfig,
  batch: is.batchSize,
  layerMap: is.list(is.number),
});

/**
 * Checks what every model checks before tracing: batch and layer map fit the configuration.
 * @example
 * checkTrace(config, { batch: 2, seq: 8 }, [0, 1]);
 * @throws {ApolloError} BAD_ARGUMENT naming what does not, or an argument that is wrong.
 */
export function checkTrace(
  config: ModelConfig,
  batch: Pick<BatchShape, 'batch' | 'seq'>,
  layerMap: readonly number[],
): void {
  takesCheckTrace(config, batch, layerMap);

  const { layers, maxPositions } = config;
  check(layerMap.length > 0, 'layerMap is empty: a model needs at least one layer. For the plain model: 0, 1, 2, ….');
  layerMap.forEach((layer, position) => {
    check(
      Number.isInteger(layer) && layer >= 0 && layer < layers,
      `layerMap[${position}] is ${layer}, but the model has layers 0 to ${layers - 1}.`,
    );
  });
  for (const name of ['batch', 'seq'] as const) {
    check(
      Number.isInteger(batch[name]) && batch[name] > 0,
      `${name} must be a positive whole number; got ${batch[name]}.`,
    );
  }
  check(
    batch.seq <= maxPositions,
    `seq ${batch.seq} is longer than the model's ${maxPositions} positions. Use shorter sequences or raise maxPositions.`,
  );
}

/** The usual Weights function of a model: `storedWeights` of all its parameters. */
export function modelWeights(graph: Graph, model: LanguageModel, precision: 'f32' | 'bf16'): Weights {
  return storedWeights(graph, model.parameters(model.config.layers), precision);
}

/**
 * Each weight is a parameter leaf of its name; matrices take the store's bf16 working copy in bf16 runs. A weight that
 * `specs` does not list is a defect of the model and named as such.
 */
export function storedWeights(graph: Graph, specs: readonly ParameterSpec[], precision: 'f32' | 'bf16'): Weights {
  const byName = new Map(specs.map((spec) => [spec.name, spec]));
  return (name, shape, role) => {
    const spec = byName.get(name);
    if (!spec || spec.role !== role || spec.shape.join() !== shape.join()) {
      throw new ApolloError(
        'INTERNAL',
        `The model asks for ${role} "${name}" [${shape.join(', ')}], which its parameters do not list so.`,
      );
    }
    return graph.parameter(name, shape, role === 'matrix' ? precision : 'f32');
  };
}

/**
 * Self-attention, the feed-forward part, and the two kinds of transformer stack: post-norm (BERT) and pre-norm
 * (GPT-2, Llama). Layer i of a stack uses the weights called `layer.<layerMap[i]>.…`: a layer used twice is the same
 * parameter, whose gradient is the sum over its uses.
 */
import type { Tensor } from '../engine/graph.js';
import {
  add,
  appendToCache,
  attention,
  cachedAttention,
  cast,
  concat,
  dropout,
  gelu,
  mul,
  relu,
  reshape,
  rotary,
  scale,
  silu,
  slice,
  swiglu,
} from '../engine/ops/index.js';
import * as is from '../is.js';
import { type Activation, addNorm, addScaleNorm, linear, norm, scaleNorm, type Weights } from './layers.js';

/**
 * The keys and values of earlier tokens, which a decoding stack keeps on the device: states `cache.<place>.keys` and
 * `cache.<place>.values` [batch, length, keyValueHeads headSize] for each place of the stack (a layer used twice has two). The tokens of a
 * run are new: theirs are added.
 */
export interface StackCache {
  /** Sequences that are kept; the tokens are of as many, or of one that begins all of them. */
  readonly batch: number;
  /** Positions that are kept. */
  readonly length: number;
  /** i32[B, T]: where each new token is. */
  readonly positions: Tensor;
  /** The new tokens are the first: they attend to each other by the ordinary attention and to nothing before them. */
  readonly first: boolean;
}

/** Which linear layers have a bias. */
export interface Biases {
  /** Queries, keys and values. */
  readonly qkv: boolean;
  /** The output projection of attention. */
  readonly attentionOutput: boolean;
  /** The linear layers of the feed-forward part. */
  readonly ffn: boolean;
}

const allBiases: Biases = { qkv: true, attentionOutput: true, ffn: true };

/** Options shared by the layers of one stack. */
export interface StackOptions {
  /** Entry i names the trained layer whose weights form layer i; its length is the depth of the stack. */
  readonly layerMap: readonly number[];
  /** Query heads of each layer; with no `headSize`, C must be a multiple of it. */
  readonly heads: number;
  /** Width of the feed-forward part. */
  readonly ffn: number;
  /** Added to the variance, or to the mean square of RMS norms, in every norm. */
  readonly epsilon: number;
  /** Drop probability of the residual branches; 0 when not training. */
  readonly dropout: number;
  /** Drop probability of the attention probabilities; 0 when not training. */
  readonly attentionDropout: number;
  /** Whether a position attends only to itself and those before it. */
  readonly causal: boolean;
  /** Activation of the feed-forward part; not used where it is `gated`. */
  readonly activation: Activation;
  /** Key/value heads, each shared by heads / keyValueHeads query heads (Ainslie et al. 2023); default: `heads`. */
  readonly keyValueHeads?: number | undefined;
  /** Dimensions of a head; default: C / heads. */
  readonly headSize?: number | undefined;
  /** Whether each head's query and key pass an RMS norm before they are turned (Qwen3). */
  readonly queryKeyNorms?: boolean | undefined;
  /** Inverse frequencies of rotary position embeddings of queries and keys (Su et al. 2021); absent: none. */
  readonly rotaryFrequencies?: readonly number[] | undefined;
  /** Type of all norms of the stack: layer norm (default) or RMS norm. */
  readonly norm?: 'layer' | 'rms' | undefined;
  /** Whether the feed-forward part is down(SwiGLU(gate and up)) (Shazeer 2020) instead of down(activation(up)). */
  readonly gated?: boolean | undefined;
  /** Which linear layers have biases; default: all. */
  readonly biases?: Biases | undefined;
  /** False fuses the activation into the matmul, which keeps nothing for a backward pass. */
  readonly training: boolean;
  /** i32[B, T], 1 where a position may be attended to. */
  readonly mask?: Tensor | undefined;
  /** f32[depth]: the factor of both residual branches of each layer. */
  readonly branchScales?: Tensor | undefined;
  /** f32[depth]: the factor m of each whole layer, h = m layer(h) + (1 - m) h (MSG, arXiv 2305.02869). */
  readonly blockGates?: Tensor | undefined;
  /** For decoding by a causal stack. */
  readonly cache?: StackCache | undefined;
}

/** A residual branch [B, T, C] times the factor of its layer. */
function scaledBranch(branch: Tensor, place: number, { branchScales }: StackOptions): Tensor {
  if (!branchScales) return branch;
  return mul(branch, cast(slice(branchScales, [place], [1]), branch.dtype));
}

/**
 * m after + (1 - m) before, for the output and the input of the layer at `place` [B, T, C]: exactly `before` for a gate
 * of 0, exactly `after` for a gate of 1.
 */
function gatedLayer(after: Tensor, before: Tensor, place: number, { blockGates }: StackOptions): Tensor {
  if (!blockGates) return after;
  const gate = slice(blockGates, [place], [1]);
  const opposite = scale(gate, -1, 1);
  return add(mul(after, cast(gate, after.dtype)), mul(before, cast(opposite, before.dtype)));
}

/** Heads of rows qkv [B, T, (heads + 2 keyValueHeads) headSize], and the size of each. */
interface Heads {
  readonly heads: number;
  readonly keyValueHeads: number;
  readonly headSize: number;
}

function headsOf({ heads, keyValueHeads = heads, headSize }: StackOptions, hidden: number): Heads {
  return { heads, keyValueHeads, headSize: headSize ?? hidden / heads };
}

/** Queries and keys, each head's normed by weights that all heads share; values as they are. */
function normedHeads(
  qkv: Tensor,
  weights: Weights,
  prefix: string,
  { heads, keyValueHeads, headSize }: Heads,
  { queryKeyNorms, epsilon }: StackOptions,
): Tensor {
  if (!queryKeyNorms) return qkv;
  const [batch, seq] = qkv.shape as [number, number, number];
  const part = (first: number, count: number) => slice(qkv, [0, 0, first * headSize], [batch, seq, count * headSize]);
  const normed = (x: Tensor, name: string) => {
    const apart = reshape(x, [batch, seq, -1, headSize]);
    return reshape(scaleNorm(apart, weights, `${prefix}.${name}`, epsilon), x.shape);
  };
  const queries = normed(part(0, heads), 'queryNorm');
  const keys = normed(part(heads, keyValueHeads), 'keyNorm');
  return concat([queries, keys, part(heads + keyValueHeads, keyValueHeads)], -1);
}

/** Queries and keys turned by their positions; values as they are. */
function rotated(qkv: Tensor, { heads, keyValueHeads, headSize }: Heads, options: StackOptions): Tensor {
  const { rotaryFrequencies: frequencies, cache } = options;
  if (!frequencies) return qkv;
  const positions = cache?.first ? undefined : cache?.positions;
  return rotary(qkv, { headSize, heads: heads + keyValueHeads, frequencies, positions });
}

/** Outputs of the heads for qkv, concatenated: [B, T, heads headSize]. With a cache, `place` says which one. */
function mixHeads(
  qkv: Tensor,
  place: number,
  { heads, keyValueHeads, headSize }: Heads,
  options: StackOptions,
): Tensor {
  const { causal, mask, attentionDropout: p, cache } = options;
  if (!cache) return attention({ qkv }, { heads, keyValueHeads, causal, p, mask });
  const shape = [cache.batch, cache.length, keyValueHeads * headSize];
  const state = (part: string): Tensor => qkv.graph.state(`cache.${place}.${part}`, shape, qkv.dtype);
  const filled = appendToCache(qkv, { keys: state('keys'), values: state('values') }, cache.positions);
  return cache.first
    ? attention({ qkv }, { heads, keyValueHeads, causal })
    : cachedAttention(qkv, filled, cache.positions, { heads, keyValueHeads });
}

const takesSelfAttention = is.takes('selfAttention', {
  x: is.tensor,
  weights: is.weights,
  prefix: is.name,
  options: is.stackOptions,
  place: is.index,
});

/**
 * Multi-head self-attention with its output projection: [B, T, C] -> [B, T, C]. Scores are scaled by 1/sqrt(headSize).
 * `place` is the layer's position in the stack.
 * @param x [B, T, C].
 * @param weights Gives the tensors of parameters by name.
 * @param prefix Name of the module, such as `layer.0.attention`.
 * @param options Heads, masks and dropout of the stack.
 * @param place The layer's position in the stack, from 0. Default: 0.
 * @example
 * const y = selfAttention(hidden, weights, 'layer.0.attention', stackOptions);
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function selfAttention(x: Tensor, weights: Weights, prefix: string, options: StackOptions, place = 0): Tensor {
  takesSelfAttention(x, weights, prefix, options, place);

  const width = x.shape[2] as number;
  const heads = headsOf(options, width);
  const { qkv: bias, attentionOutput } = options.biases ?? allBiases;
  const columns = (heads.heads + 2 * heads.keyValueHeads) * heads.headSize; // queries, keys, values
  const made = linear(x, weights, `${prefix}.qkv`, columns, { bias });
  const qkv = rotated(normedHeads(made, weights, prefix, heads, options), heads, options);
  return linear(mixHeads(qkv, place, heads, options), weights, `${prefix}.output`, width, { bias: attentionOutput });
}

const takesFeedForward = is.takes('feedForward', {
  x: is.tensor,
  weights: is.weights,
  prefix: is.name,
  options: is.stackOptions,
});

/**
 * down(activation(up(x))), or gated down(SwiGLU(up(x))) with gate and up side by side in `up`: [B, T, C] -> [B, T, C]
 * through [B, T, ffn].
 * @example
 * const y = feedForward(hidden, weights, 'layer.0.ffn', stackOptions);
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function feedForward(x: Tensor, weights: Weights, prefix: string, options: StackOptions): Tensor {
  takesFeedForward(x, weights, prefix, options);

  const { training, ffn, activation, gated = false } = options;
  const { ffn: bias } = options.biases ?? allBiases;
  const inner = gated
    ? swiglu(linear(x, weights, `${prefix}.up`, 2 * ffn, { bias }))
    : activatedLinear(x, weights, `${prefix}.up`, ffn, activation, training, bias);
  return linear(inner, weights, `${prefix}.down`, x.shape[2] as number, { bias });
}

const takesActivatedLinear = is.takes('activatedLinear', {
  x: is.tensor,
  weights: is.weights,
  name: is.name,
  outputs: is.count,
  activation: is.activation,
  training: is.boolean,
  bias: is.optional(is.boolean),
});

/**
 * activation(x W + b). GELU: one op when nothing must be kept for the gradient, else the pre-activation is its own tensor;
 * the others are an op of their own in both.
 * @param x [.., inputs].
 * @param weights Gives the tensors of parameters by name.
 * @param name Name of the module, whose parameters are `NAME.weight` and `NAME.bias`.
 * @param outputs Number of columns of W.
 * @param activation The activation.
 * @param training Whether the graph is trained, so that what its backward pass needs is kept.
 * @param bias Whether there is b. Default: true.
 * @example
 * const y = activatedLinear(x, weights, 'ffn.up', 256, 'gelu', true);
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function activatedLinear(
  x: Tensor,
  weights: Weights,
  name: string,
  outputs: number,
  activation: Activation,
  training: boolean,
  bias = true,
): Tensor {
  takesActivatedLinear(x, weights, name, outputs, activation, training, bias);

  const isGelu = activation === 'gelu' || activation === 'geluTanh';
  if (isGelu && !training) return linear(x, weights, name, outputs, { activation, bias });
  const before = linear(x, weights, name, outputs, { bias });
  if (isGelu) return gelu(before, { tanh: activation === 'geluTanh' });
  return activation === 'relu' ? relu(before) : silu(before);
}

const takesPostNormStack = is.takes('postNormStack', { x: is.tensor, weights: is.weights, options: is.stackOptions });

/**
 * Post-norm stack (BERT): x = LN(x + dropout(attention(x))); x = LN(x + dropout(ffn(x))). `hidden` is the last layer's
 * output, `states` the input of the stack and the output of every layer, depth + 1 tensors [B, T, C].
 * @param x Embeddings, [B, T, C].
 * @param weights Gives the tensors of parameters by name.
 * @param options Sizes, order and dropout of the layers.
 * @example
 * const y = postNormStack(hidden, weights, stackOptions);
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function postNormStack(
  x: Tensor,
  weights: Weights,
  options: StackOptions,
): {
  /** Output of the stack, [B, T, C]. */
  hidden: Tensor;
  /** Input of the stack and output of every layer, depth + 1 tensors [B, T, C]. */
  states: Tensor[];
} {
  takesPostNormStack(x, weights, options);

  const { epsilon, dropout: p } = options;
  const addNormalise = options.norm === 'rms' ? addScaleNorm : addNorm;
  const states = [x];
  let hidden = x;
  for (const [place, index] of options.layerMap.entries()) {
    const layer = `layer.${index}`;
    const mixed = scaledBranch(selfAttention(hidden, weights, `${layer}.attention`, options, place), place, options);
    const middle = addNormalise(mixed, hidden, weights, `${layer}.attention.norm`, { epsilon, p }).y;
    const changed = scaledBranch(feedForward(middle, weights, `${layer}.ffn`, options), place, options);
    const after = addNormalise(changed, middle, weights, `${layer}.ffn.norm`, { epsilon, p }).y;
    hidden = gatedLayer(after, hidden, place, options);
    states.push(hidden);
  }
  return { hidden, states };
}

const takesPreNormStack = is.takes('preNormStack', {
  x: is.tensor,
  weights: is.weights,
  finalNorm: is.name,
  options: is.stackOptions,
});

/**
 * Pre-norm stack (GPT-2, Llama): x += dropout(attention(norm(x))); x += dropout(ffn(norm(x))); at the end `finalNorm`.
 * Every residual add is fused with the norm that follows it, be it in the next layer or the final one. `states` as
 * Hugging Face counts them: the input, the sum after every layer but the last, and the output of the final norm. `stream` is
 * the sum after the last layer.
 * @param x Embeddings, [B, T, C].
 * @param weights Gives the tensors of parameters by name.
 * @param finalNorm Name of the norm at the end.
 * @param options Sizes, order and dropout of the layers.
 * @example
 * const y = preNormStack(hidden, weights, 'final.norm', stackOptions);
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function preNormStack(
  x: Tensor,
  weights: Weights,
  finalNorm: string,
  options: StackOptions,
): {
  /** Output of the final norm, [B, T, C]. */
  hidden: Tensor;
  /** The input, the sum after every layer but the last, and `hidden`: depth + 1 tensors [B, T, C]. */
  states: Tensor[];
  /** Sum after the last layer, before the final norm, [B, T, C]. */
  stream: Tensor;
} {
  takesPreNormStack(x, weights, finalNorm, options);

  const { epsilon, dropout: p, layerMap } = options;
  const [normalise, addNormalise] = options.norm === 'rms' ? [scaleNorm, addScaleNorm] : [norm, addNorm];
  const states = [x];
  let sum = x;
  let normed = normalise(x, weights, `layer.${layerMap[0]}.attention.norm`, epsilon);
  layerMap.forEach((index, position) => {
    const layer = `layer.${index}`;
    const next = position + 1 < layerMap.length ? `layer.${layerMap[position + 1]}.attention.norm` : finalNorm;
    const mixed = scaledBranch(
      selfAttention(normed, weights, `${layer}.attention`, options, position),
      position,
      options,
    );
    const middle = addNormalise(mixed, sum, weights, `${layer}.ffn.norm`, { epsilon, p });
    const changed = scaledBranch(feedForward(middle.y, weights, `${layer}.ffn`, options), position, options);
    if (options.blockGates) {
      sum = gatedLayer(add(middle.sum, dropout(changed, p)), sum, position, options);
      normed = normalise(sum, weights, next, epsilon);
    } else ({ y: normed, sum } = addNormalise(changed, middle.sum, weights, next, { epsilon, p }));
    states.push(next === finalNorm ? normed : sum);
  });
  return { hidden: normed, states, stream: sum };
}

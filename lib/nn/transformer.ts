/**
 * Self-attention, the feed-forward part, and the two kinds of transformer stack: post-norm (BERT) and pre-norm
 * (GPT-2). Layer i of a stack uses the weights called `layer.<layerMap[i]>.…`: a layer used twice is the same
 * parameter, whose gradient is the sum over its uses.
 */
import type { Tensor } from '../engine/graph.js';
import {
  add,
  appendToCache,
  attention,
  cachedAttention,
  cast,
  dropout,
  gelu,
  mul,
  relu,
  scale,
  silu,
  slice,
} from '../engine/ops/index.js';
import * as is from '../is.js';
import { type Activation, addNorm, linear, norm, type Weights } from './layers.js';

/**
 * The keys and values of earlier tokens, which a decoding stack keeps on the device: states `cache.<place>.keys` and
 * `cache.<place>.values` [batch, length, C] for each place of the stack (a layer used twice has two). The tokens of a
 * run are new: theirs are added.
 */
export interface StackCache {
  /** Sequences that are kept; the tokens are of as many, or of one that begins all of them. */
  readonly batch: number;
  /** Positions that are kept. */
  readonly length: number;
  /** i32[B, T]: where each new token stands. */
  readonly positions: Tensor;
  /** The new tokens are the first: they attend to each other by the ordinary attention and to nothing before them. */
  readonly first: boolean;
}

/** What the layers of one stack have in common. */
export interface StackOptions {
  readonly layerMap: readonly number[];
  readonly heads: number;
  readonly ffn: number;
  readonly epsilon: number;
  /** Drop probabilities of the residual branches and of the attention probabilities; 0 when not training. */
  readonly dropout: number;
  readonly attentionDropout: number;
  readonly causal: boolean;
  readonly activation: Activation;
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

/** What the heads give for qkv [B, T, 3C], side by side: [B, T, C]. With a cache, `place` says which one. */
function mixHeads(qkv: Tensor, place: number, options: StackOptions): Tensor {
  const { heads, causal, mask, attentionDropout: p, cache } = options;
  if (!cache) return attention({ qkv }, { heads, causal, p, mask });
  const shape = [cache.batch, cache.length, (qkv.shape[2] as number) / 3];
  const state = (part: string): Tensor => qkv.graph.state(`cache.${place}.${part}`, shape, qkv.dtype);
  const filled = appendToCache(qkv, { keys: state('keys'), values: state('values') }, cache.positions);
  return cache.first ? attention({ qkv }, { heads, causal }) : cachedAttention(qkv, filled, cache.positions, { heads });
}

const takesSelfAttention = is.takes('selfAttention', {
  x: is.tensor,
  weights: is.weights,
  prefix: is.name,
  options: is.stackOptions,
  place: is.index,
});

/**
 * Multi-head self-attention with its output projection: [B, T, C] -> [B, T, C]. Scores are scaled by 1/sqrt(C/heads).
 * `place` is the layer's position in the stack.
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function selfAttention(x: Tensor, weights: Weights, prefix: string, options: StackOptions, place = 0): Tensor {
  takesSelfAttention(x, weights, prefix, options, place);

  const width = x.shape[2] as number;
  const qkv = linear(x, weights, `${prefix}.qkv`, 3 * width); // [B, T, 3C]: queries, keys, values
  return linear(mixHeads(qkv, place, options), weights, `${prefix}.output`, width);
}

const takesFeedForward = is.takes('feedForward', {
  x: is.tensor,
  weights: is.weights,
  prefix: is.name,
  options: is.stackOptions,
});

/**
 * down(activation(up(x))): [B, T, C] -> [B, T, C] through [B, T, ffn].
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function feedForward(x: Tensor, weights: Weights, prefix: string, options: StackOptions): Tensor {
  takesFeedForward(x, weights, prefix, options);

  const { training, ffn, activation } = options;
  return linear(
    activatedLinear(x, weights, `${prefix}.up`, ffn, activation, training),
    weights,
    `${prefix}.down`,
    x.shape[2] as number,
  );
}

const takesActivatedLinear = is.takes('activatedLinear', {
  x: is.tensor,
  weights: is.weights,
  name: is.name,
  outputs: is.count,
  activation: is.activation,
  training: is.boolean,
});

/**
 * activation(x W + b). GELU: one op when nothing must be kept for the gradient, else the pre-activation is its own tensor;
 * the others are an op of their own in both.
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function activatedLinear(
  x: Tensor,
  weights: Weights,
  name: string,
  outputs: number,
  activation: Activation,
  training: boolean,
): Tensor {
  takesActivatedLinear(x, weights, name, outputs, activation, training);

  const isGelu = activation === 'gelu' || activation === 'geluTanh';
  if (isGelu && !training) return linear(x, weights, name, outputs, activation);
  const before = linear(x, weights, name, outputs);
  if (isGelu) return gelu(before, { tanh: activation === 'geluTanh' });
  return activation === 'relu' ? relu(before) : silu(before);
}

const takesPostNormStack = is.takes('postNormStack', { x: is.tensor, weights: is.weights, options: is.stackOptions });

/**
 * Post-norm stack (BERT): x = LN(x + dropout(attention(x))); x = LN(x + dropout(ffn(x))). `hidden` is the last layer's
 * output, `states` the input of the stack and the output of every layer, depth + 1 tensors [B, T, C].
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function postNormStack(
  x: Tensor,
  weights: Weights,
  options: StackOptions,
): { hidden: Tensor; states: Tensor[] } {
  takesPostNormStack(x, weights, options);

  const { epsilon, dropout: p } = options;
  const states = [x];
  let hidden = x;
  for (const [place, index] of options.layerMap.entries()) {
    const layer = `layer.${index}`;
    const mixed = scaledBranch(selfAttention(hidden, weights, `${layer}.attention`, options, place), place, options);
    const middle = addNorm(mixed, hidden, weights, `${layer}.attention.norm`, { epsilon, p }).y;
    const changed = scaledBranch(feedForward(middle, weights, `${layer}.ffn`, options), place, options);
    const after = addNorm(changed, middle, weights, `${layer}.ffn.norm`, { epsilon, p }).y;
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
 * Pre-norm stack (GPT-2): x += dropout(attention(LN(x))); x += dropout(ffn(LN(x))); at the end LN with `finalNorm`.
 * Every residual add is fused with the norm that follows it, be it in the next layer or the final one. `states` as
 * Hugging Face counts them: the input, the sum after every layer but the last, and the output of the final norm. `stream` is
 * the sum after the last layer.
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function preNormStack(
  x: Tensor,
  weights: Weights,
  finalNorm: string,
  options: StackOptions,
): { hidden: Tensor; states: Tensor[]; stream: Tensor } {
  takesPreNormStack(x, weights, finalNorm, options);

  const { epsilon, dropout: p, layerMap } = options;
  const states = [x];
  let sum = x;
  let normed = norm(x, weights, `layer.${layerMap[0]}.attention.norm`, epsilon);
  layerMap.forEach((index, position) => {
    const layer = `layer.${index}`;
    const next = position + 1 < layerMap.length ? `layer.${layerMap[position + 1]}.attention.norm` : finalNorm;
    const mixed = scaledBranch(
      selfAttention(normed, weights, `${layer}.attention`, options, position),
      position,
      options,
    );
    const middle = addNorm(mixed, sum, weights, `${layer}.ffn.norm`, { epsilon, p });
    const changed = scaledBranch(feedForward(middle.y, weights, `${layer}.ffn`, options), position, options);
    if (options.blockGates) {
      sum = gatedLayer(add(middle.sum, dropout(changed, p)), sum, position, options);
      normed = norm(sum, weights, next, epsilon);
    } else ({ y: normed, sum } = addNorm(changed, middle.sum, weights, next, { epsilon, p }));
    states.push(next === finalNorm ? normed : sum);
  });
  return { hidden: normed, states, stream: sum };
}

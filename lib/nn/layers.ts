/**
 * The small layers: linear, layer norm, embeddings. Like all of lib/nn, these functions record ops in a graph and own
 * no data: weights come by name from a `Weights` function, so that a weight may be a parameter, a shared layer's
 * parameter, or an expression of other parameters.
 */

import type { Tensor } from '../engine/graph.js';
import {
  add,
  embedding,
  layerNorm,
  matmul,
  residualNorm,
  residualRmsNorm,
  rmsNorm,
  slice,
} from '../engine/ops/index.js';
import type { Shape } from '../engine/shape.js';
import * as is from '../is.js';

/**
 * Gives the weight called `name`. A 'matrix' comes in the working precision (f32 or bf16), a 'vector' (biases, layer
 * norm) always in f32.
 */
export type Weights = (name: string, shape: Shape, role: 'matrix' | 'vector') => Tensor;

/**
 * Activation of the feed-forward part: exact GELU (erf, BERT), its tanh approximation (GPT-2), max(x, 0), x sigmoid(x).
 */
export type Activation = 'gelu' | 'geluTanh' | 'relu' | 'silu';

const takesLinear = is.takes('linear', {
  x: is.tensor,
  weights: is.weights,
  name: is.name,
  outputs: is.count,
  options: is.optional(
    is.options({ activation: is.optional(is.oneOf('none', 'gelu', 'geluTanh')), bias: is.optional(is.boolean) }),
  ),
});

/** Options of {@link linear}. */
export interface LinearOptions {
  /** Fused; the engine has that for GELU. */
  readonly activation?: Extract<Activation, 'gelu' | 'geluTanh'> | 'none' | undefined;
  /** Whether there is a bias; default true. */
  readonly bias?: boolean;
}

/**
 * y = x W + b; x [..., inputs], W `name.weight` [inputs, outputs], b `name.bias` [outputs].
 * @example
 * const y = linear(x, weights, 'ffn.up', 256, { activation: 'gelu' });
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function linear(
  x: Tensor,
  weights: Weights,
  name: string,
  outputs: number,
  options: LinearOptions = {},
): Tensor {
  takesLinear(x, weights, name, outputs, options);

  const { activation = 'none', bias: hasBias = true } = options;
  const inputs = x.shape.at(-1) as number;
  const weight = weights(`${name}.weight`, [inputs, outputs], 'matrix');
  const bias = hasBias ? weights(`${name}.bias`, [outputs], 'vector') : undefined;
  return matmul(x, weight, { bias, activation });
}

const normWeights = (x: Tensor, weights: Weights, name: string): [Tensor, Tensor] => {
  const width = x.shape.at(-1) as number;
  return [weights(`${name}.weight`, [width], 'vector'), weights(`${name}.bias`, [width], 'vector')];
};

/** Arguments of layer norm and RMS norm, alone and after a sum. */
const normArguments = { x: is.tensor, weights: is.weights, name: is.name, epsilon: is.notNegative };
const addNormArguments = {
  x: is.tensor,
  residual: is.tensor,
  weights: is.weights,
  name: is.name,
  options: is.options({ epsilon: is.notNegative, p: is.number }),
};

const takesNorm = is.takes('norm', normArguments);

/**
 * Layer norm over the last axis with weights `name.weight`, `name.bias` [C].
 * @example
 * const y = norm(x, weights, 'final.norm', 1e-5);
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function norm(x: Tensor, weights: Weights, name: string, epsilon: number): Tensor {
  takesNorm(x, weights, name, epsilon);

  return layerNorm(x, ...normWeights(x, weights, name), { epsilon });
}

const takesAddNorm = is.takes('addNorm', addNormArguments);

/**
 * sum = residual + dropout(x); y = LN(sum): one pass over memory for the add, the dropout and the norm.
 * @param x Output of the branch, [.., C].
 * @param residual The residual stream, [.., C].
 * @param weights Gives the tensors of parameters by name.
 * @param name Name of the norm, whose parameters are `NAME.weight` and `NAME.bias`, f32 [C].
 * @param options Epsilon and dropout.
 * @example
 * const y = addNorm(x, residual, weights, 'attention.norm', { epsilon: 1e-12, p: 0.1 });
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function addNorm(
  x: Tensor,
  residual: Tensor,
  weights: Weights,
  name: string,
  options: {
    /** Added to the variance, 0 or more. */
    epsilon: number;
    /** Probability of dropout of x, in [0, 1). */
    p: number;
  },
): {
  /** The norm of the sum, [.., C]. */
  y: Tensor;
  /** residual + dropout(x), [.., C]: the next residual. */
  sum: Tensor;
} {
  takesAddNorm(x, residual, weights, name, options);

  return residualNorm(x, residual, ...normWeights(x, weights, name), options);
}

const takesScaleNorm = is.takes('scaleNorm', normArguments);

const scaleWeight = (x: Tensor, weights: Weights, name: string): Tensor =>
  weights(`${name}.weight`, [x.shape.at(-1) as number], 'vector');

/**
 * RMS norm over the last axis with the weight `name.weight` [C] (Zhang and Sennrich 2019).
 * @example
 * const y = scaleNorm(x, weights, 'final.norm', 1e-5);
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function scaleNorm(x: Tensor, weights: Weights, name: string, epsilon: number): Tensor {
  takesScaleNorm(x, weights, name, epsilon);

  return rmsNorm(x, scaleWeight(x, weights, name), { epsilon });
}

const takesAddScaleNorm = is.takes('addScaleNorm', addNormArguments);

/**
 * sum = residual + dropout(x); y = RMS norm of sum: one pass over memory for the add, the dropout and the norm.
 * @param x Output of the branch, [.., C].
 * @param residual The residual stream, [.., C].
 * @param weights Gives the tensors of parameters by name.
 * @param name Name of the norm, whose parameter is `NAME.weight`, f32 [C].
 * @param options Epsilon and dropout.
 * @example
 * const { sum, y } = addScaleNorm(x, residual, weights, 'ffn.norm', { epsilon: 1e-5, p: 0 });
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function addScaleNorm(
  x: Tensor,
  residual: Tensor,
  weights: Weights,
  name: string,
  options: {
    /** Added to the mean of squares, 0 or more. */
    epsilon: number;
    /** Probability of dropout of x, in [0, 1). */
    p: number;
  },
): {
  /** The norm of the sum, [.., C]. */
  y: Tensor;
  /** residual + dropout(x), [.., C]: the next residual. */
  sum: Tensor;
} {
  takesAddScaleNorm(x, residual, weights, name, options);

  return residualRmsNorm(x, residual, scaleWeight(x, weights, name), options);
}

const takesTokenEmbeddings = is.takes('tokenEmbeddings', {
  tokens: is.tensor,
  weights: is.weights,
  sizes: is.object('{ vocabSize, hidden, maxPositions, typeVocab }', {
    vocabSize: is.count,
    hidden: is.count,
    maxPositions: is.count,
    typeVocab: is.optional(is.index),
  }),
  types: is.optional(is.tensor),
  positions: is.optional(is.tensor),
});

/**
 * Word + position (+ token type) embeddings of tokens i32[B, T] -> [B, T, C]. With a type table but no `types` every
 * token has type 0; with `positions` i32[B, T] tokens are there, else at 0, 1, 2, …. Tables: `embeddings.word` [V, C],
 * `embeddings.position` [maxPositions, C], `embeddings.type`.
 * @param tokens Ids, i32 [B, T], each in [0, V).
 * @param weights Gives the tensors of parameters by name.
 * @param sizes Sizes of the tables.
 * @param types Token types, i32 [B, T]. Default: 0 for every token.
 * @param positions Positions of the tokens, i32 [B, T]. Default: 0, 1, 2, … in each sequence.
 * @example
 * const tokens = graph.input('tokens', [2, 8], 'i32');
 * const hidden = tokenEmbeddings(tokens, weights, { vocabSize: 400, hidden: 64, maxPositions: 128 });
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function tokenEmbeddings(
  tokens: Tensor,
  weights: Weights,
  sizes: {
    /** Rows of the word table, V. */
    vocabSize: number;
    /** Width of the residual stream, C. */
    hidden: number;
    /** Rows of the table of positions, at least T. */
    maxPositions: number;
    /** Rows of the table of token types. Default: there is none. */
    typeVocab?: number | undefined;
  },
  types?: Tensor,
  positions?: Tensor,
): Tensor {
  takesTokenEmbeddings(tokens, weights, sizes, types, positions);

  const { vocabSize, hidden, maxPositions, typeVocab } = sizes;
  const seq = tokens.shape[1] as number;
  const word = embedding(weights('embeddings.word', [vocabSize, hidden], 'matrix'), tokens);
  // Positions and a constant type are the same in every sequence: they are added once as [T, C], then broadcast.
  const places = weights('embeddings.position', [maxPositions, hidden], 'matrix');
  let row = positions ? embedding(places, positions) : slice(places, [0, 0], [seq, hidden]);
  if (!typeVocab) return add(word, row);
  const table = weights('embeddings.type', [typeVocab, hidden], 'matrix');
  if (types) return add(add(word, embedding(table, types)), row);
  row = add(row, slice(table, [0, 0], [1, hidden]));
  return add(word, row);
}

/** The parameters a transformer layer consists of, shared by BERT and GPT: names, shapes, initial values, decay. */
import type { Tensor } from '../engine/graph.js';
import type { Weights } from '../nn/layers.js';
import type { ModelConfig } from './config.js';
import type { ParameterSpec } from './model.js';

type Extra = Pick<ParameterSpec, 'layer' | 'zeroRow' | 'columns'>;

/** A weight matrix or table, N(0, std), decayed. */
export const matrix = (
  name: string,
  shape: readonly [number, number],
  std: number,
  extra: Extra = {},
): ParameterSpec => ({
  name,
  shape,
  init: { kind: 'normal', std },
  decay: true,
  role: 'matrix',
  ...extra,
});

/** A bias: zeros, not decayed. */
export const bias = (name: string, width: number, extra: Extra = {}): ParameterSpec => ({
  name,
  shape: [width],
  init: { kind: 'zeros' },
  decay: false,
  role: 'vector',
  ...extra,
});

/** The weight (ones) and bias (zeros) of a layer norm, not decayed. */
export const normPair = (name: string, width: number, extra: Extra = {}): ParameterSpec[] => [
  { ...bias(`${name}.weight`, width, extra), init: { kind: 'ones' } },
  bias(`${name}.bias`, width, extra),
];

/** The weight [inputs, outputs] and bias of a linear layer. */
export const linearPair = (
  name: string,
  inputs: number,
  outputs: number,
  std: number,
  extra: Extra = {},
): ParameterSpec[] => {
  const { columns, ...both } = extra;
  return [matrix(`${name}.weight`, [inputs, outputs], std, extra), bias(`${name}.bias`, outputs, both)];
};

/** The head's output matrix [V, C] where it is not the word table; else nothing. */
export const outputParameters = ({ vocab, hidden, initStd, tied }: ModelConfig): ParameterSpec[] =>
  tied === false ? [matrix('head.output', [vocab, hidden], initStd)] : [];

/** What the head multiplies hidden states by, [V, C]: the word table, or a matrix of its own. */
export const outputMatrix = ({ vocab, hidden, tied }: ModelConfig, weights: Weights): Tensor =>
  weights(tied === false ? 'head.output' : 'embeddings.word', [vocab, hidden], 'matrix');

/**
 * Layer `index`: attention (fused QKV, output, norm) and feed-forward (up, down, norm). GPT-2's two projections onto
 * the residual start at initStd / sqrt(2 L), with L the final number of layers, whatever the depth of the stage.
 */
export function layerParameters(config: ModelConfig, index: number): ParameterSpec[] {
  const { kind, layers, hidden, ffn, initStd } = config;
  const residualStd = kind === 'gpt' ? initStd / Math.sqrt(2 * layers) : initStd;
  const at = `layer.${index}`;
  const extra = { layer: index };
  return [
    ...linearPair(`${at}.attention.qkv`, hidden, 3 * hidden, initStd, {
      ...extra,
      columns: [hidden, hidden, hidden],
    }),
    ...linearPair(`${at}.attention.output`, hidden, hidden, residualStd, extra),
    ...normPair(`${at}.attention.norm`, hidden, extra),
    ...linearPair(`${at}.ffn.up`, hidden, ffn, initStd, extra),
    ...linearPair(`${at}.ffn.down`, ffn, hidden, residualStd, extra),
    ...normPair(`${at}.ffn.norm`, hidden, extra),
  ];
}

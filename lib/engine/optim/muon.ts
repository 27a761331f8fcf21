/**
 * Muon (Keller Jordan et al., 2024): the weights of hidden layers move along their momentum made orthogonal by
 * Newton-Schulz iterations; embeddings, head, norms and biases are updated by AdamW.
 */
import { check } from '../../errors.js';
import * as is from '../../is.js';
import type { ParameterDeclaration, ParameterStore } from '../parameters.js';
import { type AdamWOptions, adamwFields, adamwOptions, adamwRule, adamwState } from './adamw.js';
import { ProgramOptimizer, type UpdateRule } from './program-optimizer.js';
import type { ParameterState, StateLayout } from './slots.js';

/** Options for the hidden matrices only. */
export interface MuonMatrixOptions {
  /** Decay of the mean of gradients, in [0, 1). Default 0.95. */
  readonly momentum?: number;
  /** Orthogonalise the mean with the newest gradient mixed in again. Default true. */
  readonly nesterov?: boolean;
  /** Newton-Schulz iterations, a whole number from 1. Default 5. */
  readonly iterations?: number;
  /** Precision of the inputs of the iterations' products; sums are f32 in both. Default f32. */
  readonly precision?: 'f32' | 'bf16';
  /**
   * Factor on the learning rate of a matrix [inputs, outputs]. 'original': sqrt(max(1, outputs / inputs)).
   * 'match_rms_adamw', the default: 0.2 sqrt(max(inputs, outputs)), with which one rate serves Muon and AdamW (Liu et
   * al. 2025, arXiv 2502.16982, section 2.2).
   */
  readonly adjust?: 'original' | 'match_rms_adamw';
  /**
   * Factor on the learning rate of all its matrices, 0 or more; 'original' usually wants one, as its rate is not AdamW's.
   * Default 1.
   */
  readonly rateFactor?: number;
}

/** `weightDecay` and `maxNorm` hold for all parameters, beta1, beta2 and epsilon for AdamW's. */
export interface MuonOptions extends AdamWOptions, MuonMatrixOptions {}

export const muonDefaults: Required<MuonMatrixOptions> = {
  momentum: 0.95,
  nesterov: true,
  iterations: 5,
  precision: 'f32',
  adjust: 'match_rms_adamw',
  rateFactor: 1,
};

/** The mean of the gradients. Nothing corrects its bias: the update has the same norm for any norm of the momentum. */
const momentum: ParameterState = { slots: [{ name: 'momentum', power: 1 }], counted: false };

export const muonState: StateLayout = {
  optimizer: 'muon',
  of: (spec) => (spec.matrices ? momentum : adamwState.of(spec)),
  whole: ({ matrices }) => matrices !== undefined,
};

/** The options with their defaults. @throws ApolloError BAD_ARGUMENT. */
export function muonOptions(options: MuonOptions): Required<MuonOptions> {
  const all = { ...muonDefaults, ...adamwOptions(options), ...definedOf(options) };
  const { momentum: mean, iterations, precision, adjust, rateFactor } = all;
  check(mean >= 0 && mean < 1, `muon.momentum must lie in [0, 1); got ${mean}`);
  check(
    Number.isInteger(iterations) && iterations >= 1,
    `muon.iterations must be a positive whole number; got ${iterations}`,
  );
  check(precision === 'f32' || precision === 'bf16', `muon.precision must be 'f32' or 'bf16'; got '${precision}'`);
  check(
    adjust === 'original' || adjust === 'match_rms_adamw',
    `muon.adjust must be 'original' or 'match_rms_adamw'; got '${adjust}'`,
  );
  check(Number.isFinite(rateFactor) && rateFactor >= 0, `muon.rateFactor must be a number >= 0; got ${rateFactor}`);
  return all;
}

const definedOf = (options: MuonOptions): MuonOptions =>
  Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));

/** Takes the hidden matrices; those that are side by side in one parameter are orthogonalised one by one. */
export function muonRule(options: Required<MuonOptions>): UpdateRule {
  const { momentum: mean, nesterov, iterations, precision, adjust, rateFactor, weightDecay, maxNorm } = options;
  const widthsOf = ({ matrices }: ParameterDeclaration) => matrices ?? [];
  return {
    op: 'muon',
    takes: ({ matrices }) => matrices !== undefined,
    rate: rateFactor,
    hyper: (learningRate, gradScale) => [learningRate, mean, weightDecay, maxNorm, gradScale],
    attributes: (specs) => ({
      parts: specs.map((spec) => widthsOf(spec).length),
      widths: specs.flatMap(widthsOf),
      iterations,
      precision,
      adjust,
      nesterov,
    }),
  };
}

/** FLOPs of an update of the parameter by Newton-Schulz iterations; 0 where AdamW updates it. */
export function muonFlops(
  { shape, matrices = [] }: Pick<ParameterDeclaration, 'shape' | 'matrices'>,
  { iterations = muonDefaults.iterations }: { readonly iterations?: number | undefined } = {},
): number {
  return matrices.reduce((flops, width) => {
    const [m, n] = [Math.min(shape[0]!, width), Math.max(shape[0]!, width)];
    return flops + iterations * (4 * m * m * n + 2 * m ** 3);
  }, 0);
}

const takesNewMuon = is.takes('new Muon', {
  store: is.store,
  options: is.options({
    ...adamwFields,
    momentum: is.optional(is.number),
    nesterov: is.optional(is.boolean),
    iterations: is.optional(is.number),
    precision: is.optional(is.string),
    adjust: is.optional(is.string),
    rateFactor: is.optional(is.number),
  }),
});

/**
 * Muon (Jordan et al. 2024) for hidden matrices, AdamW for all else. `store.declare` says which are matrices
 * (`matrices`).
 * ```ts
 * const muon = new Muon(store, { weightDecay: 0.1 });
 * await muon.step(names, { learningRate: 1e-3 });
 * ```
 */
export class Muon extends ProgramOptimizer {
  /** The options with their defaults, those of AdamW for the other parameters included. */
  readonly options: Required<MuonOptions>;

  constructor(store: ParameterStore, options: MuonOptions = {}) {
    takesNewMuon(store, options);
    const complete = muonOptions(options);
    super(store, muonState, [muonRule(complete), adamwRule(complete)]);
    this.options = complete;
  }
}

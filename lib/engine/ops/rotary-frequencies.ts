/**
 * Inverse frequencies of rotary position embeddings, with the scalings by which models are taken to longer contexts. The
 * f32 steps are those of Hugging Face's modeling_rope_utils on the CPU, so that the angles are those of its models.
 */
import { check } from '../../errors.js';
import * as is from '../../is.js';

/** Positions divided by `factor` (Chen et al. 2023, arXiv 2306.15595). */
export interface LinearScaling {
  /** Selects this scaling. */
  readonly type: 'linear';
  /**
   * Divisor of all frequencies, above 0: with 2 the angles of twice as many positions stay within the trained range.
   */
  readonly factor: number;
}

/**
 * Llama 3.1's: frequencies that turn fewer than `lowFrequencyFactor` times within `originalPositions` are divided by
 * `factor`, those that turn more than `highFrequencyFactor` times are kept, those between are interpolated.
 */
export interface Llama3Scaling {
  /** Selects this scaling. */
  readonly type: 'llama3';
  /** Divisor of the low frequencies, above 0; 8 for Llama 3.1. */
  readonly factor: number;
  /**
   * Turns within `originalPositions` below which a frequency is divided by `factor`; above 0 and below
   * `highFrequencyFactor`. 1 for Llama 3.1.
   */
  readonly lowFrequencyFactor: number;
  /** Turns within `originalPositions` above which a frequency is kept; 4 for Llama 3.1. */
  readonly highFrequencyFactor: number;
  /** Positions of the model before its context was extended, a whole number from 1; 8192 for Llama 3.1. */
  readonly originalPositions: number;
}

/** How rotary frequencies are stretched for longer contexts. */
export type RotaryScaling = LinearScaling | Llama3Scaling;

const f32 = Math.fround;

function llama3(frequency: number, scaling: Llama3Scaling): number {
  const { factor, lowFrequencyFactor, highFrequencyFactor, originalPositions } = scaling;
  // PyTorch divides a number by a tensor as the number times the reciprocal.
  const wavelength = f32(f32(1 / frequency) * f32(2 * Math.PI));
  if (wavelength > f32(originalPositions / lowFrequencyFactor)) return f32(frequency / f32(factor));
  if (wavelength < f32(originalPositions / highFrequencyFactor)) return frequency;
  const turns = f32(f32(1 / wavelength) * f32(originalPositions));
  const smooth = f32(f32(turns - f32(lowFrequencyFactor)) / f32(highFrequencyFactor - lowFrequencyFactor));
  const scaled = f32(f32(f32(1 - smooth) * frequency) / f32(factor));
  return f32(scaled + f32(smooth * frequency));
}

const takesRotaryFrequencies = is.takes('rotaryFrequencies', {
  headSize: is.count,
  theta: is.positive,
  scaling: is.optional(
    is.object('a RotaryScaling { type, factor, .. }', { type: is.oneOf('linear', 'llama3'), factor: is.positive }),
  ),
});
const takesLlama3 = is.takes('rotaryFrequencies', {
  scaling: is.object('a Llama3Scaling', {
    lowFrequencyFactor: is.positive,
    highFrequencyFactor: is.positive,
    originalPositions: is.count,
  }),
});

/**
 * headSize / 2 inverse frequencies, theta^(-2 i / headSize) for i = 0, 1, .., scaled where `scaling` is given; numbers
 * that f32 can hold. For `rotary`.
 * @example
 * rotaryFrequencies(64, 10_000, { type: 'linear', factor: 2 }) // 32 frequencies
 * @throws {ApolloError} BAD_ARGUMENT where headSize is odd, or naming an argument that is wrong.
 */
export function rotaryFrequencies(headSize: number, theta: number, scaling?: RotaryScaling): number[] {
  takesRotaryFrequencies(headSize, theta, scaling);
  check(headSize % 2 === 0, `rotaryFrequencies: headSize must be even; got ${headSize}`);
  if (scaling?.type === 'llama3') {
    takesLlama3(scaling);
    const { lowFrequencyFactor: low, highFrequencyFactor: high } = scaling;
    check(
      low < high,
      `rotaryFrequencies: lowFrequencyFactor must be below highFrequencyFactor; got ${low} and ${high}`,
    );
  }
  return Array.from({ length: headSize / 2 }, (_, i) => {
    const frequency = f32(1 / f32(f32(theta) ** f32((2 * i) / headSize)));
    if (scaling === undefined) return frequency;
    return scaling.type === 'linear' ? f32(frequency / f32(scaling.factor)) : llama3(frequency, scaling);
  });
}

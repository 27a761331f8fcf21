/** The ops of an optimizer step. lib/engine/optim runs them over a ParameterStore; no graph contains them. */
import { defineOp } from './define.js';

/**
 * (counts i32 [n], g1 .. gn f32) -> norm f32 [1]: the L2 norm of all together but those whose count is 0, summed in a
 * fixed order.
 */
export const gradNormOp = defineOp<Record<never, never>>({
  name: 'gradNorm',
  shape: () => [{ shape: [1], dtype: 'f32' }],
});

/**
 * (counts i32 [n], g1 .. gm f32) -> i32 [2 k], the bits of k f64 sums of squares, in place: of each piece of 16,384 elements of
 * which gradNorm sums the squares by itself. Each g is a part of the tensor `tensors` says, and its first piece that of number
 * `places`; sums of pieces that are of no g, or of a tensor whose count is 0, are 0.
 */
export const squaresOp = defineOp<{ tensors: readonly number[]; places: readonly number[] }>({
  name: 'squares',
  shape: () => [],
});

/** (such sums i32 [2 k]) -> norm f32 [1]: what gradNorm makes of all tensors together, to the same bits. */
export const normOfSquaresOp = defineOp<Record<never, never>>({
  name: 'normOfSquares',
  shape: () => [{ shape: [1], dtype: 'f32' }],
});

/**
 * (hyper f32 [7], counts i32 [n], rates f32 [n], norm f32 [1]) -> per tensor param, grad, m, v, [bf16 working copy], all
 * in place (Loshchilov and Hutter 2019, decoupled decay). `rates` are factors on the learning rate. Zeroes the gradients;
 * a norm that is not finite, or a count of 0, leaves the rest.
 */
export const adamwOp = defineOp<{ decay: readonly number[]; hasShadow: readonly number[] }>({
  name: 'adamw',
  shape: () => [],
});

/**
 * (hyper f32 [5], counts i32 [n], rates f32 [n], norm f32 [1]) -> per tensor param [in, out], grad, momentum, [bf16
 * working copy], all in place: Muon (Jordan et al., 2024). `hyper`: learning rate, momentum, weightDecay, maxNorm, gradScale. Tensor
 * i holds `parts[i]` matrices side by side, with the next entries of `widths`. Zeroes the gradients; a norm that is not
 * finite, or a count of 0, leaves the rest.
 */
export const muonOp = defineOp<{
  decay: readonly number[];
  hasShadow: readonly number[];
  parts: readonly number[];
  widths: readonly number[];
  iterations: number;
  /** 'f32' or 'bf16': of the products' inputs. */
  precision: string;
  /** 'original' or 'match_rms_adamw'. */
  adjust: string;
  nesterov: boolean;
}>({
  name: 'muon',
  shape: () => [],
});

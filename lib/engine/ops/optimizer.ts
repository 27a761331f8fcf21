/** The two ops of an optimizer step. lib/engine/optimizer.ts runs them over a ParameterStore; no graph contains them. */
import { defineOp } from './define.js';

/** (g1 .. gn f32) -> norm f32 [1]: the L2 norm of all together, summed in a fixed order. */
export const gradNormOp = defineOp<Record<never, never>>({
  name: 'gradNorm',
  shape: () => [{ shape: [1], dtype: 'f32' }],
});

/**
 * (hyper f32 [7], counts i32 [n], norm f32 [1]) -> per tensor param, grad, m, v, [bf16 working copy], all in place
 * (Loshchilov and Hutter 2019, decoupled decay). Zeroes the gradients; a norm that is not finite leaves the rest.
 */
export const adamwOp = defineOp<{ decay: readonly number[]; hasShadow: readonly number[] }>({
  name: 'adamw',
  shape: () => [],
});

/**
 * The gradient buffers of no parameter, which passes backward add to along with the gradients. They are among the names of
 * parameters, but in no list of them.
 */
import type { Shape } from './shape.js';

/**
 * Takes 0 * loss, which is 0 for a finite loss and NaN for any other. An optimizer's step counts it in the norm of the
 * gradients, so a step whose loss is not finite is left out on the device, without JavaScript looking at the loss in between.
 */
export const lossGuard = '(loss)';

/** Takes the losses of a step by their share, where a group of ranks sums them with the gradients. */
export const lossSum = '(loss sum)';

export const lossBuffers: readonly string[] = [lossGuard, lossSum];

export const lossBufferShape: Shape = [1];

/**
 * The gradient buffer of no parameter: a backward pass adds 0 * loss to it, which is 0 for a finite loss and NaN for any
 * other. An optimizer's step counts it in the norm of the gradients, so a step whose loss is not finite is left out on the
 * device, without JavaScript looking at the loss in between.
 */
import type { Shape } from './shape.js';

/** Stands among the names of parameters, but in no list of them. */
export const lossGuard = '(loss)';

export const lossGuardShape: Shape = [1];

/** Warnings about skipped steps, and the errors that end a run for them. */
import { ApolloError } from '../errors.js';
import type { TrainConfig } from './config.js';
import type { StepEvent, WarningEvent } from './events.js';
import type { NonFiniteSteps } from './non-finite.js';

/** The first step without a target; more of them are only counted. */
export function withoutTarget({ step }: StepEvent): WarningEvent {
  const message = `Step ${step} has nothing to predict: all its tokens are special ones. It was skipped; such steps are counted.`;
  return { type: 'warning', step, code: 'NO_TARGET', message };
}

export function nothingLearnt(steps: number): ApolloError {
  return new ApolloError(
    'BAD_CORPUS',
    `None of ${steps} steps had anything to predict, so the model learned nothing: all tokens of the text are special ones. ` +
      'Check the text and the tokenizer, or use longer rows (--seq). See docs/troubleshooting.md#nothing-to-predict.',
  );
}

function describe({ step, depth, learningRate, loss, gradNorm }: StepEvent): string {
  return `Step ${step} (depth ${depth}, learning rate ${learningRate}): loss ${loss}, gradient norm ${gradNorm}; its update was skipped.`;
}

/** A step whose loss or gradients were not finite. */
export function leftOut(event: StepEvent): WarningEvent {
  return { type: 'warning', step: event.step, code: 'NON_FINITE', message: describe(event) };
}

/** The error that ends the run, when such steps followed each other too often. */
export function tooManyNonFinite(
  event: StepEvent,
  { precision, learningRate: peak, maxNorm }: TrainConfig,
  steps: NonFiniteSteps,
  lastSaved: string | undefined,
): ApolloError | undefined {
  const advice = [
    `a lower learningRate than ${peak} or more warmupSteps`,
    ...(maxNorm === 0 ? ['maxNorm 1 (clipping is off)'] : []),
    ...(precision === 'bf16' ? ["precision 'f32'"] : []),
  ];
  const saved = lastSaved ? `The last checkpoint is ${lastSaved}.` : 'No checkpoint was written.';
  return steps.error(describe(event), `Try ${advice.join(', or ')}. ${saved}`);
}

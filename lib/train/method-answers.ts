/** Checks of what a method answers, which may be from outside of the package: a wrong answer names the method and the step. */
import { argument, type Kind } from '../arguments.js';
import { ApolloError } from '../errors.js';
import * as is from '../is.js';
import type { StepPlan, TrainingMethod } from '../methods/method.js';

const map = is.list(is.index, { least: 1 });
const stage = is.object('a stage { index, trainedLayers }', { index: is.index, trainedLayers: is.count });
const plan = is.object('a plan { trainedLayers, depth, layerMap }', {
  trainedLayers: is.count,
  depth: is.count,
  layerMap: map,
  trainable: is.optional(is.func),
  updates: is.optional(is.func),
  rateFactor: is.optional(is.func),
  learningRate: is.optional(is.record),
});
const maps = is.object('layer maps { full, stage }', { full: map, stage: map });
const growth = is.optional(
  is.object("a growth plan of kind 'layers', 'state' or 'materialise'", {
    kind: is.oneOf('layers', 'state', 'materialise'),
    from: is.count,
    to: is.count,
  }),
);

function checkAnswer({ name }: TrainingMethod, call: string, value: unknown, kind: Kind): void {
  argument(`method ${JSON.stringify(name)}: ${call}`, value, kind);
}

/** The plan of a step. @throws ApolloError BAD_ARGUMENT for an answer that is none. */
export function planOf(method: TrainingMethod, step: number): StepPlan {
  const answer = method.plan(step);
  checkAnswer(method, `plan(${step})`, answer, plan);
  const { depth, layerMap } = answer;
  if (depth === layerMap.length) return answer;
  throw new ApolloError(
    'BAD_ARGUMENT',
    `method ${JSON.stringify(method.name)}: plan(${step}).depth must be the length of its layerMap, ${layerMap.length}; got ${depth}.`,
  );
}

/** The growth before a step. @throws ApolloError BAD_ARGUMENT for an answer that is none. */
export function growthOf(method: TrainingMethod, step: number) {
  const answer = method.growth(step);
  checkAnswer(method, `growth(${step})`, answer, growth);
  return answer;
}

/**
 * Asks a method for the first step, before anything is made.
 * @throws ApolloError BAD_ARGUMENT for an answer that is none, BAD_CONFIG for settings that no checkpoint can keep.
 */
export function checkAnswers(method: TrainingMethod): void {
  checkAnswer(method, 'stageAt(0)', method.stageAt(0), stage);
  planOf(method, 0);
  checkAnswer(method, 'evaluationMaps(0)', method.evaluationMaps(0), maps);
  try {
    JSON.stringify(method.settings);
  } catch (error) {
    throw new ApolloError(
      'BAD_CONFIG',
      `method ${JSON.stringify(method.name)}: settings must be plain data, which a checkpoint keeps as JSON: ${(error as Error).message.split('\n')[0]}.`,
      { cause: error },
    );
  }
}

/** Checks of what a method answers, which may be from outside of the package: a wrong answer names the method and the step. */
import { argument, type Kind } from '../arguments.js';
import { ApolloError } from '../errors.js';
import * as is from '../is.js';
import type { Gates, GrowthPlan, StepPlan, TrainingMethod } from '../methods/method.js';

const map = is.list(is.index, { least: 1 });
const stage = is.object('a stage { index, trainedLayers }', { index: is.index, trainedLayers: is.count });
const factors = is.optional(is.list(is.finite));
const plan = is.object('a plan { trainedLayers, depth, layerMap }', {
  trainedLayers: is.count,
  depth: is.count,
  layerMap: map,
  branchScales: factors,
  blockGates: factors,
  layerRates: is.optional(is.list(is.notNegative)),
  trainable: is.optional(is.func),
  forwardOnly: is.optional(is.index),
  updates: is.optional(is.func),
  rateFactor: is.optional(is.func),
  learningRate: is.optional(
    is.either(
      is.object('{ factor }', { factor: is.notNegative }),
      is.object('{ value }', { value: is.notNegative }),
      is.object('{ since, warmupSteps }', { since: is.index, warmupSteps: is.index }),
    ),
  ),
  extraFlops: is.optional(is.notNegative),
});
const gates = is.optional(
  is.object('gates { branchScales, blockGates }', { branchScales: factors, blockGates: factors }),
);
const maps = is.object('layer maps { full, stage }', { full: map, stage: map });
const growth = is.optional(
  is.object("a growth plan of kind 'layers', 'state' or 'materialise'", {
    kind: is.oneOf('layers', 'state', 'materialise'),
    from: is.count,
    to: is.count,
  }),
);
const copy = is.object('a copy { from, to, moments }', {
  from: is.index,
  to: is.index,
  moments: is.either(is.oneOf('copy', 'zero', 'keep'), is.object('{ scale }', { scale: is.finite })),
});
const growthParts = {
  layers: is.object('a growth of layers { copies }', {
    copies: is.list(copy),
    shared: is.optional(is.oneOf('keep', 'zero')),
  }),
  state: is.object('a growth of the state { value }', { value: is.func, moment: is.optional(is.func) }),
  materialise: is.record,
};

function checkAnswer({ name }: TrainingMethod, call: string, value: unknown, kind: Kind): void {
  argument(`method ${JSON.stringify(name)}: ${call}`, value, kind);
}

function refuse({ name }: TrainingMethod, call: string, problem: string): never {
  throw new ApolloError('BAD_ARGUMENT', `method ${JSON.stringify(name)}: ${call}${problem}.`);
}

/** The plan of a step. @throws ApolloError BAD_ARGUMENT for an answer that is none. */
export function planOf(method: TrainingMethod, step: number): StepPlan {
  const answer = method.plan(step);
  const call = `plan(${step})`;
  checkAnswer(method, call, answer, plan);
  const { trainedLayers, depth, layerMap, forwardOnly = 0 } = answer;
  if (depth !== layerMap.length) {
    refuse(method, call, `.depth must be the length of its layerMap, ${layerMap.length}; got ${depth}`);
  }
  const beyond = layerMap.find((layer) => layer >= trainedLayers);
  if (beyond !== undefined) {
    refuse(method, call, `.layerMap must hold layers from 0 to ${trainedLayers - 1} (trainedLayers); got ${beyond}`);
  }
  if (forwardOnly > depth) refuse(method, call, `.forwardOnly must be at most the depth, ${depth}; got ${forwardOnly}`);
  checkCount(method, `${call}.branchScales`, answer.branchScales, depth, 'place');
  checkCount(method, `${call}.blockGates`, answer.blockGates, depth, 'place');
  checkCount(method, `${call}.layerRates`, answer.layerRates, trainedLayers, 'trained layer');
  return answer;
}

function checkCount(
  method: TrainingMethod,
  part: string,
  values: readonly number[] | undefined,
  count: number,
  each: string,
): void {
  if (values === undefined || values.length === count) return;
  refuse(method, part, ` must have one number for each ${each}, ${count}; got ${values.length}`);
}

/** Gates of the trained layers in an evaluation. @throws ApolloError BAD_ARGUMENT for an answer that is none. */
export function evaluationGatesOf(method: TrainingMethod, step: number): Gates | undefined {
  const answer = method.evaluationGates?.(step);
  const call = `evaluationGates(${step})`;
  checkAnswer(method, call, answer, gates);
  const { trainedLayers } = method.stageAt(step);
  checkCount(method, `${call}.branchScales`, answer?.branchScales, trainedLayers, 'trained layer');
  checkCount(method, `${call}.blockGates`, answer?.blockGates, trainedLayers, 'trained layer');
  return answer;
}

/**
 * The growth before a step, of a network of `before` trained layers into one of `after`.
 * @throws ApolloError BAD_ARGUMENT for an answer that is none.
 */
export function growthOf(method: TrainingMethod, step: number, before: number, after: number): GrowthPlan | undefined {
  const answer = method.growth(step);
  const call = `growth(${step})`;
  checkAnswer(method, call, answer, growth);
  if (!answer) return undefined;
  checkAnswer(method, call, answer, growthParts[answer.kind]);
  const { from, to } = answer;
  if (from !== before || to !== after) {
    refuse(
      method,
      call,
      ` must be from ${before} to ${after} layers, those of the stages around it; got ${from} to ${to}`,
    );
  }
  for (const [i, copied] of (answer.kind === 'layers' ? answer.copies : []).entries()) {
    if (copied.from < to && copied.to < to) continue;
    refuse(method, call, `.copies[${i}] must be of layers from 0 to ${to - 1}; got ${copied.from} to ${copied.to}`);
  }
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
  evaluationGatesOf(method, 0);
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

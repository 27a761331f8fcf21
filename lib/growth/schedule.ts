/**
 * Stage schedules: which number of trained layers belongs to which step. A stage is a pure function of the step, so a
 * resumed run is always in the right one.
 */
import { ApolloError, check } from '../errors.js';
import * as is from '../is.js';

/** Where stages end, in one of four units; each list has one entry less than there are stages. */
export type Boundaries =
  | { readonly fractions: readonly number[] }
  | { readonly epochs: readonly number[]; readonly stepsPerEpoch: number }
  | { readonly steps: readonly number[] }
  | { readonly tokens: readonly number[]; readonly tokensPerStep: number };

/** A stage of a run: steps with the same trained layers. */
export interface Stage {
  /** Number of the stage, from 0. */
  readonly index: number;
  /** Trained layers. */
  readonly trainedLayers: number;
}

/** The stages of a run, from {@link makeSchedule}. */
export interface StageSchedule {
  /** Trained layers of each stage, strictly increasing; the last is the full model. */
  readonly stageLayers: readonly number[];
  /** `boundaries[i]` is the first step of stage i + 1. */
  readonly boundaries: readonly number[];
  /** Stage of a step. A stage between two equal boundaries is skipped. */
  stageAt(step: number): Stage;
}

const takesBoundarySteps = is.takes('boundarySteps', { boundaries: is.boundaries, totalSteps: is.count });

/**
 * Boundaries in optimizer steps. Fractions and epochs are rounded to the nearest step; tokens to the first step that
 * starts after that many tokens.
 * @example
 * boundarySteps({ fractions: [0.1, 0.5] }, 1000) // [100, 500]
 * @throws ApolloError BAD_ARGUMENT for a value that is not a number >= 0, a list that falls, or a fraction above 1.
 */
export function boundarySteps(boundaries: Boundaries, totalSteps: number): number[] {
  takesBoundarySteps(boundaries, totalSteps);

  const [name, values, convert]: [string, readonly number[], (value: number) => number] =
    'fractions' in boundaries
      ? ['fractions', boundaries.fractions, (fraction) => Math.round(fraction * totalSteps)]
      : 'epochs' in boundaries
        ? ['epochs', boundaries.epochs, (epoch) => Math.round(epoch * boundaries.stepsPerEpoch)]
        : 'steps' in boundaries
          ? ['steps', boundaries.steps, (step) => step]
          : ['tokens', boundaries.tokens, (tokens) => Math.ceil(tokens / boundaries.tokensPerStep)];
  values.forEach((value, i) => {
    check(
      Number.isFinite(value) && value >= 0 && (i === 0 || value >= (values[i - 1] as number)),
      `Stage boundaries (${name}) must be numbers >= 0 in rising order; got [${values.join(', ')}].`,
    );
    check(name !== 'fractions' || value <= 1, `Stage boundaries (fractions) must be at most 1; got ${value}.`);
    check(name !== 'steps' || Number.isSafeInteger(value), `Stage boundaries (steps) must be whole; got ${value}.`);
  });
  return values.map(convert);
}

const takesMakeSchedule = is.takes('makeSchedule', {
  options: is.options({ stageLayers: is.list(is.number), boundaries: is.boundaries, totalSteps: is.number }),
});

/**
 * The schedule of a run of `totalSteps` steps.
 * @param options Stages, boundaries and length of the run.
 * @example makeSchedule({ stageLayers: [1, 3, 6, 12], boundaries: { fractions: [0.05, 0.1, 0.25] }, totalSteps: 1000 })
 * @throws ApolloError BAD_ARGUMENT when stageLayers do not rise or the number of boundaries does not fit.
 */
export function makeSchedule(options: {
  /** Number of trained layers of each stage, rising. */
  readonly stageLayers: readonly number[];
  /** Where stages end; one boundary less than there are stages. */
  readonly boundaries: Boundaries;
  /** Optimizer steps of the run, at least 1. */
  readonly totalSteps: number;
}): StageSchedule {
  takesMakeSchedule(options);

  const { stageLayers, totalSteps } = options;
  check(
    Number.isSafeInteger(totalSteps) && totalSteps >= 1,
    `A schedule needs a whole number of steps >= 1; got ${totalSteps}.`,
  );
  check(
    stageLayers.length >= 1 &&
      stageLayers.every((u, i) => Number.isSafeInteger(u) && u > (i === 0 ? 0 : (stageLayers[i - 1] as number))),
    `stageLayers must be whole numbers >= 1, each larger than the one before; got [${stageLayers.join(', ')}].`,
  );
  const boundaries = boundarySteps(options.boundaries, totalSteps);
  check(
    boundaries.length === stageLayers.length - 1,
    `${stageLayers.length} stages [${stageLayers.join(', ')}] need ${stageLayers.length - 1} boundaries; got ${boundaries.length}.`,
  );
  return {
    stageLayers,
    boundaries,
    stageAt(step) {
      if (!Number.isSafeInteger(step) || step < 0) {
        throw new ApolloError('BAD_ARGUMENT', `stageAt needs a whole step >= 0; got ${step}.`);
      }
      let index = 0;
      while (index < boundaries.length && step >= (boundaries[index] as number)) index++;
      return { index, trainedLayers: stageLayers[index] as number };
    },
  };
}

const takesRewarmFactor = is.takes('rewarmFactor', { step: is.notNegative, steps: is.notNegative });

/**
 * Factor on the learning rate of the `step`-th step of a stage (0-based) that warms up again over `steps` steps: 1/steps,
 * 2/steps, …, 1.
 * @example
 * rewarmFactor(10, 100);
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function rewarmFactor(step: number, steps: number): number {
  takesRewarmFactor(step, steps);

  return Math.min(1, (step + 1) / Math.max(1, steps));
}

const takesDefaultStageLayers = is.takes('defaultStageLayers', { layers: is.listed });

/**
 * Layers of the stages when none are given: each stage's number is the largest proper divisor of the next one's, so that switches are
 * continuous. 12 layers give the paper's [1, 3, 6, 12], 24 give [1, 3, 6, 12, 24].
 * @example
 * defaultStageLayers(12) // [1, 3, 6, 12]
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function defaultStageLayers(layers: number): number[] {
  takesDefaultStageLayers(layers);

  check(Number.isSafeInteger(layers) && layers >= 1, `layers must be a whole number >= 1; got ${layers}.`);
  const stageLayers = [layers];
  for (let last = layers; last > 1; ) {
    let divisor = Math.floor(last / 2);
    while (last % divisor !== 0) divisor--;
    stageLayers.unshift(divisor);
    last = divisor;
  }
  return stageLayers;
}

const takesDefaultFractions = is.takes('defaultFractions', { stages: is.listed });

/**
 * Boundaries when none are given, as fractions of the run: the paper's 0.05, 0.10, 0.25 (epochs 2, 4 and 10 of 40) for
 * four stages; fewer stages take the last of these, more halve the first again and again.
 * @example
 * defaultFractions(4) // where the first three of four stages end
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function defaultFractions(stages: number): number[] {
  takesDefaultFractions(stages);

  const fractions = [0.05, 0.1, 0.25].slice(Math.max(0, 4 - stages));
  while (fractions.length < stages - 1) fractions.unshift((fractions[0] as number) / 2);
  return stages <= 1 ? [] : fractions;
}

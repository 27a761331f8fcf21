/** Settings of a training run. Those under `identity` decide every bit of its result; the others only how it is watched. */
import { z } from 'zod';
import { ApolloError } from '../errors.js';
import type { TrainingMethod } from '../methods/method.js';
import { parseOptions, positiveInteger } from '../methods/options.js';
import type { ModelConfig } from '../models/index.js';
import { exchangeIdentity, exchangeSettings } from './exchange-settings.js';
import type { Objective } from './objective.js';
import { optimizerIdentity, optimizerSettings, resolveOptimizer } from './optimizer.js';
import { outerSettings, resolveOuter } from './outer.js';
import {
  type Anneal,
  annealedRate,
  decayShapeNames,
  decaySteps,
  type LearningRateSchedule,
  learningRate,
  rewoundRate,
  scheduleNames,
  warmupOf,
} from './schedule.js';

const decaySchema = {
  /** Steps of the decay phase, as a share of all steps up to its end; above 0, at most 1. Default: 0.2. */
  share: z.number().gt(0).max(1).default(0.2),
  /**
   * How the learning rate falls to 0 in the decay phase: on a straight line ('linear'), by 1 - sqrt(x) of the part x of
   * the phase that has passed ('1-sqrt'), or on half a cosine ('cosine'). Default: 'linear'.
   */
  shape: z.enum(decayShapeNames).default('linear'),
};

const schema = z.strictObject({
  /** Seed of initial weights, batches and dropout; a safe integer. Default: 42. */
  seed: z.int().default(42),
  /** Optimizer steps of the whole run; every schedule but `constant` reaches a learning rate of 0 at their end. */
  steps: positiveInteger,
  /** Sequences of one micro-batch, at least 1. */
  batch: positiveInteger,
  /** Tokens of each sequence, at most the model's `maxPositions`; at least 2 for a causal model, 3 for a masked one. */
  seq: positiveInteger,
  /** Micro-batches of one optimizer step, on each rank. Default: 1. */
  accumulation: positiveInteger.default(1),
  /** Precision of matrix products; master weights, moments, norms, softmax and loss are f32 in both. Default: 'f32'. */
  precision: z.enum(['f32', 'bf16']).default('f32'),
  /** Highest learning rate, above 0; the schedule reaches it at the end of the warm-up. Default: 1e-4. */
  learningRate: z.number().positive().default(1e-4),
  /**
   * Learning rate after the warm-up: from the highest down to 0 on half a cosine ('cosine') or a straight line ('linear'),
   * the highest throughout ('constant'), or the highest and then a decay phase at the end ('wsd'). Default: 'cosine'.
   */
  schedule: z.enum(scheduleNames).default('cosine'),
  /** The decay phase of the schedule `wsd`; no other schedule uses it. Default: the last fifth of the run, linear. */
  decay: z.strictObject(decaySchema).prefault({}),
  /**
   * Ends the run at step `end` with a decay phase there, instead of at the end of its schedule, which must be constant up
   * to the decay (`constant`, or `wsd` before its own decay). Default: the run goes to the end of its schedule.
   */
  anneal: z
    .strictObject({
      /** Step at which the decay phase and the run end: at most `steps`. */
      end: positiveInteger,
      ...decaySchema,
    })
    .optional(),
  /** Steps of linear warm-up, from 0 to `steps`. Default: 2.5 % of the run, rounded up. */
  warmupSteps: z.int().min(0).optional(),
  ...optimizerSettings,
  ...exchangeSettings,
  ...outerSettings,
  /** Steps between evaluations, besides those at step 0 and at the end. 0: never. Default: only at step 0 and at the end. */
  evaluateEvery: z.int().min(0).optional(),
  /** Held-out batches of one evaluation, at most; of more they are spread evenly over all of the corpus. Default: 16. */
  evaluationBatches: positiveInteger.default(16),
  /** Steps between checkpoints, besides the one at the end and those by time. 0: none by steps. Default: 0. */
  checkpointEvery: z.int().min(0).default(0),
  /** Minutes of training between additional checkpoints. 0: none by time. Default: 10. */
  checkpointMinutes: z.number().min(0).default(10),
  /**
   * How many of the newest checkpoints are kept: with two, a damaged one costs the time between them and not the run.
   * Default: 2.
   */
  keepCheckpoints: positiveInteger.default(2),
  /** Write a checkpoint at each of these steps, from 1 to `steps`, as well and keep it, for decays that branch off there. Default: []. */
  keepAt: z.array(positiveInteger).readonly().default([]),
  /** Stop early, with the schedule of the whole run: at whichever limit comes first. Default: no limit. */
  stopAfter: z
    .strictObject({
      /** Optimizer steps after which the run stops, from 0. Default: no limit. */
      steps: z.int().min(0).optional(),
      /** Tokens after which the run stops: at the end of the step that reaches them. Default: no limit. */
      tokens: positiveInteger.optional(),
    })
    .default({}),
  /** Consecutive steps with a loss or gradient that is not finite after which the run stops. Default: 5. */
  nonFiniteLimit: positiveInteger.default(5),
});

/**
 * The settings of {@link train} and {@link createTrainer}: length, batch, learning rate, optimizer, evaluation,
 * checkpoints.
 */
export interface TrainOptions extends z.input<typeof schema> {}
/** The settings of a run with their defaults. */
export interface TrainConfig extends z.output<typeof schema> {
  /** Steps of linear warm-up. */
  readonly warmupSteps: number;
}

/**
 * The settings with their defaults.
 * @throws ApolloError BAD_CONFIG naming each setting that is wrong.
 */
export function resolveConfig(options: TrainOptions): TrainConfig {
  const config = resolveOuter(resolveOptimizer(parseOptions('train', schema, options)));
  const warmupSteps = config.warmupSteps ?? warmupOf(config.steps, 0.025);
  if (warmupSteps > config.steps) {
    throw new ApolloError(
      'BAD_CONFIG',
      `train.warmupSteps: at most train.steps (${config.steps}); got ${warmupSteps}.`,
    );
  }
  const never = config.keepAt.find((step) => step > config.steps);
  if (never !== undefined) {
    throw new ApolloError(
      'BAD_CONFIG',
      `train.keepAt: expected steps from 1 to train.steps (${config.steps}); got ${never}, at which there is no checkpoint.`,
    );
  }
  checkPhases({ ...config, warmupSteps });
  checkAnneal({ ...config, warmupSteps });
  return { ...config, warmupSteps };
}

/** @throws ApolloError BAD_CONFIG for a decay phase of `wsd` that starts before the warm-up has ended. */
function checkPhases({ schedule, steps, warmupSteps, decay }: TrainConfig): void {
  const decays = decaySteps(steps, decay.share);
  // Both are rounded up, so that in a very short run they may share a step.
  if (schedule !== 'wsd' || warmupSteps + decays <= steps + 1) return;
  throw new ApolloError(
    'BAD_CONFIG',
    `train.decay: the warm-up of ${warmupSteps} steps and the decay phase of ${decays} do not fit into the ${steps} steps of the ` +
      'run. Give a shorter warm-up, or a smaller share of decay.',
  );
}

/** The decay phase that ends a run early, in steps. */
function annealOf({ anneal }: Pick<TrainConfig, 'anneal'>): Anneal | undefined {
  return anneal && { end: anneal.end, steps: decaySteps(anneal.end, anneal.share), shape: anneal.shape };
}

/** The schedule of a run without what ends it early. */
export function scheduleOf(config: TrainConfig): LearningRateSchedule {
  const { schedule, steps: totalSteps, warmupSteps, learningRate: peak, decay } = config;
  return {
    schedule,
    totalSteps,
    warmupSteps,
    peak,
    decay: { steps: decaySteps(totalSteps, decay.share), shape: decay.shape },
  };
}

/**
 * The learning rate of step `step`. `rewound`: the schedule restarted there (StepPlan.learningRate).
 */
export function rateOfStep(
  step: number,
  config: TrainConfig,
  rewound?: { readonly since: number; readonly warmupSteps: number },
): number {
  const schedule = scheduleOf(config);
  const rate = rewound
    ? rewoundRate(step, rewound.since, { ...schedule, warmupSteps: rewound.warmupSteps })
    : learningRate(step, schedule);
  const anneal = annealOf(config);
  return anneal ? annealedRate(step, anneal, rate) : rate;
}

/** @throws ApolloError BAD_CONFIG when a decay cannot branch off a checkpoint of step `step` in `folder`. */
export function checkBranch(config: TrainConfig, step: number, folder: string): void {
  const anneal = annealOf(config);
  if (anneal && step <= anneal.end - anneal.steps) return;
  throw new ApolloError(
    'BAD_CONFIG',
    anneal
      ? `The checkpoint ${folder} is of step ${step}; a decay to step ${anneal.end} over ${anneal.steps} steps starts at ` +
          `step ${anneal.end - anneal.steps}. Branch off an earlier checkpoint, or give a shorter decay.`
      : 'branchFrom requires train.anneal, the decay that branches off.',
  );
}

function checkAnneal(config: TrainConfig): void {
  const anneal = annealOf(config);
  if (!anneal) return;
  const { schedule, steps, warmupSteps } = config;
  const stable =
    schedule === 'constant' ? steps : schedule === 'wsd' ? steps - (scheduleOf(config).decay?.steps ?? 0) : 0;
  const from = anneal.end - anneal.steps;
  if (stable === 0) {
    throw new ApolloError(
      'BAD_CONFIG',
      `train.anneal: a decay branches off a constant learning rate; got schedule ${schedule}. Use schedule constant or wsd.`,
    );
  }
  if (from < warmupSteps || from > stable || anneal.end > steps) {
    throw new ApolloError(
      'BAD_CONFIG',
      `train.anneal: the decay must start between the end of the warm-up (step ${warmupSteps}) and that of the constant rate ` +
        `(step ${stable}), and end by step ${steps}; got one from step ${from} to ${anneal.end}.`,
    );
  }
}

/** The step at which the run ends, by its length and its budgets. `config` is that of a run: its `accumulation` counts all ranks. */
export function lastStep(config: TrainConfig): number {
  const { steps, stopAfter, anneal } = config;
  const tokensPerStep = config.batch * config.seq * config.accumulation;
  return Math.min(
    anneal?.end ?? steps,
    stopAfter.steps ?? steps,
    stopAfter.tokens ? Math.ceil(stopAfter.tokens / tokensPerStep) : steps,
  );
}

/** Everything that a run's bits depend on, as plain data. */
export type RunIdentity = Readonly<Record<string, unknown>>;

/** Settings that a checkpoint records and a resumed run must share. */
export function identityOf(
  config: TrainConfig,
  model: ModelConfig,
  method: TrainingMethod,
  corpusKey: string,
  objective?: Pick<Objective, 'name'>,
): RunIdentity {
  const { evaluateEvery, evaluationBatches, checkpointEvery, checkpointMinutes, keepCheckpoints, ...settled } = config;
  const { exchangePrecision, shardOptimizer, overlapExchange, ...ofOneRank } = settled;
  const { keepAt, stopAfter, nonFiniteLimit, schedule, decay, optimizer, ...rest } = ofOneRank;
  const { source, ...settings } = method.settings;
  const identity = {
    ...rest,
    ...optimizerIdentity(config),
    ...exchangeIdentity(config),
    // If it is left out, the schedule is cosine, as in checkpoints that were written before there were other schedules.
    ...(schedule !== 'cosine' && { schedule }),
    ...(schedule === 'wsd' && { decay }),
    model,
    // An initial model is named by its digest, see withBeginning.
    method: { name: method.name, ...(method.initial ? settings : method.settings) },
    corpus: corpusKey,
    ...(objective && { objective: objective.name }),
  };
  return JSON.parse(JSON.stringify(identity)) as RunIdentity;
}

/** The identity of a run that starts from a trained model, which is named by its digest and not by its path. */
export function withBeginning(identity: RunIdentity, digest: string | undefined): RunIdentity {
  return digest === undefined ? identity : { ...identity, begins: digest };
}

/** The digest of a run's initial model, from its checkpoint's identity. */
export function beginningOf(identity: RunIdentity): string | undefined {
  const { begins } = identity;
  return typeof begins === 'string' ? begins : undefined;
}

function flatten(value: unknown, path: string, into: Map<string, string>): Map<string, string> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    for (const [key, inner] of Object.entries(value)) flatten(inner, path === '' ? key : `${path}.${key}`, into);
  } else {
    into.set(path, JSON.stringify(value));
  }
  return into;
}

/** The settings in which two runs differ, one line each: `learningRate: 0.001, was 0.0003`. */
export function differences(before: RunIdentity, now: RunIdentity): string[] {
  const old = flatten(before, '', new Map());
  const current = flatten(now, '', new Map());
  return [...new Set([...old.keys(), ...current.keys()])]
    .filter((key) => old.get(key) !== current.get(key))
    .map((key) => `${key}: ${current.get(key) ?? 'absent'}, was ${old.get(key) ?? 'absent'}`);
}

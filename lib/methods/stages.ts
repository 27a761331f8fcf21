/** Stages of trained layers as settings: how many in each, and where they end. */
import { z } from 'zod';
import { ApolloError } from '../errors.js';
import { makeSchedule, type StageSchedule } from '../growth/index.js';
import { checkRate, type GrowthRate } from './growth-rate.js';
import { positiveInteger } from './options.js';

/** Ends of stages in one of four units, see growth/schedule.ts. */
export const boundariesSchema = z
  .strictObject({
    /** Ends of the stages as fractions of the run's steps. */
    fractions: z.array(z.number().min(0).max(1)).optional(),
    /** In epochs; requires `stepsPerEpoch`. */
    epochs: z.array(z.number().min(0)).optional(),
    /** Optimizer steps of one epoch, for `epochs`. */
    stepsPerEpoch: positiveInteger.optional(),
    /** In optimizer steps. */
    steps: z.array(z.int().min(0)).optional(),
    /** In tokens seen; requires `tokensPerStep`. */
    tokens: z.array(z.number().min(0)).optional(),
    /** Tokens of one optimizer step, for `tokens`. */
    tokensPerStep: positiveInteger.optional(),
  })
  .transform((given, context) => {
    const { fractions, epochs, stepsPerEpoch, steps, tokens, tokensPerStep } = given;
    if ([fractions, epochs, steps, tokens].filter(Boolean).length === 1) {
      if (fractions) return { fractions };
      if (steps) return { steps };
      if (epochs && stepsPerEpoch) return { epochs, stepsPerEpoch };
      if (tokens && tokensPerStep) return { tokens, tokensPerStep };
    }
    context.addIssue({
      code: 'custom',
      message: 'expected one of { fractions }, { epochs, stepsPerEpoch }, { steps }, { tokens, tokensPerStep }',
    });
    return z.NEVER;
  });

/** Settings of methods whose stages train more and more layers. */
export const stageOptions = {
  /** Trained layers of each stage. */
  stageLayers: z.array(positiveInteger).min(1),
  /** Where stages end. */
  boundaries: boundariesSchema,
};

/**
 * @throws ApolloError BAD_CONFIG when the last stage does not train all layers or starts after the run, or the rate's settings
 * exclude each other; BAD_ARGUMENT for stages that do not fit.
 */
export function scheduleOf(
  owner: string,
  settings: {
    stageLayers: number[];
    boundaries: z.output<typeof boundariesSchema>;
    layers: number;
    totalSteps: number;
  } & Partial<GrowthRate>,
): StageSchedule {
  checkRate(owner, settings);
  const { stageLayers, boundaries, layers, totalSteps } = settings;
  const schedule = makeSchedule({ stageLayers, boundaries, totalSteps });
  if (stageLayers.at(-1) !== layers) {
    throw new ApolloError(
      'BAD_CONFIG',
      `${owner}.stageLayers: the last stage must train all ${layers} layers; got [${stageLayers.join(', ')}].`,
    );
  }
  checkLastStart(owner, `the last stage, with all ${layers} layers,`, { ...settings, starts: schedule.boundaries });
  return schedule;
}

/** @throws ApolloError BAD_CONFIG when the last of the `starts`, which `boundaries` give, is after the run. */
export function checkLastStart(
  owner: string,
  what: string,
  {
    starts,
    boundaries,
    totalSteps,
  }: { starts: readonly number[]; boundaries: z.output<typeof boundariesSchema>; totalSteps: number },
): void {
  const start = starts.at(-1) ?? 0;
  // Shares below 1 that are rounded to the end of a very short run are no mistake of the settings.
  const isRounded = 'fractions' in boundaries && (boundaries.fractions.at(-1) ?? 0) < 1;
  if (start < totalSteps || isRounded) return;
  throw new ApolloError(
    'BAD_CONFIG',
    `${owner}.boundaries: ${what} would start after step ${start}, and the run ends after step ${totalSteps}. Give earlier ` +
      'boundaries, or more steps.',
  );
}

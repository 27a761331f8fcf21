/**
 * Multi-stage layerwise training (Yang et al., "Progressively Stacking 2.0", 2020): layers are added on top as copies of
 * the topmost ones, and each stage trains only those it added; layers below are frozen and cost a forward pass. At the
 * end all train together.
 */
import { z } from 'zod';
import { ApolloError } from '../errors.js';
import { stackTop } from '../growth/index.js';
import { isBehindLayers, layerOf } from '../models/index.js';
import { depthGrowth, stageBefore } from './depth-growth.js';
import type { TrainingMethod } from './method.js';
import { commonOptions, parseOptions } from './options.js';
import { scheduleOf, stageOptions } from './stages.js';

const schema = z.strictObject({
  ...commonOptions,
  /** Trained layers after each growth; none adds more layers than there were. Default: quarters, 12 -> [3, 6, 9, 12]. */
  stageLayers: stageOptions.stageLayers.optional(),
  /** Where stages end. Default: stages of equal length up to `joint`. */
  boundaries: stageOptions.boundaries.optional(),
  /** From this fraction of the steps on all layers train, in [0, 1]. Default: 0.7. */
  joint: z.number().min(0).max(1).default(0.7),
});
/**
 * Settings of the method `mslt`, see docs/methods.
 * @example
 * const options: MsltOptions = { layers: 12, totalSteps: 10_000, seed: 42 };
 */
export interface MsltOptions extends z.input<typeof schema> {}

/** As near to quarters as whole numbers come, without repetition. */
function quarters(layers: number): number[] {
  return [...new Set([1, 2, 3, 4].map((quarter) => Math.ceil((quarter * layers) / 4)))];
}

/** @throws ApolloError BAD_CONFIG naming the setting that is wrong, BAD_ARGUMENT for stages that do not fit together. */
export function mslt(options: MsltOptions): TrainingMethod {
  const parsed = parseOptions('mslt', schema, options);
  const { layers, totalSteps, joint } = parsed;
  const stageLayers = parsed.stageLayers ?? quarters(layers);
  const equal = stageLayers.slice(1).map((_, stage) => ((stage + 1) * joint) / stageLayers.length);
  const settings = { ...parsed, stageLayers, boundaries: parsed.boundaries ?? { fractions: equal } };
  const schedule = scheduleOf('mslt', settings);
  stageLayers.forEach((count, stage) => {
    if (stage > 0 && count > 2 * (stageLayers[stage - 1] as number)) {
      throw new ApolloError(
        'BAD_CONFIG',
        `mslt.stageLayers: a stage can at most double the layers; got ${stageLayers[stage - 1]} -> ${count}.`,
      );
    }
  });
  const jointStep = Math.round(joint * totalSteps);
  const base = depthGrowth({ schedule, map: stackTop, moments: 'release' });
  return {
    name: 'mslt',
    layers,
    settings,
    ...base,
    plan(step) {
      const plan = base.plan(step);
      const before = stageBefore(schedule, schedule.stageAt(step).index);
      if (before === undefined || step >= jointStep) return plan;
      const frozen = stageLayers[before] as number;
      // The head's output matrix may be the word table, which stays frozen with the embeddings.
      const trainable = (name: string) => {
        const layer = layerOf(name);
        return layer === undefined ? isBehindLayers(name) : layer >= frozen;
      };
      return { ...plan, forwardOnly: frozen, trainable };
    },
  };
}

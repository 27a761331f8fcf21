/** Queues a step of a run on the device: its micro-batches, and the update behind them. */
import { seedWords } from '../growth/index.js';
import type { StepPlan, TrainingMethod } from '../methods/method.js';
import { lastStep, rateOfStep, type TrainConfig } from './config.js';
import { type BatchAhead, type BatchInputs, type BatchSize, hasTarget, labelCount, labelShares } from './corpus.js';
import type { RunDependencies } from './dependencies.js';
import { planOf } from './method-answers.js';
import { fieldsOf, gateInputs, type RunPrograms, type TrainingProgram } from './programs.js';
import type { MicroBatch, QueuedStep, Trainer } from './trainer.js';
import { updateOf } from './updates.js';

/** Context in which a step is queued. */
export interface StepSite {
  readonly config: TrainConfig;
  readonly deps: RunDependencies;
  /** As far as the losses so far have decided it. */
  readonly method: TrainingMethod;
  /** Programs of the current stage. */
  readonly programs: RunPrograms;
  readonly batches: BatchAhead;
  readonly batchSize: BatchSize;
  /** The micro-batches of a step that this rank runs. */
  readonly micros: readonly number[];
  /** A number that is summed over all ranks, see TrainerStep. */
  readonly note: number;
  readonly trainer: Trainer;
}

/** A step that was queued. */
export interface RunStep extends QueuedStep {
  readonly plan: StepPlan;
  readonly learningRate: number;
  /** Parameters that it updates. */
  readonly updated: readonly string[];
}

/** Queues step `step`, which must be of the stage that the site's programs are of. */
export async function queueStep(site: StepSite, step: number): Promise<RunStep> {
  const { config, deps, method, programs, trainer, note } = site;
  const plan = planOf(method, step);
  const training = await programs.training(plan, deps.corpus.shape(site.batchSize), site.micros.length);
  const learningRate = rateOf(plan, step, config);
  const { names, options } = updateOf(training, plan);
  const outcome = trainer.queue(
    { microBatches: () => microBatches(site, step, training, plan), names, update: { learningRate, ...options }, note },
    deps.signal,
  );
  const { active = () => true } = options;
  return { plan, learningRate, outcome, updated: names.filter(active) };
}

/**
 * The micro-batches of a step that have a target, each with its share of the step's labels. A batch of the step after it is
 * built when one of this is queued: their labels can be counted when that step starts.
 */
async function* microBatches(
  { config, deps, batches, micros, trainer }: StepSite,
  step: number,
  { program, random, weighted, binding }: TrainingProgram,
  plan: StepPlan,
): AsyncGenerator<MicroBatch, void, void> {
  const { seed } = config;
  const gates = gateInputs(plan);
  const list = await batches.take(step, micros);
  const counts = weighted || trainer.exchange ? list.map(labelCount) : undefined;
  const shares = counts ? labelShares(counts) : [Number(hasTarget(list[0] as BatchInputs))];
  const last = shares.findLastIndex((share) => share > 0);
  for (const [i, micro] of micros.entries()) {
    const rng = Int32Array.from([...seedWords(seed), step, micro]);
    const share = shares[i] as number;
    const weight = weighted && { share: Float32Array.of(share) };
    const inputs = { ...fieldsOf(program, list[i]!), ...(random && { rng }), ...weight, ...gates };
    if (share > 0) yield { program, binding, share, inputs, labels: counts?.[i], last: i === last };
    list[i] = {}; // copied by now: of two steps' batches no more than those of one are held
    if (deps.lookAhead !== false && step + 1 < lastStep(config)) batches.prepare(step + 1, micro);
  }
}

/** The learning rate of a step: the scheduled one unless the method changes it. */
function rateOf({ learningRate: own }: StepPlan, step: number, config: TrainConfig): number {
  if (!own) return rateOfStep(step, config);
  if ('value' in own) return own.value;
  return 'since' in own ? rateOfStep(step, config, own) : rateOfStep(step, config) * own.factor;
}

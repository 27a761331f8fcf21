/**
 * The training loop as an async iterator of events. It knows no method and no model by name; a run's bits are a function
 * of its settings, and a run that was interrupted resumes from its last checkpoint to the same bits.
 */
import { check } from '../errors.js';
import * as is from '../is.js';
import { lastStep, type TrainOptions } from './config.js';
import { dependencyChecks, type TrainDependencies } from './dependencies.js';
import type { EvaluationEvent, StepEvent, TrainEvent } from './events.js';
import { createRun } from './fit.js';
import { startWarnings } from './start-warnings.js';

const takesTrain = is.takes('train', {
  options: is.record,
  deps: is.options({
    ...dependencyChecks,
    method: is.chosenMethod,
    corpus: is.trainingCorpus,
    store: is.optional(is.store),
    stop: is.optional(is.func),
    lookAhead: is.optional(is.boolean),
  }),
});

/**
 * Trains a model and reports each step. The run ends after the last event; leaving the iteration early frees what it
 * holds and writes nothing.
 * @param options Settings of the run: length, batch, learning rate, optimizer, evaluation, checkpoints.
 * @param deps Device, model, method and corpus; where the run starts from, and the folder of its checkpoints.
 * @example
 * ```ts
 * for await (const event of train({ steps: 1000, batch: 16, seq: 128 }, { device, model, method, corpus })) {
 *   if (event.type === 'step') console.log(event.step, event.loss);
 * }
 * ```
 * @throws ApolloError BAD_CONFIG for wrong settings or a checkpoint of other settings, BAD_CHECKPOINT for a damaged
 * checkpoint, NON_FINITE when the run diverged, BAD_CORPUS when no step had a target or the corpus gives something else than
 * batches, FILE_SYSTEM when no checkpoint can be written to the folder, BUSY when another run has it; and what engine and
 * corpus throw.
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function train(options: TrainOptions, deps: TrainDependencies): AsyncGenerator<TrainEvent, void, void> {
  takesTrain(options, deps);
  return trainEvents(options, deps);
}

async function* trainEvents(options: TrainOptions, given: TrainDependencies): AsyncGenerator<TrainEvent, void, void> {
  const run = createRun(options, given);
  const { config, deps } = run;
  const end = lastStep(config);
  const stop = (event: StepEvent | EvaluationEvent) => isStopped(deps.stop?.(event));
  try {
    const resumed = await run.open();
    const { flopsLayers: _, ...totals } = run.totals;
    yield {
      type: 'start',
      step: run.step,
      steps: config.steps,
      layers: deps.model.config.layers,
      trainedLayers: run.stage.trainedLayers,
      parameters: run.parameters,
      ...totals,
      ...(resumed && { resumedFrom: resumed.folder }),
      ...(run.sourceCosts && { source: run.sourceCosts }),
      ...(deps.method.initial && !run.sourceCosts && { sourceUnknown: true }),
      ...(run.seen && { seen: run.seen }),
    };
    yield* startWarnings(run, resumed?.state);
    let stopped = false;
    while (!stopped && (run.isAhead || !run.aborted)) {
      if (!run.isAhead) {
        const evaluation = run.evaluationDue(run.step) ? await run.unlessAborted(() => run.evaluate()) : undefined;
        if (evaluation) yield evaluation;
        stopped = evaluation !== undefined && stop(evaluation);
        if (run.step >= end || run.aborted || stopped) break;
        if (run.checkpoints.isDue(run.step)) {
          await run.checkpoints.written();
          yield* run.checkpoints.events();
          await run.checkpoints.save();
        }
        const growth = await run.grow();
        if (growth) yield growth;
      }
      const step = await run.unlessAborted(() => run.train());
      if (!step) break;
      yield step;
      yield* run.checkpoints.events();
      const warning = run.warningOf(step);
      if (warning) yield warning;
      stopped = stop(step);
    }
    await run.checkpoints.written();
    yield* run.checkpoints.events();
    await run.checkpoints.saveLast();
    yield* run.checkpoints.lastEvents();
    run.counts.checkTargets(run.step);
    yield {
      type: 'done',
      step: run.step,
      aborted: run.aborted && (run.step < end || run.evaluationDue(run.step)),
      ...(stopped && { stopped }),
      complete: run.step >= config.steps,
      flopsModel: run.totals.flopsModel,
      flopsExecuted: run.totals.flopsExecuted,
      tokens: run.totals.tokens,
      trainMs: run.totals.trainMs,
      ...(run.counts.stageTraffic && { exchanged: run.counts.stageTraffic }),
      ...(run.checkpoints.lastSaved && { checkpoint: run.checkpoints.lastSaved }),
      ...(run.counts.withoutTarget > 0 && { stepsWithoutTarget: run.counts.withoutTarget }),
    };
  } catch (error) {
    await run.closeAfterError();
    throw error;
  } finally {
    if (!run.closed) await run.close();
  }
}

/** What `stop` says. @throws ApolloError BAD_ARGUMENT for a promise, which would always count as true. */
function isStopped(answer: unknown): boolean {
  check(
    typeof (answer as { then?: unknown } | null | undefined)?.then !== 'function',
    'train: stop must return true or false; got a promise. It is asked between two steps, and cannot be async.',
  );
  return Boolean(answer);
}

/** Trains one run of the map to its end, resumable, and makes its record. */
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type StageCost, stageCosts } from '../../../lib/cli/plan.js';
import { smallModel, smallShape } from '../../../lib/compare/index.js';
import { type Corpus, prepareCorpus } from '../../../lib/data/index.js';
import type { Device } from '../../../lib/engine/index.js';
import { ApolloError } from '../../../lib/errors.js';
import { createMethod, type TrainingMethod } from '../../../lib/methods/index.js';
import { createModel, type LanguageModel, type ObjectiveName, preset } from '../../../lib/models/index.js';
import {
  type AnnealDependencies,
  anneal,
  branchSteps,
  flopsOfStep,
  type TrainEvent,
  type TrainOptions,
  train,
} from '../../../lib/train/index.js';
import { trainingCorpus } from '../../../lib/train/text-corpus.js';
import { type Arm, arms } from './arms.js';
import { type CurvePoint, idOf, type MapRecord, type MapRun, type ModelKind } from './record.js';

/**
 * Model and step of `nano`: 0.73 M parameters, of Llama with one key/value head 0.72 M; 1,024 tokens per step. BERT leaves
 * its early plateau with short sequences.
 */
const sizes = { hidden: 64, heads: 2, vocabSize: 2048, maxPositions: 64, dropout: 0, attentionDropout: 0 };
const wide = { batch: 16, seq: 64 };
const shapes = { gpt: wide, bert: { batch: 64, seq: 16 }, llama: wide } as const;
const layers = 12;
const defaultWarmup = 200;
const half = 0.5;
/** Held-out batches of each evaluation, and evaluations on the way. */
const evaluation = { batches: 64, count: 16 };

export interface MapContext {
  readonly device: Device;
  readonly precision: 'f32' | 'bf16';
  readonly corpora: Readonly<Record<ObjectiveName, Corpus>>;
  /** Folder of the runs that are not finished. */
  readonly work: string;
  readonly signal: AbortSignal;
  say(line: string): void;
}

/** The tokenizer is trained on the same text; prepared once and then found in the cache. Causal models share one. */
export function openMapCorpus(
  objective: ObjectiveName,
  options: { readonly data: readonly string[]; readonly cacheDir: string; readonly signal: AbortSignal },
): Promise<Corpus> {
  return prepareCorpus({
    inputs: [...options.data],
    tokenizer: { train: objective === 'masked' ? 'wordpiece' : 'bpe', vocabSize: sizes.vocabSize },
    cacheDir: options.cacheDir,
    heldOut: 0.01,
    signal: options.signal,
  });
}

export function mapModel(kind: ModelKind, arm: Arm): LanguageModel {
  const config = preset(`${kind}-nano`, { ...sizes, layers: arm.layers ?? layers });
  return arm.isSmall ? smallModel(config, undefined) : createModel(config);
}

/** The options of lib/train for a run. */
export function mapOptions(run: MapRun, precision: 'f32' | 'bf16') {
  const { arm, kind, steps, rate, schedule, optimizer, seed } = run;
  return {
    seed,
    steps,
    ...shapes[kind],
    precision,
    learningRate: rate,
    schedule,
    optimizer,
    warmupSteps: run.warmup ?? defaultWarmup,
    evaluateEvery: Math.ceil(steps / evaluation.count),
    evaluationBatches: evaluation.batches,
    checkpointEvery: 1000,
    keepAt: isTrunk(run) ? branchSteps(steps, { at: [half] }) : [],
    ...arms[arm].train,
  } satisfies TrainOptions;
}

/** The run of the smaller model that a run starts from. */
export function sourceOf(run: MapRun): MapRun | undefined {
  const { smallShare }: Arm = arms[run.arm];
  return smallShare === undefined ? undefined : { ...run, arm: 'small', steps: run.steps * smallShare };
}

/** Whether nothing but the decay depends on the length: a run half as long is a decay that branches off this one. */
const isTrunk = ({ arm, schedule }: MapRun): boolean => arm === 'scratch' && schedule === 'wsd';

/** The run twice as long that a run is a decay of, where its checkpoints are there. */
function trunkOf(run: MapRun, work: string): MapRun | undefined {
  const trunk = { ...run, steps: run.steps / half };
  return isTrunk(run) && finishedRun(trunk, work) && existsSync(checkpointsOf(trunk, work)) ? trunk : undefined;
}

/** The model and method of a run; `source` is the folder of the smaller model that it starts from. */
export function methodOf(run: MapRun, source = 'smaller model'): { model: LanguageModel; method: TrainingMethod } {
  const { arm, kind, steps, seed } = run;
  const { method, options }: Arm = arms[arm];
  const model = mapModel(kind, arms[arm]);
  const common = { layers: model.config.layers, totalSteps: steps, seed };
  const begin = sourceOf(run) && { source, small: smallShape(model.config) };
  return { model, method: createMethod(method, { ...options, ...begin, ...common } as never, { model: model.config }) };
}

/** The stages of a run with their FLOPs. */
export function stageCostsOf(run: MapRun): StageCost[] {
  const { model, method } = methodOf(run);
  const { batch, seq } = shapes[run.kind];
  return stageCosts(method, model, { steps: run.steps, seq, tokens: batch * seq }, { name: run.optimizer });
}

/** FLOPs of all updates of a run: Muon's iterations, which the FLOPs of a record leave out as the paper's accounting does. */
export function updateFlopsOf(run: MapRun): number {
  if (run.optimizer === 'adamw') return 0;
  return stageCostsOf(run).reduce((sum, { updateFlops }) => sum + updateFlops, 0);
}

const checkpointsOf = (run: MapRun, work: string): string => join(work, idOf(run), 'checkpoints');
const recordFile = (run: MapRun, work: string): string => join(work, `${idOf(run)}.json`);

/** The record of a run that an earlier call has finished. */
export function finishedRun(run: MapRun, work: string): MapRecord | undefined {
  const kept = recordFile(run, work);
  return existsSync(kept) ? (JSON.parse(readFileSync(kept, 'utf8')) as MapRecord) : undefined;
}

/**
 * The record of a run, made now or read from an earlier call; undefined when the signal stopped it. What is in its folder
 * is resumed, and removed once the record is kept, except for models that other runs start from. One that is a decay of a
 * longer run is trained as such: its bits are the same.
 */
export async function makeRun(
  run: MapRun,
  context: MapContext,
  /** Its checkpoints are needed: a run whose record alone is there, from another machine, is made again. */
  { withModel = false } = {},
): Promise<MapRecord | undefined> {
  const { device, precision, corpora, work, signal, say } = context;
  const id = idOf(run);
  const folder = join(work, id);
  const finished = finishedRun(run, work);
  if (finished && !(withModel && !existsSync(checkpointsOf(run, work)))) return finished;
  const source = sourceOf(run);
  if (source && !(await makeRun(source, context, { withModel: true }))) return undefined;
  const trunk = trunkOf(run, work);
  const { model, method } = methodOf(trunk ?? run, source && checkpointsOf(source, work));
  const options = mapOptions(run, precision);
  const corpus = trainingCorpus(corpora[model.objective], { evaluationBatches: evaluation.batches });
  const size = { seq: options.seq, tokens: options.batch * options.seq };
  const curveFile = join(folder, 'curve.json');
  mkdirSync(folder, { recursive: true });
  let curve: readonly CurvePoint[] = existsSync(curveFile)
    ? JSON.parse(readFileSync(curveFile, 'utf8'))
    : ((trunk && finishedRun(trunk, work)?.curve) ?? []);
  let parameters = 0;
  let totals = { flopsModel: 0, tokens: 0, trainMs: 0 };
  let before = { flopsModel: 0, flopsLayers: 0 };
  const finish = (loss: number | null): MapRecord => {
    let { flopsLayers } = before;
    for (let step = 0; step < run.steps; step++) flopsLayers += flopsOfStep(method, model.config, step, size).layers;
    const { tokens, trainMs } = totals;
    const flops = totals.flopsModel + before.flopsModel;
    const { name: processor } = device.info();
    const record = { ...run, id, parameters, tokens, loss, flops, flopsLayers, trainMs, processor, curve };
    writeFileSync(recordFile(run, work), `${JSON.stringify(record)}\n`);
    if (run.arm !== 'small' && !isTrunk(run)) rmSync(folder, { recursive: true });
    return record;
  };
  const deps = { device, model, method, corpus, signal };
  const own = checkpointsOf(run, work);
  const events = trunk
    ? decayOf(
        run,
        { ...mapOptions(trunk, precision), evaluateEvery: options.evaluateEvery },
        { ...deps, trunk: checkpointsOf(trunk, work), out: own },
      )
    : train(options, { ...deps, checkpointDir: own, resume: 'auto' });
  try {
    for await (const event of events) {
      switch (event.type) {
        case 'start':
          if (event.resumedFrom) say(`${id}: resumes at step ${event.step}`);
          curve = curve.filter((point) => point.step <= event.step);
          parameters = event.parameters;
          if (event.source) before = event.source;
          break;
        case 'growth':
          parameters = event.parameters;
          break;
        case 'evaluation':
          curve = [
            ...curve.filter((point) => point.step < event.step),
            {
              step: event.step,
              flops: event.flopsModel + before.flopsModel,
              loss: event.lossFull,
              ...(event.trainedLayers < model.config.layers && { stageLoss: event.lossStage }),
            },
          ];
          writeFileSync(curveFile, JSON.stringify(curve));
          say(`${id}: step ${event.step}, loss ${event.lossFull.toFixed(4)}`);
          break;
        case 'done':
          totals = event;
          if (!event.aborted) return finish((curve.at(-1) as CurvePoint).loss);
      }
    }
  } catch (error) {
    if (!(error instanceof ApolloError) || error.code !== 'NON_FINITE') throw error;
    say(`${id}: ${error.message}`);
    return finish(null);
  }
  return undefined;
}

async function* decayOf(
  { steps }: MapRun,
  options: TrainOptions,
  deps: AnnealDependencies,
): AsyncGenerator<TrainEvent, void, void> {
  for await (const { event } of anneal(options, { at: [steps] }, deps)) yield event;
}

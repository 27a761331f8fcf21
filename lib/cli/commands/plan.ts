/** `apollo-lm plan`: what a run will cost. The pure part needs neither data nor the native engine. */
import { type Command, Option } from 'commander';
import type { Device } from '../../engine/index.js';
import { ApolloError } from '../../errors.js';
import { type AutoEvidence, nearestEvidence } from '../../methods/auto-evidence.js';
import type { TrainingMethod } from '../../methods/index.js';
import { createModel, familyOf, type LanguageModel, parameterCount, withShape } from '../../models/index.js';
import { formatBytes, formatCount, formatDuration, formatFlops, formatPercent } from '../../report/format.js';
import { textTable } from '../../report/table.js';
import { checkSettings, parameterBytes } from '../../train/index.js';
import { openDeviceOf, precisionOf } from '../device.js';
import type { CommandIo } from '../io.js';
import { type DepthCost, type StageCost, stageCosts } from '../plan.js';
import { measureStages } from '../plan-measure.js';
import type { Piece } from '../plan-pieces.js';
import { checkRankFlags, formatRanks, type RankFlags, type RanksPlan, rankFlags, ranksPlan } from '../plan-ranks.js';
import { readInit } from '../session.js';
import { loadSettings } from '../settings/config.js';
import { addSettings, flagsOf, runOptions } from '../settings/options.js';
import { presetHelp } from '../settings/presets.js';
import {
  methodOf,
  methodOptionsOf,
  modelConfigOf,
  sequenceOf,
  tokensPerStepOf,
  totalStepsOf,
  trainOptionsOf,
} from '../settings/resolve.js';
import type { Settings } from '../settings/schema.js';
import { Progress } from '../watch/progress.js';

interface Measured {
  /** Where and in what it was measured. */
  readonly device: string;
  readonly precision: string;
  /** 'full': whole micro-batches were timed; 'estimate': a piece of one, extrapolated by FLOPs. */
  readonly how: 'full' | 'estimate';
  readonly piece?: Piece;
  readonly depths: readonly DepthCost[];
  readonly estimatedMs: number;
  readonly scratchMs: number;
}

interface Plan {
  readonly method: string;
  /** For `auto`: the measurement that is closest to this run. */
  readonly evidence?: AutoEvidence;
  readonly parameters: number;
  readonly tokens: number;
  readonly flops: number;
  readonly scratchFlops: number;
  readonly optimizer: string;
  /** FLOPs of the optimizer's matrix products; not included in `flops`. */
  readonly updateFlops: number;
  readonly stages: readonly StageCost[];
  /** Absent without the native engine, whose message is `missing`. */
  readonly measured?: Measured;
  readonly missing?: string;
  /** On many ranks, where their numbers are given. */
  readonly onRanks?: RanksPlan;
}

export function planCommand(program: Command, io: CommandIo): void {
  const command = program.command('plan').description('show what a run will cost: parameters, FLOPs, memory, time');
  addSettings(command, ['method', ...runOptions, 'shardOptimizer', 'syncEvery']).addHelpText('after', presetHelp);
  const how = new Option('--measure <how>', 'memory and time: estimated within seconds, measured in full, or omitted');
  command
    .addOption(how.choices(['estimate', 'full', 'none']).default('estimate'))
    .option('--no-measure', 'same as --measure none, which requires no native engine');
  for (const option of rankFlags) command.addOption(option);
  command.action(async (parsed: Record<string, unknown>) => {
    const given = new Set(
      Object.keys(parsed).filter((name) => command.getOptionValueSource(name) === 'cli' && parsed[name] !== false),
    );
    const { measure, ranks, bandwidth, latency, overlap, flops, memoryBandwidth, ...rest } = parsed;
    const ofRanks = { ranks, bandwidth, latency, overlap, flops, memoryBandwidth } as RankFlags;
    const { preset, config, json } = rest as { preset?: string; config?: string; json?: boolean };
    const settings = loadSettings({ preset, config, flags: flagsOf(rest), trains: 'method' });
    const progress = new Progress(io, { quiet: json === true && !io.stderr.isTTY });
    const wanted = measure === false ? 'none' : (measure as Measure);
    checkRankFlags(ofRanks, wanted, given);
    const plan = await makePlan(settings, flops === undefined ? wanted : 'none', ofRanks, progress).finally(() =>
      progress.clear(),
    );
    io.stdout.write(json ? `${JSON.stringify(plan, undefined, 2)}\n` : `${formatPlan(plan)}\n`);
  });
}

type Measure = 'estimate' | 'full' | 'none';

/** A run as its settings describe it, on this number of ranks. */
interface PlannedRun {
  readonly settings: Settings;
  readonly model: LanguageModel;
  readonly method: TrainingMethod;
  readonly seq: number;
  readonly steps: number;
  /** Of a step, as one rank computes it. */
  readonly tokens: number;
  readonly stages: readonly StageCost[];
}

function plannedRun(
  settings: Settings,
  model: LanguageModel,
  tokens = tokensPerStepOf(settings, model.config),
): PlannedRun {
  const { config } = model;
  const seq = sequenceOf(settings, config);
  const size = { steps: totalStepsOf(settings, config), seq, tokens };
  const method = methodOf(settings, settings.method, config, settings.seed);
  const optimizer = { name: settings.optimizer.name, iterations: settings.muon.iterations };
  return { settings, model, method, ...size, stages: stageCosts(method, model, size, optimizer) };
}

async function makePlan(
  settings: Settings,
  measure: Measure,
  { ranks, ...flags }: RankFlags,
  progress: Progress,
): Promise<Plan> {
  const model = createModel(modelConfigOf(settings, (await readInit(settings))?.config));
  checkSettings(trainOptionsOf(settings, model.config, settings.seed, 'f32'), model.config);
  const run = plannedRun(settings, model);
  const plan = costOf(run);
  const onRanks = (secondsOf: (stage: StageCost) => number) =>
    ranks && { onRanks: onManyRanks(run, { ...flags, ranks }, secondsOf) };
  if (measure === 'none') return { ...plan, ...onRanks((stage) => (stage.flops + stage.updateFlops) / flags.flops!) };
  let device: Device;
  try {
    device = await openDeviceOf(settings);
  } catch (error) {
    if (!(error instanceof ApolloError)) throw error;
    return { ...plan, missing: error.message };
  }
  try {
    // Of the fewest ranks, each of which keeps the most.
    const shards = settings.shardOptimizer ? Math.min(...(ranks ?? [settings.ranks ?? 1])) : 1;
    const { measured, msOf } = await measuredRun(run, { device, measure, shards, progress });
    return { ...plan, measured, ...onRanks((stage) => msOf(stage) / 1e3) };
  } finally {
    await device.close();
  }
}

/** What a run costs before anything of it is measured. */
function costOf({ settings, model, method, steps, tokens: tokensPerStep, seq, stages }: PlannedRun): Plan {
  const { config } = model;
  const { optimizer } = settings;
  const tokens = steps * tokensPerStep;
  const parameters = parameterCount(model.parameters(config.layers));
  // A measurement of the recipe says nothing of another one, nor of a model that does not grow.
  const asMeasured = Object.keys(methodOptionsOf(settings, settings.method)).length === 0 && stages.length > 1;
  const evidence =
    method.name === 'auto' && asMeasured
      ? nearestEvidence(config.kind, optimizer.name, tokens / parameters)
      : undefined;
  return {
    method: method.name,
    ...(evidence && { evidence }),
    parameters,
    tokens,
    flops: stages.reduce((sum, stage) => sum + stage.flops, 0),
    optimizer: optimizer.name,
    updateFlops: stages.reduce((sum, stage) => sum + stage.updateFlops, 0),
    scratchFlops: tokens * model.flopsPerToken(config.layers, seq),
    stages,
  };
}

/** The run on many ranks; `secondsOf`: what one rank computes in all steps of a stage. */
function onManyRanks(
  { settings, model, tokens }: PlannedRun,
  flags: RankFlags & { readonly ranks: readonly number[] },
  secondsOf: (stage: StageCost) => number,
): RanksPlan {
  const { optimizer, syncEvery, accumulation, shardOptimizer = false } = settings;
  return ranksPlan(
    flags,
    (ranks) => plannedRun({ ...settings, ranks }, model, tokens).stages,
    secondsOf,
    ({ shape, trainedLayers: layers }, held) =>
      parameterBytes(shape ? createModel(withShape(model.config, shape)) : model, {
        ...{ optimizer: optimizer.name, syncEvery, layers },
        ...held,
      }),
    { syncEvery, accumulation, shardOptimizer, precision: plannedPrecision(settings) },
  );
}

interface Measuring {
  readonly device: Device;
  readonly measure: 'estimate' | 'full';
  /** How many ranks share the state of the optimizer. */
  readonly shards: number;
  readonly progress: Progress;
}

/** Memory and time of a run on a device, and the milliseconds of all steps of a stage. */
async function measuredRun(
  { settings, model, seq, steps, stages }: PlannedRun,
  { device, measure, shards, progress }: Measuring,
): Promise<{ readonly measured: Measured; readonly msOf: (stage: StageCost) => number }> {
  const { batch, accumulation, syncEvery, optimizer } = settings;
  const precision = precisionOf(settings);
  const onProgress = (label: string, done: number) => progress.update({ label, done });
  const probe = { device, model, precision, optimizer: optimizer.name, syncEvery, shards, batch, seq, onProgress };
  const { depths, piece, msOf, scratchMs } = await measureStages(stages, probe, measure);
  const ofStage = (stage: StageCost) => accumulation * msOf(stage);
  return {
    msOf: ofStage,
    measured: {
      device: device.info().name,
      precision,
      how: measure,
      ...(piece && { piece }),
      depths,
      estimatedMs: stages.reduce((sum, stage) => sum + ofStage(stage), 0),
      scratchMs: steps * accumulation * scratchMs,
    },
  };
}

/** The precision of ranks whose speed may be given: without the native engine, `auto` on a CPU is f32. */
function plannedPrecision(settings: Settings): 'f32' | 'bf16' {
  try {
    return precisionOf(settings);
  } catch (error) {
    if (error instanceof ApolloError && error.code === 'NO_ADDON') return 'f32';
    throw error;
  }
}

/** "6", "6, 384 wide". */
const depthText = (depth: number, hidden?: number) => (hidden === undefined ? `${depth}` : `${depth}, ${hidden} wide`);

function formatPlan(plan: Plan): string {
  const stages = textTable([
    ['trained layers', 'steps', 'mean depth', 'parameters', 'FLOPs'],
    ...plan.stages.map(({ trainedLayers, shape, steps, meanDepth, parameters, flops }) => [
      depthText(trainedLayers, shape?.hidden),
      String(steps),
      meanDepth.toFixed(2),
      formatCount(parameters),
      formatFlops(flops),
    ]),
  ]);
  const share = plan.flops / plan.scratchFlops;
  const lines = [
    `${plan.method}: ${formatCount(plan.parameters)} parameters, ${formatCount(plan.tokens)} tokens, ${formatFlops(plan.flops)}`,
    `${formatPercent(share)} of the cost of training from scratch over the same tokens (${formatFlops(plan.scratchFlops)})`,
    ...(plan.updateFlops > 0
      ? [
          `the updates by ${plan.optimizer} cost ${formatFlops(plan.updateFlops)} more (${formatPercent(plan.updateFlops / plan.flops)}), which these figures do not include`,
        ]
      : []),
    ...(plan.evidence ? [evidenceLine(plan, plan.evidence)] : []),
    '',
    stages,
  ];
  if (plan.onRanks && !plan.measured) return [...lines, '', formatRanks(plan.onRanks, plan.stages)].join('\n');
  if (plan.missing) return [...lines, '', `Memory and time require the native engine. ${plan.missing}`].join('\n');
  if (!plan.measured) return lines.join('\n');
  const { device, precision, depths, piece, estimatedMs, scratchMs } = plan.measured;
  const memory = textTable([
    ['depth', 'weights, gradients, optimizer', 'activations', 'time of a micro-batch'],
    ...depths.map(({ depth, hidden, parameterBytes, arenaBytes, ms }) => [
      depthText(depth, hidden),
      formatBytes(parameterBytes),
      arenaBytes === undefined ? 'does not fit' : formatBytes(arenaBytes),
      formatDuration(ms),
    ]),
  ]);
  const time =
    `about ${formatDuration(estimatedMs)} on ${device} in ${precision}, without evaluation and optimizer; ` +
    `training from scratch about ${formatDuration(scratchMs)}`;
  const source = piece
    ? `Time is extrapolated by FLOPs from one layer and the head on ${piece.batch} x ${piece.seq} tokens, ${piece.runs} runs of ` +
      'each; --measure full runs whole micro-batches of every depth.'
    : 'Time is the median of three runs of a whole micro-batch at each depth.';
  const misfit = depths.find((depth) => depth.misfit !== undefined);
  const missing = misfit ? ['', `At depth ${misfit.depth}: ${misfit.misfit}`] : [];
  const onRanks = plan.onRanks ? ['', formatRanks(plan.onRanks, plan.stages)] : [];
  return [...lines, '', memory, ...missing, '', time, source, ...onRanks].join('\n');
}

/** The measurement closest to the run, and how far the run is from it. */
function evidenceLine({ tokens, parameters }: Plan, evidence: AutoEvidence): string {
  const { kind, layers, hidden, optimizer, tokensPerParameter, seeds, flopsShare, difference } = evidence;
  const { title } = familyOf({ kind });
  const [own, reference] = optimizer === 'adamw' ? ['', ''] : [` with ${optimizer}`, ' with adamw'];
  const side = difference <= 0 ? 'below' : 'above';
  return (
    `auto: measured nearest, a ${title} of ${layers} layers x ${hidden} at ${tokensPerParameter} tokens per parameter (here ` +
    `${(tokens / parameters).toFixed(1)})${own} ended ${Math.abs(difference).toFixed(3)} ${side} training from scratch${reference} over the same tokens, with ` +
    `${formatPercent(flopsShare)} of its FLOPs (${seeds === 1 ? 'one seed' : `${seeds} seeds`})`
  );
}

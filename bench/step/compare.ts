/**
 * One training step of a model, timed here and in PyTorch processes that take turns with it, and what explains the time:
 * the profile, the share of the matmul peak, memory, the time per depth.
 */
import { type Device, type MatmulPeak, matmulPeak } from '../../lib/engine/index.js';
import { createModel, keyValueHeadsOf, type ModelConfig } from '../../lib/models/index.js';
import { linearFit, spread } from '../statistics.js';
import { Peer, type PeerVariant } from './peer.js';
import { StepBench, type TrainingStep } from './training-step.js';

export interface StepComparisonOptions {
  readonly device: Device;
  readonly config: ModelConfig;
  readonly seq: number;
  /** Sequences per step. */
  readonly batch: number;
  readonly precision: 'f32' | 'bf16';
  /** Timed steps, in `rounds` turns. */
  readonly steps: number;
  readonly rounds?: number;
  /** Interpreter with torch; without it there are no peers. */
  readonly python?: string | undefined;
  readonly peers?: readonly PeerVariant[];
  /** Sequences per step of the peers, tried in turn until one fits. Default: `batch`. */
  readonly peerBatches?: readonly number[];
  /** Depths whose time is fitted by a line; none: left out. */
  readonly depths?: readonly number[];
  readonly byShape?: boolean;
  readonly peak?: MatmulPeak;
  /** By performance.now(): no peer is started later. */
  readonly deadline?: number;
  readonly say?: (text: string) => void;
}

type Spread = ReturnType<typeof spread>;

export interface PeerResult {
  readonly name: string;
  readonly version: string;
  readonly batch: number;
  readonly tokensPerSecond: number;
  readonly stepMs: Spread;
  readonly peakBytes: number;
  /** Our tokens/s by theirs, both from the turns they shared. */
  readonly speedup: number;
}

export interface StepComparison {
  readonly model: string;
  readonly layers: number;
  readonly hidden: number;
  readonly heads: number;
  readonly keyValueHeads: number;
  readonly ffn: number;
  readonly vocabSize: number;
  readonly seq: number;
  readonly batch: number;
  readonly precision: string;
  readonly device: string;
  readonly tokensPerSecond: number;
  readonly stepMs: Spread;
  readonly flopsExecuted: number;
  /** By the accounting of the model's family. */
  readonly flopsModel: number;
  readonly utilisation: {
    readonly share: number;
    readonly flopsPerSecond: number;
    readonly peakFlopsPerSecond: number;
    readonly peakShape: readonly number[];
  };
  readonly jsShare: number;
  /** Memory of the device for the step. */
  readonly plannedBytes: { readonly arena: number; readonly buffers: number };
  readonly peers: readonly PeerResult[];
  readonly profile: readonly {
    readonly op: string;
    readonly uses: number;
    readonly ms: number;
    readonly share: number;
  }[];
  readonly timePerDepth?: { readonly depths: readonly number[]; readonly stepMs: readonly number[] } & ReturnType<
    typeof linearFit
  >;
}

export const variantNames: Readonly<Record<PeerVariant, string>> = {
  eager: 'torch eager',
  compile: 'torch compile',
  huggingface: 'Hugging Face eager',
  'huggingface-compile': 'Hugging Face compile',
};

/** Times of our steps, and how much of them JavaScript took. */
class OwnTimes {
  readonly ms: number[] = [];
  private jsMs = 0;

  async run(step: TrainingStep, count: number): Promise<number[]> {
    const mine: number[] = [];
    for (let i = 0; i < count; ++i) {
      const { wallMs, nativeMs } = await step.run();
      mine.push(wallMs);
      this.jsMs += wallMs - nativeMs;
    }
    this.ms.push(...mine);
    return mine;
  }

  get jsShare(): number {
    return this.jsMs / this.ms.reduce((a, b) => a + b, 0);
  }
}

export async function compareStep(options: StepComparisonOptions): Promise<StepComparison> {
  const { device, config, seq, batch, precision, steps, rounds = 5, python, peers = [], depths = [] } = options;
  const { say = () => undefined, byShape = false } = options;
  const { kind, layers, hidden, heads, ffn, vocabSize } = config;
  const peak = options.peak ?? (await matmulPeak(device, precision));
  say(`matmul peak ${precision}: ${(peak.flopsPerSecond / 1e9).toFixed(0)} GFLOP/s at ${peak.shape.join('x')}`);
  const bench = await StepBench.create(device, config, precision);
  const step = await bench.step({ batch, seq, precision, depth: layers });
  for (let i = 0; i < 3; ++i) await step.run();
  const profile = await step.profile(byShape); // before any peer is there to disturb it
  for (let i = 0; i < 3; ++i) await step.run();

  const own = new OwnTimes();
  const perRound = Math.max(1, Math.round(steps / rounds));
  const results: PeerResult[] = [];
  if (!python || peers.length === 0) await own.run(step, steps);
  for (const variant of python ? peers : []) {
    const name = variantNames[variant];
    if (performance.now() > (options.deadline ?? Infinity)) {
      say(`${name}: left out, there is no time for it`);
      continue;
    }
    const peer = await startPeer(options, variant, say);
    if (!peer) continue;
    const mine: number[] = [];
    const theirs: number[] = [];
    for (let round = 0; round < rounds; ++round) {
      mine.push(...(await own.run(step, perRound)));
      theirs.push(...(await peer.run(perRound)));
    }
    const { peakBytes, version } = await peer.end();
    const stepMs = spread(theirs);
    const rate = (tokens: number, ms: number) => (tokens / ms) * 1e3;
    const tokensPerSecond = rate(peer.batch * seq, stepMs.median);
    const speedup = rate(batch * seq, spread(mine).median) / tokensPerSecond;
    results.push({ name, version, batch: peer.batch, tokensPerSecond, stepMs, peakBytes, speedup });
  }

  const stepMs = spread(own.ms);
  const flopsPerSecond = step.flops / (stepMs.median * 1e-3);
  const { arenaBytes, bufferBytes, name } = device.info();
  const total = profile.reduce((sum, { ns }) => sum + ns, 0);
  const comparison: StepComparison = {
    model: kind,
    layers,
    hidden,
    heads,
    keyValueHeads: keyValueHeadsOf(config),
    ffn,
    vocabSize,
    seq,
    batch,
    precision,
    device: name,
    tokensPerSecond: (step.tokens / stepMs.median) * 1e3,
    stepMs,
    flopsExecuted: step.flops,
    flopsModel: createModel(config).flopsPerToken(layers, seq) * step.tokens,
    utilisation: {
      share: flopsPerSecond / peak.flopsPerSecond,
      flopsPerSecond,
      peakFlopsPerSecond: peak.flopsPerSecond,
      peakShape: peak.shape,
    },
    jsShare: own.jsShare,
    plannedBytes: { arena: arenaBytes, buffers: bufferBytes },
    peers: results,
    profile: profile.map(({ op, ns, uses }) => ({ op, uses, ms: ns / 1e6, share: ns / total })),
  };
  step.dispose();
  if (depths.length === 0) {
    bench.dispose();
    return comparison;
  }
  const timed = [];
  for (const depth of depths) timed.push(await bench.step({ batch, seq, precision, depth }));
  const samples: number[][] = depths.map(() => []);
  for (let round = -3; round < 7; ++round) {
    for (const [i, each] of timed.entries()) {
      const { wallMs } = await each.run();
      if (round >= 0) samples[i]!.push(wallMs);
    }
  }
  for (const each of timed) each.dispose();
  bench.dispose();
  const medians = samples.map((values) => spread(values).median);
  return { ...comparison, timePerDepth: { depths, stepMs: medians, ...linearFit(depths, medians) } };
}

/** The peer at the first of its batches that fits, warmed up; undefined when none does. */
async function startPeer(
  { config, seq, batch, precision, device, python, peerBatches = [batch] }: StepComparisonOptions,
  variant: PeerVariant,
  say: (text: string) => void,
): Promise<Peer | undefined> {
  const { kind, threads } = device.info();
  for (const size of peerBatches) {
    const peer = Peer.start(python!, variant, {
      model: config.kind,
      layers: config.layers,
      hidden: config.hidden,
      heads: config.heads,
      'key-value-heads': keyValueHeadsOf(config),
      ffn: config.ffn,
      'vocab-size': config.vocabSize,
      dropout: config.dropout,
      seq,
      batch: size,
      precision,
      device: kind,
      threads,
    });
    try {
      await peer.run(3);
      return peer;
    } catch (error) {
      say(`${variantNames[variant]}, batch ${size}: left out (${(error as Error).message})`);
    }
  }
  return undefined;
}

/** Results of `compareStep` as lines of text. */
export function describeStep(result: StepComparison): string {
  const { tokensPerSecond, stepMs, utilisation, jsShare, peers, plannedBytes, profile, timePerDepth, batch } = result;
  const rate = (value: number) => value.toFixed(0).padStart(8);
  const times = ({ median, min, max }: Spread) =>
    `step ${median.toFixed(1)} ms (${min.toFixed(1)} to ${max.toFixed(1)})`;
  const percent = (share: number) => `${(100 * share).toFixed(1)} %`;
  const mebibytes = (bytes: number) => `${(bytes / 2 ** 20).toFixed(0)} MiB`;
  const lines = [
    `apollo-lm            ${rate(tokensPerSecond)} tokens/s   batch ${batch}, ${times(stepMs)}   ` +
      `${(utilisation.flopsPerSecond / 1e9).toFixed(0)} GFLOP/s = ${percent(utilisation.share)} of peak   ` +
      `JavaScript ${(100 * jsShare).toFixed(1)} %   planned ${mebibytes(plannedBytes.arena + plannedBytes.buffers)}`,
    ...peers.map(
      (peer) =>
        `${peer.name.padEnd(20)} ${rate(peer.tokensPerSecond)} tokens/s   batch ${peer.batch}, ${times(peer.stepMs)}   ` +
        `${percent(utilisation.share / peer.speedup)} of peak by apollo-lm's FLOPs   apollo-lm is ${peer.speedup.toFixed(2)} times as fast   torch ${peer.version}, peak ${mebibytes(peer.peakBytes)}`,
    ),
    '',
    'where a step goes:',
    ...profile
      .slice(0, 40)
      .map(
        ({ op, ms, share, uses }) =>
          `  ${op.padEnd(70)} ${ms.toFixed(2).padStart(8)} ms ${(100 * share).toFixed(1).padStart(5)} %   ${uses} uses`,
      ),
  ];
  if (timePerDepth) {
    const { depths, stepMs: medians, intercept, slope, r2 } = timePerDepth;
    lines.push(
      '',
      `time per depth: ${depths.map((depth, i) => `${depth}: ${medians[i]!.toFixed(1)}`).join('  ')} ms`,
      `= ${intercept.toFixed(2)} ms + depth x ${slope.toFixed(2)} ms, R^2 ${r2.toFixed(5)}`,
    );
  }
  return lines.join('\n');
}

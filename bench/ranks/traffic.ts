/** Bytes that ranks send per token, by stage, by a method that grows against one that does not: runs through the command line. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { formatBytes, formatCount, formatPercent } from '../../lib/report/format.js';
import { launch } from '../launcher.js';

const cli = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
const sample = fileURLToPath(new URL('../../data/sample/conrad-typhoon.txt.gz', import.meta.url));

export interface TrafficOptions {
  readonly model: string;
  readonly ranks: number;
  readonly steps: number;
  readonly batch: number;
  readonly seq: number;
}

/** A stage of a run. Bytes are those that all ranks send. */
export interface TrafficStage {
  readonly trainedLayers: number;
  readonly parameters: number;
  readonly steps: number;
  readonly bytes: number;
  readonly bytesPerToken: number;
}

export interface TrafficRun {
  readonly method: string;
  readonly setting: string;
  readonly stages: readonly TrafficStage[];
  readonly bytesPerToken: number;
  readonly lastLoss: number;
}

export interface TrafficTable extends TrafficOptions {
  readonly runs: readonly TrafficRun[];
}

export const trafficMethods = ['scratch', 'apollo'] as const;
const settings: Readonly<Record<string, readonly string[]>> = {
  f32: [],
  bf16: ['--exchange-precision', 'bf16'],
  'outer step every 10': ['--sync-every', '10'],
};

export async function measureTraffic(options: TrafficOptions, say: (line: string) => void): Promise<TrafficTable> {
  const work = mkdtempSync(join(tmpdir(), 'apollo-traffic-'));
  try {
    const runs: TrafficRun[] = [];
    for (const [setting, flags] of Object.entries(settings)) {
      for (const method of trafficMethods) {
        const run = await trained(work, method, setting, flags, options);
        runs.push(run);
        say(`${method}, ${setting}: ${run.bytesPerToken.toFixed(0)} bytes per token`);
      }
    }
    return { ...options, runs };
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

interface Exchanged {
  readonly steps: number;
  readonly bytes: number;
  readonly bytesPerToken: number;
}

type Event = Readonly<Record<string, unknown>> & { readonly type: string };

async function trained(
  work: string,
  method: string,
  setting: string,
  flags: readonly string[],
  { model, ranks, steps, batch, seq }: TrafficOptions,
): Promise<TrafficRun> {
  const args = [
    ...['train', '--json', '--data', sample, '--model', model, '--method', method, '--cache', join(work, 'cache')],
    ...['--batch', String(batch), '--seq', String(seq), '--steps', String(steps), '--threads', '1'],
    ...['--held-out', '0', '--checkpoint-minutes', '0', '--out', join(work, `${method}-${setting}`), ...flags],
  ];
  const ended = await launch([{ ranks, command: [process.execPath, cli, ...args] }]).ended;
  if (ended.code !== 0) throw new Error(`${method}, ${setting}: ${ended.err.slice(-1000)}`);
  const events = ended.out
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Event);
  const of = (type: string) => events.filter((event) => event.type === type);
  const [start, done] = [of('start')[0]!, of('done')[0]!];
  const growths = of('growth');
  const before = [start, ...growths] as unknown as { trainedLayers?: number; to?: number; parameters: number }[];
  const stages = [...growths, done].map((event, i): TrafficStage => {
    const { trainedLayers, to, parameters } = before[i]!;
    const { steps, bytes, bytesPerToken } = event['exchanged'] as Exchanged;
    return { trainedLayers: to ?? trainedLayers!, parameters, steps, bytes, bytesPerToken };
  });
  const bytes = stages.reduce((sum, stage) => sum + stage.bytes, 0);
  const lastLoss = Number(of('step').at(-1)?.['loss']);
  return { method, setting, stages, bytesPerToken: bytes / Number(done['tokens']), lastLoss };
}

/** Rows of text: the stages of each run, and the run as a whole with what it sends of scratch's bytes. */
export function trafficRows({ runs, steps }: TrafficTable): string[][] {
  const head = [
    'exchange',
    'method',
    'layers',
    'parameters',
    'steps',
    'bytes per step',
    'bytes per token',
    'of scratch',
  ];
  return [
    head,
    ...runs.flatMap(({ setting, method, stages, bytesPerToken }) => {
      const scratch = runs.find((run) => run.setting === setting && run.method === 'scratch')!.bytesPerToken;
      const row = (layers: string, parameters: string, count: number, bytes: number, perToken: number) => [
        ...[setting, method, layers, parameters, String(count)],
        ...[formatBytes(Math.round(bytes / count)), perToken.toFixed(0), formatPercent(perToken / scratch)],
      ];
      const own = stages.map((stage) =>
        row(String(stage.trainedLayers), formatCount(stage.parameters), stage.steps, stage.bytes, stage.bytesPerToken),
      );
      const all = stages.reduce((sum, stage) => sum + stage.bytes, 0);
      return stages.length === 1 ? own : [...own, row('all', '', steps, all, bytesPerToken)];
    }),
  ];
}

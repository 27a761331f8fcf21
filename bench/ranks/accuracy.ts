/** Losses of several ranks against those of one, through the command line, on the sample text. */
import { createHash } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { textTable } from '../../lib/report/table.js';
import { launch } from '../launcher.js';

const cli = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
const sample = fileURLToPath(new URL('../../data/sample/conrad-typhoon.txt.gz', import.meta.url));

/** Micro-batches of a step, of all ranks together. */
const microBatches = 4;
const several = [2, 4] as const;

export interface AccuracyRow {
  readonly model: string;
  readonly method: string;
  readonly ranks: number;
  /** The greatest relative difference between a step's loss and that of one rank, and the step. */
  readonly furthest: number;
  readonly step: number;
  readonly growths: number;
  /** Whether a second run gave the same losses, weights and moments. */
  readonly sameBits: boolean;
  readonly lastLoss: number;
}

export interface Accuracy {
  readonly steps: number;
  readonly rows: readonly AccuracyRow[];
}

interface Trained {
  readonly losses: readonly number[];
  readonly growths: number;
  /** Digest of losses, weights and moments. */
  readonly digest: string;
}

export const accuracyModels = ['gpt', 'bert'] as const;

export async function compareRanks(
  steps: number,
  models: readonly string[],
  say: (line: string) => void,
): Promise<Accuracy> {
  const work = mkdtempSync(join(tmpdir(), 'apollo-ranks-'));
  const rows: AccuracyRow[] = [];
  try {
    for (const model of models) {
      for (const method of ['scratch', 'apollo']) {
        const run = (ranks: number, name: string) => train({ work, model, method, steps, ranks, name });
        const one = await run(1, 'one');
        for (const ranks of several) {
          const [first, second] = [await run(ranks, `${ranks}`), await run(ranks, `${ranks}-again`)];
          const far = first.losses.map((loss, step) => Math.abs(loss / one.losses[step]! - 1));
          const furthest = Math.max(...far);
          rows.push({
            ...{ model, method, ranks, furthest, step: far.indexOf(furthest) + 1, growths: first.growths },
            sameBits: first.digest === second.digest,
            lastLoss: first.losses.at(-1)!,
          });
          say(`${model}, ${method}, ${ranks} ranks: ${furthest.toExponential(1)}`);
        }
      }
    }
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  return { steps, rows };
}

interface Task {
  readonly work: string;
  readonly model: string;
  readonly method: string;
  readonly steps: number;
  readonly ranks: number;
  readonly name: string;
}

async function train({ work, model, method, steps, ranks, name }: Task): Promise<Trained> {
  const config = join(work, `${model}.json`);
  writeFileSync(
    config,
    JSON.stringify({
      model: { preset: `${model}-nano`, layers: 6, hidden: 64, heads: 2, ffn: 256, maxPositions: 32, dropout: 0.1 },
      data: sample,
      vocabSize: 1024,
      cache: join(work, 'cache'),
      batch: 2,
      evaluateEvery: 50,
      precision: 'f32',
      threads: 1,
    }),
  );
  const out = join(work, `${model}-${method}-${name}`);
  const args = ['train', '--config', config, '--method', method, '--steps', String(steps), '--out', out];
  const share = ['--accumulation', String(microBatches / ranks), '--json'];
  const ended = await launch([{ ranks, command: [process.execPath, cli, ...args, ...share] }]).ended;
  if (ended.code !== 0) throw new Error(`${ranks} ranks, ${model}, ${method}: ${ended.err.slice(-1000)}`);
  const events = ended.out
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { type: string; loss: number });
  const losses = events.filter(({ type }) => type === 'step').map(({ loss }) => loss);
  if (losses.length !== steps) throw new Error(`${losses.length} steps, not ${steps}`);
  const hash = createHash('sha256').update(losses.join());
  const folder = join(out, 'checkpoints', `step-${String(steps).padStart(8, '0')}`);
  for (const file of readdirSync(folder).filter((file) => file.endsWith('.safetensors'))) {
    hash.update(readFileSync(join(folder, file)));
  }
  return { losses, growths: events.filter(({ type }) => type === 'growth').length, digest: hash.digest('hex') };
}

export function describeAccuracy({ steps, rows }: Accuracy): string {
  const head = [
    'model',
    'method',
    'ranks',
    'growths',
    'furthest from one rank',
    'at step',
    'same bits twice',
    'last loss',
  ];
  const body = rows.map(({ model, method, ranks, growths, furthest, step, sameBits, lastLoss }) => [
    ...[model, method, String(ranks), String(growths), furthest.toExponential(2), String(step)],
    ...[sameBits ? 'yes' : 'NO', lastLoss.toFixed(4)],
  ]);
  return `${steps} steps of ${microBatches} micro-batches\n${textTable([head, ...body])}`;
}

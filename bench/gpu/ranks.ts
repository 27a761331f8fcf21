/**
 * What only several GPUs can show: that ranks each on its own GPU, which exchange over NCCL, train as one rank on one GPU does,
 * what that brings in tokens/s, and how much of the exchange is hidden. Starts the ranks itself, as torchrun does. Where there
 * are fewer than two GPUs it says so and fails: nothing was shown.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Command } from 'commander';
import { loadAddon } from '../../lib/engine/native.js';
import { textTable } from '../../lib/report/table.js';
import type { Measured, RankTask } from '../exchange/rank.js';
import { whole } from '../options.js';

const gpus = loadAddon().cudaInfo().devices.length;
const o = new Command('ranks')
  .description('Trains on one GPU and on several, and compares losses, bits and speed.')
  .option('--ranks <n>', 'ranks, each on its own GPU', whole, gpus)
  .option('--steps <n>', 'timed steps', whole, 30)
  .option('--tiny', 'a small model and few steps, to see that this works (also on the emulator)')
  .option('--out <folder>', 'where ranks.json goes', 'build/gpu-check')
  .parse()
  .opts<{ ranks: number; steps: number; tiny?: boolean; out: string }>();

if (o.ranks < 2 || gpus < o.ranks) {
  console.log(`NOT RUN: it takes two GPUs or more, one for each rank; this machine has ${gpus}`);
  process.exit(1);
}

/** Relative difference of losses: sums over ranks are f32 in another order, and so are those of kernels for other numbers of rows. */
const tolerance = 1e-5;
const size = o.tiny
  ? { layers: 2, hidden: 64, vocabSize: 512, seq: 16 }
  : { layers: 12, hidden: 768, vocabSize: 50_304, seq: 1024 };
const batch = o.tiny ? 2 : 16;

type Options = Partial<RankTask['options']>;
interface Setting {
  readonly name: string;
  readonly ranks: number;
  readonly options?: Options;
}

const several = `${o.ranks} GPUs`;
const settings: readonly Setting[] = [
  { name: '1 GPU', ranks: 1 },
  { name: several, ranks: o.ranks },
  { name: `${several}, again`, ranks: o.ranks },
  { name: `${several}, no overlap`, ranks: o.ranks, options: { overlapExchange: false } },
  { name: `${several}, bf16`, ranks: o.ranks, options: { exchangePrecision: 'bf16' } },
  { name: `${several}, shared state`, ranks: o.ranks, options: { shardOptimizer: true } },
];

const here = import.meta.url;
const compiled = here.endsWith('.js');
const script = fileURLToPath(new URL(`../exchange/rank.${compiled ? 'js' : 'ts'}`, here));
const loader = compiled ? [] : [`--import=${new URL('../../scripts/ts-loader.mjs', here).href}`];

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  return port;
}

/** One run. `precision`: of the products. @throws Error with what the ranks have printed when one fails. */
async function measure({ ranks, options }: Setting, precision: 'f32' | 'bf16'): Promise<Measured> {
  const accumulation = o.ranks / ranks;
  const steps = o.tiny ? 3 : o.steps;
  const task: RankTask = { ...size, warmUp: 3, steps, options: { batch, accumulation, precision, ...options } };
  const place = { WORLD_SIZE: String(ranks), MASTER_ADDR: '127.0.0.1', MASTER_PORT: String(await freePort()) };
  const children = Array.from({ length: ranks }, (_, rank) =>
    spawn(process.execPath, [...loader, script, JSON.stringify(task)], {
      env: { ...process.env, ...place, RANK: String(rank), LOCAL_RANK: String(rank) },
      stdio: ['ignore', 'pipe', 'pipe'],
    }),
  );
  const ends = await Promise.all(
    children.map(async (child) => {
      let [out, err] = ['', ''];
      child.stdout.on('data', (chunk) => {
        out += chunk;
      });
      child.stderr.on('data', (chunk) => {
        err += chunk;
      });
      const [code] = await once(child, 'close');
      // What is left would wait for the one that has failed.
      if (code !== 0) for (const other of children) other.kill();
      return { code, out, err };
    }),
  );
  const failed = ends.find(({ code }) => code !== 0 && code !== null) ?? ends.find(({ code }) => code !== 0);
  if (failed) throw new Error(`a rank has failed: ${failed.err}`);
  return JSON.parse(ends[0]!.out) as Measured;
}

const farthest = (one: Measured, other: Measured) =>
  Math.max(...one.losses.map((loss, step) => Math.abs(other.losses[step]! / loss - 1)));
const same = (one: Measured, other: Measured) => one.losses.every((loss, step) => loss === other.losses[step]);

let failures = 0;
function holds(what: string, is: boolean): void {
  console.log(`${is ? 'ok' : 'NOT OK'}: ${what}`);
  if (!is) failures++;
}

// Parity in f32, as everything but the order of sums is the same there.
const exact = async (setting: Setting) => measure(setting, 'f32');
const one = await exact(settings[0]!);
const two = await exact(settings[1]!);
const far = farthest(one, two);
holds(`losses of ${several} are within ${tolerance} of those of one: ${far.toExponential(1)}`, far <= tolerance);
holds('the same losses twice', same(two, await exact(settings[2]!)));
holds('the same losses without overlap', same(two, await exact(settings[3]!)));
holds('losses with shared state are those without', farthest(two, await exact(settings[5]!)) <= tolerance);

const timed = settings.filter((_, i) => i !== 2);
const results: {
  readonly name: string;
  readonly measured: Measured;
  readonly hidden: number;
  readonly speedUp: number;
}[] = [];
for (const setting of timed) {
  const measured = await measure(setting, 'bf16');
  const { exchangeMs, exchangeWaitedMs, tokensPerSecond } = measured;
  const hidden = exchangeMs > 0 ? Math.max(0, 1 - exchangeWaitedMs / exchangeMs) : 0;
  const speedUp = tokensPerSecond / (results[0]?.measured.tokensPerSecond ?? tokensPerSecond);
  results.push({ name: setting.name, measured, hidden, speedUp });
}
console.log(
  `\nGPT, ${size.layers} layers x ${size.hidden}, ${batch} x ${size.seq} tokens on each rank, bf16; medians of ${o.tiny ? 3 : o.steps} steps\n`,
);
console.log(
  textTable([
    ['', 'tokens/s', 'of one GPU', 'step, ms', 'exchange, ms', 'device waited, ms', 'of it hidden'],
    ...results.map(({ name, measured, hidden, speedUp }) => [
      name,
      measured.tokensPerSecond.toFixed(0),
      `${speedUp.toFixed(2)} x`,
      measured.ms.toFixed(1),
      measured.exchangeMs.toFixed(1),
      measured.exchangeWaitedMs.toFixed(1),
      `${(100 * hidden).toFixed(0)} %`,
    ]),
  ]),
);
mkdirSync(o.out, { recursive: true });
writeFileSync(join(o.out, 'ranks.json'), `${JSON.stringify({ options: o, size, batch, far, results }, null, 2)}\n`);
process.exit(failures > 0 ? 1 : 0);

/**
 * npm run bench:event-loop: what training takes of the JavaScript thread. How late timers are while a large model is opened,
 * trained, grown, saved and resumed; the share of a small model's steps in which JavaScript works and in which the device has
 * nothing to do; and what a checkpoint within training costs. Writes JSON where --out names a folder.
 */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { monitorEventLoopDelay, performance } from 'node:perf_hooks';
import { Command } from 'commander';
import {
  createModel,
  type ModelConfig,
  openDevice,
  preset,
  type TrainDependencies,
  type TrainEvent,
  type TrainingCorpus,
  type TrainOptions,
  train,
} from '../../lib/index.js';
import { textTable } from '../../lib/report/table.js';
import { whole } from '../options.js';
import { spread } from '../statistics.js';

const o = new Command('bench:event-loop')
  .description('Measures what training takes of the JavaScript thread.')
  .option('--model <preset>', 'model that is opened, grown and saved', 'gpt-base')
  .option('--steps <n>', 'steps of the small models', whole, 300)
  .option('--repeats <n>', 'runs with and without checkpoints, alternating', whole, 3)
  .option('--threads <n>', 'threads of the CPU', whole, 1)
  .option('--out <folder>', 'where event-loop.json is written')
  .parse()
  .opts<{ model: string; steps: number; repeats: number; threads: number; out?: string }>();

const work = mkdtempSync(join(tmpdir(), 'apollo-event-loop-'));
const device = await openDevice({ threads: o.threads });

/** Tokens that are a function of the step: no text is read, and batches cost next to nothing. */
const corpusOf = (vocabSize: number): TrainingCorpus => {
  const rows = (batch: number, seq: number, first: number) => {
    const tokens = Int32Array.from({ length: batch * seq }, (_, i) => (first + i * 31) % vocabSize);
    return { tokens, labels: tokens };
  };
  return {
    key: 'numbers',
    shape: ({ batch, seq }) => ({ batch, seq, padding: false }),
    batch: ({ batch, seq, step, micro }) => rows(batch, seq, step * 7 + micro),
    heldOutCount: () => 1,
    heldOut: ({ batch, seq }) => rows(batch, seq, 3),
  };
};

interface Setting {
  readonly deps: Omit<TrainDependencies, 'checkpointDir'>;
  readonly options: TrainOptions;
}

/** Half of the layers first, or half of the widths. */
const growths = {
  scratch: () => ({}),
  gstack: () => ({ factor: 2, boundaries: { steps: [2] } }),
  staged: ({ layers, hidden, heads, ffn }: ModelConfig) => {
    const shape = { hidden: hidden / 2, heads: heads / 2, ffn: ffn / 2 };
    return { stages: [{ trainedLayers: layers, shape, boundary: 0.34 }, { trainedLayers: layers }] };
  },
};

function setting(name: string, options: TrainOptions, method: keyof typeof growths): Setting {
  const config = preset(name);
  const chosen = { method, options: growths[method](config) };
  return {
    deps: { device, model: createModel(config), method: chosen, corpus: corpusOf(config.vocabSize) },
    options: { evaluateEvery: 0, ...options },
  };
}

const delay = monitorEventLoopDelay({ resolution: 1 });
delay.enable();

/** Milliseconds by which timers were late. */
interface Lateness {
  readonly phase: string;
  readonly seconds: number;
  readonly median: number;
  readonly p99: number;
  readonly max: number;
}

let phaseAt = performance.now();
function lateness(phase: string): Lateness {
  const ms = (nanoseconds: number) => Math.max(0, nanoseconds / 1e6 - 1);
  const seconds = (performance.now() - phaseAt) / 1e3;
  const found = { phase, seconds, median: ms(delay.percentile(50)), p99: ms(delay.percentile(99)), max: ms(delay.max) };
  delay.reset();
  phaseAt = performance.now();
  return found;
}

/** The life of a run of the large model; each event ends a phase. */
async function phases(): Promise<Lateness[]> {
  const { deps, options } = setting(o.model, { steps: 6, batch: 1, seq: 32, checkpointEvery: 3 }, 'gstack');
  const names: Partial<Record<TrainEvent['type'], string>> = {
    start: 'open: initial values, programs',
    growth: 'growth to all layers',
    done: 'last checkpoint',
  };
  const found: Lateness[] = [];
  const checkpointDir = join(work, 'large');
  lateness('begin');
  for await (const event of train({ ...options, stopAfter: { steps: 5 } }, { ...deps, checkpointDir })) {
    if (event.type === 'step')
      found.push(lateness(`step ${event.step}${event.step > 3 ? ', checkpoint beside it' : ''}`));
    const name = names[event.type];
    if (name) found.push(lateness(name));
  }
  for await (const event of train(options, { ...deps, checkpointDir, resume: true })) {
    if (event.type !== 'start') continue;
    found.push(lateness('resume'));
    break;
  }
  return [...found, ...(await widthGrowth())];
}

/** The large model grows from half its width, with the optimizer's state. */
async function widthGrowth(): Promise<Lateness[]> {
  const { deps, options } = setting(o.model, { steps: 6, batch: 1, seq: 32 }, 'staged');
  for await (const event of train(options, deps)) {
    if (event.type === 'step') lateness(`step ${event.step}`);
    if (event.type === 'growth') return [lateness('growth to twice the width')];
  }
  return [];
}

/** Milliseconds of processor time that the JavaScript thread has taken; without /proc those in which its loop was busy. */
function javascriptMs(): number {
  const file = `/proc/self/task/${process.pid}/schedstat`;
  if (!existsSync(file)) return performance.eventLoopUtilization().active;
  return Number(readFileSync(file, 'utf8').split(' ')[0]) / 1e6;
}

/** Steps of a small model: what JavaScript and waiting take of their time. */
async function shares(batch: number, seq: number, steps: number) {
  const { deps, options } = setting('gpt-nano', { steps: steps + 20, batch, seq }, 'scratch');
  let [began, taken] = [performance.now(), javascriptMs()];
  const [ms, waited]: [number[], number[]] = [[], []];
  for await (const event of train(options, deps)) {
    if (event.type !== 'step') continue;
    if (event.step <= 20) [began, taken] = [performance.now(), javascriptMs()];
    else {
      ms.push(event.ms);
      waited.push(event.waitedMs);
    }
  }
  const javascriptShare = (javascriptMs() - taken) / (performance.now() - began);
  const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);
  return {
    batch,
    seq,
    steps: ms.length,
    msPerStep: spread(ms),
    javascriptShare,
    waitedShare: sum(waited) / sum(ms),
    stepsThatWaited: waited.filter((value) => value > 0).length,
  };
}

/** Wall time per step of gpt-mini with a checkpoint every 20 steps and without, alternating. */
async function checkpoints() {
  const run = async (checkpointEvery: number, name: string) => {
    const { deps, options } = setting('gpt-mini', { steps: 101, batch: 4, seq: 64, checkpointEvery }, 'scratch');
    let [from, to] = [0, 0];
    for await (const event of train(
      { ...options, stopAfter: { steps: 100 } },
      { ...deps, checkpointDir: join(work, name) },
    )) {
      if (event.type !== 'step') continue;
      if (event.step === 10) from = performance.now();
      if (event.step === 99) to = performance.now(); // before the run's last checkpoint, which training waits for
    }
    rmSync(join(work, name), { recursive: true });
    return (to - from) / 89;
  };
  const [without, every20]: [number[], number[]] = [[], []];
  for (let i = 0; i < o.repeats; i++) {
    without.push(await run(0, `without-${i}`));
    every20.push(await run(20, `with-${i}`));
  }
  const ratios = every20.map((ms, i) => ms / without[i]! - 1);
  return { msPerStepWithout: spread(without), msPerStepEvery20: spread(every20), share: spread(ratios) };
}

try {
  const large = await phases();
  delay.disable(); // its timer is JavaScript, too
  const small = [await shares(2, 64, o.steps), await shares(16, 128, Math.ceil(o.steps / 8))];
  const saving = await checkpoints();
  const number = (value: number) => value.toFixed(2);
  console.log(`${o.model}: milliseconds by which timers were late, by phase\n`);
  console.log(
    textTable([
      ['phase', 'seconds', 'median', 'p99', 'max'],
      ...large.map(({ phase, seconds, median, p99, max }) => [phase, ...[seconds, median, p99, max].map(number)]),
    ]),
  );
  const percent = (value: number) => `${(100 * value).toFixed(2)} %`;
  console.log();
  for (const { batch, seq, steps, msPerStep, javascriptShare, waitedShare, stepsThatWaited } of small) {
    console.log(
      `gpt-nano, ${steps} steps of ${batch} x ${seq} tokens, ${number(msPerStep.median)} ms: JavaScript works in ${percent(javascriptShare)} of the time; ` +
        `the device had nothing to do in ${percent(waitedShare)} (${stepsThatWaited} steps)`,
    );
  }
  console.log(
    `gpt-mini, steps of ${number(saving.msPerStepWithout.median)} ms: a checkpoint every 20 steps costs ${percent(saving.share.median)} ` +
      `(${percent(saving.share.min)} to ${percent(saving.share.max)}, ${o.repeats} pairs)`,
  );
  if (o.out) {
    mkdirSync(o.out, { recursive: true });
    const { name, threads } = device.info();
    const result = { machine: { name, threads }, model: o.model, large, small, saving };
    writeFileSync(join(o.out, 'event-loop.json'), `${JSON.stringify(result, undefined, 2)}\n`);
  }
} finally {
  await device.close();
  rmSync(work, { recursive: true });
}

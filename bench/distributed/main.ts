/**
 * npm run bench:distributed: training on two ranks, on this machine and over links of 1 Gbit/s and 100 Mbit/s between network
 * namespaces (as root), by the ways to train together and by PyTorch's DDP: tokens per second, bytes per token, the loss after as
 * many tokens, and how far the model of `plan --ranks` is from the measured steps. Each call measures the places and modes that it
 * is given and writes all that is known: results.json, README.md and a picture.
 */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { Command } from 'commander';
import { payload } from '../../lib/cli/plan-ranks.js';
import { engineOverlap, stepCost } from '../../lib/dist/index.js';
import { textTable } from '../../lib/report/table.js';
import { whole } from '../options.js';
import { spread } from '../statistics.js';
import { findPeerPython } from '../step/peer.js';
import { type MeasuredMode, modes } from './modes.js';
import { peerBytes, peerName, trainPeer } from './peer.js';
import { alone, atPlace, type Place, places, ranks, type Site } from './places.js';
import { type Cell, deviation, type Results, type Shape, tableOf, writeResults } from './report.js';

const named = (text: string) => text.split(',').map((name) => name.trim());

const o = new Command('bench:distributed')
  .description('Trains on two ranks, at places with links of a rate, and checks the model of plan --ranks.')
  .requiredOption('--data <paths...>', 'text files or folders')
  .option(
    '--places <names>',
    'with commas',
    named,
    places.map(({ name }) => name),
  )
  .option('--modes <names>', 'with commas', named, [...modes.map(({ name }) => name), peerName])
  .option('--model <preset>', 'model that is trained', 'gpt-nano')
  .option('--batch <n>', 'sequences of a micro-batch', whole, 8)
  .option('--seq <n>', 'tokens of a sequence', whole, 128)
  .option('--steps <n>', 'steps of each run; a multiple of the rounds', whole, 50)
  .option('--cache <folder>', 'prepared text', join(tmpdir(), 'apollo-bench-distributed'))
  .option('--out <folder>', 'where the results are written', 'bench/results/distributed')
  .parse()
  .opts<{
    data: string[];
    places: string[];
    modes: string[];
    model: string;
    batch: number;
    seq: number;
    steps: number;
    cache: string;
    out: string;
  }>();

const work = mkdtempSync(join(tmpdir(), 'apollo-distributed-'));
const shape: Shape = {
  ...{ model: o.model, batch: o.batch, seq: o.seq, ranks, steps: o.steps },
  machine: cpus()[0]?.model ?? 'unknown',
};
const file = join(o.out, 'results.json');

function opened(): Results {
  if (!existsSync(file)) return { shape, machine: undefined, cells: [] };
  const found = JSON.parse(readFileSync(file, 'utf8')) as Results;
  if (JSON.stringify(found.shape) === JSON.stringify(shape)) return found;
  throw new Error(
    `${file} holds results of ${JSON.stringify(found.shape)}; give another --out for ${JSON.stringify(shape)}`,
  );
}

const { data, model, batch, seq, cache } = o;
const learningRate = 2e-3;
const seed = 42;
const run = (steps: number, out: string, flags: readonly string[]) => [
  ...['train', '--json', '--data', ...data, '--method', 'scratch', '--model', model, '--cache', cache],
  ...[
    '--batch',
    String(batch),
    '--seq',
    String(seq),
    '--steps',
    String(steps),
    '--threads',
    '1',
    '--learning-rate',
    String(learningRate),
  ],
  ...['--precision', 'f32', '--seed', String(seed)],
  ...['--evaluate-every', String(steps), '--checkpoint-minutes', '0', '--out', join(work, out), ...flags],
];
const cli = 'lib/cli/main.ts';

type Event = Readonly<Record<string, unknown>>;
const ofType = (events: readonly Event[], type: string) => events.filter((event) => event['type'] === type);
const total = (events: readonly Event[], key: string) =>
  events.reduce((sum, event) => sum + Number(event[key] ?? 0), 0);

/** Mean time of all steps except the first, in which programs are compiled. */
const stepSeconds = (events: readonly Event[]) => {
  const steps = ofType(events, 'step').slice(1);
  return total(steps, 'ms') / steps.length / 1e3;
};

/** Measurements of the machine alone: as many runs of one rank at once as a place has ranks, and an exchange in its memory. */
async function machine(): Promise<NonNullable<Results['machine']>> {
  const both = Array.from({ length: ranks }, (_, rank) => alone(cli, run(40, `alone-${rank}`, [])));
  const events = await Promise.all(both);
  const compute = spread(events.map(stepSeconds)).median;
  const { parameters } = ofType(events[0]!, 'start')[0] as unknown as { parameters: number };
  const probe = await atPlace(places[0]!, ({ start }) => start('bench/distributed/probe.ts', []));
  const { small, bucket } = probe[0] as unknown as { small: number; bucket: number };
  // An exchange of a bucket reads and writes its bytes some times and sends a few messages: see lib/dist/step-cost.ts.
  const memory = (5 * 2 ** 22) / (bucket - 2 * small);
  return { compute, parameters, memory, latency: small / 2 };
}

async function measured(
  place: Place,
  { start }: Site,
  each: MeasuredMode,
  known: NonNullable<Results['machine']>,
  latency: number,
): Promise<Cell> {
  const events = await start(cli, run(o.steps, `${place.name}-${each.name}`.replace(/\W/g, '-'), each.flags));
  const network = {
    latency,
    bandwidth: place.bits ? (payload * place.bits) / 8 : Number.POSITIVE_INFINITY,
    memory: known.memory,
  };
  const load = { compute: known.compute, parameters: known.parameters };
  const { overlap = engineOverlap, syncEvery = 1 } = each;
  const planned = stepCost(each.mode, load, ranks, { network, overlap, syncEvery });
  const bytes = Number(ofType(events, 'step').at(-1)?.['bytesSent'] ?? 0);
  return { ...cellOf(place, each.name, events, bytes), latency, plannedSeconds: planned.seconds };
}

async function measuredPeer(place: Place, site: Site, python: string): Promise<Cell> {
  const heldOut = { heldOut: 0.02, evaluationBatches: 8 }; // the defaults of `train`
  const task = { data, cache, model, batch, seq, steps: o.steps, learningRate, seed, ...heldOut };
  const events = await trainPeer(site, python, work, task);
  const [done] = ofType(events, 'done');
  const bytes = peerBytes(Number(done!['parameters']), ranks * batch * seq) * Number(done!['tokens']);
  return { ...cellOf(place, peerName, events, bytes), version: String(done!['version']) };
}

/** Results from a run's events, and the bytes that all ranks have sent. */
function cellOf(place: Place, mode: string, events: readonly Event[], bytes: number): Cell {
  const tokens = Number(ofType(events, 'done')[0]!['tokens']);
  const seconds = stepSeconds(events);
  return {
    place: place.name,
    mode,
    ...(place.bits && { bits: place.bits }),
    tokens,
    stepSeconds: seconds,
    tokensPerSecond: (ranks * batch * seq) / seconds,
    bytesPerToken: bytes / tokens,
    loss: Number(ofType(events, 'evaluation').at(-1)?.['lossFull']),
  };
}

async function main(): Promise<void> {
  let results = opened();
  mkdirSync(o.out, { recursive: true });
  if (!results.machine) {
    await alone(cli, run(1, 'prepare', [])); // the text and the tokenizer, once
    results = { ...results, machine: await machine() };
    await writeResults(o.out, results);
  }
  const known = results.machine!;
  const python = findPeerPython();
  console.log(
    `one rank computes ${(1e3 * known.compute).toFixed(1)} ms a step while another does the same; ` +
      `${(known.memory / 1e9).toFixed(2)} GB/s in memory`,
  );
  for (const place of places.filter(({ name }) => o.places.includes(name))) {
    await atPlace(place, async (site) => {
      const keep = async (cell: Cell) => {
        const others = results.cells.filter(({ place: at, mode }) => at !== cell.place || mode !== cell.mode);
        results = { ...results, cells: [...others, cell] };
        await writeResults(o.out, results);
        console.log(`${cell.place}, ${cell.mode}: ${(1e3 * cell.stepSeconds).toFixed(1)} ms, plan ${deviation(cell)}`);
      };
      const probe = await site.start('bench/distributed/probe.ts', []);
      const latency = (probe[0] as unknown as { small: number }).small / 2;
      for (const each of modes.filter(({ name }) => o.modes.includes(name))) {
        await keep(await measured(place, site, each, known, latency));
      }
      if (!o.modes.includes(peerName)) return;
      if (python) await keep(await measuredPeer(place, site, python));
      else console.log(`${peerName} is left out: no Python with torch (set APOLLO_PEER_PYTHON)`);
    });
  }
  console.log(textTable(tableOf(results)));
}

await main().finally(() => rmSync(work, { recursive: true, force: true }));

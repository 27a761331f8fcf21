/**
 * npm run faults: every fault on purpose. Kills, damages, starves and doubles what users run, and prints what came of it as a
 * table: the right result or one clear error, or a fault of the package. The exit code is 1 when there is one.
 */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Command, Option } from 'commander';
import { loadAddon } from '../../lib/engine/native.js';
import { markdownTable, textTable } from '../../lib/report/table.js';
import { files } from './files.js';
import { filesystem } from './filesystem.js';
import { kills } from './kills.js';
import { added, faultsOf, type Part, type Tally, triesOf } from './outcome.js';
import { processes } from './processes.js';
import { rankKills } from './ranks.js';
import { steps } from './steps.js';
import { workers } from './workers.js';

interface Results {
  readonly format: 'apollo-lm/faults/1';
  /** Each call that made a part. */
  readonly made: readonly { readonly parts: readonly string[]; readonly machine: string }[];
  readonly rows: readonly Tally[];
}

const parts: readonly Part[] = [kills, rankKills, files, filesystem, processes, workers, steps];
const cli = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));

const command = new Command('faults')
  .description(
    'Tries faults on purpose: kills of processes and ranks, damaged files, errors of the file system, two processes, workers, long runs.',
  )
  .option('--minutes <n>', 'stop after this time, of which every part has the same share', Number)
  .addOption(new Option('--only <parts...>', 'these parts alone').choices(parts.map(({ name }) => name)))
  .option('--seed <n>', 'of all that is drawn at random; default: the time', Number)
  .option('--out <folder>', 'write table.md and results.json there; other parts that are there from earlier calls stay')
  .option('--add', 'add to what earlier calls have counted of rank-kills, which --out holds')
  .option('--keep', 'keep the working folder');
for (const { name, size, unit, about } of parts) command.option(`--${name} <n>`, `${unit} (${size}): ${about}`, Number);
command.parse();
const o = command.opts<{
  minutes?: number;
  only?: string[];
  seed?: number;
  out?: string;
  add?: boolean;
  keep?: boolean;
}>();
/** The option that `--name` sets. */
const sizeOf = (name: string): number | undefined =>
  command.getOptionValue(name.replace(/-(.)/g, (_, letter: string) => letter.toUpperCase()));

if (!existsSync(cli)) {
  console.error('faults: the package is not built. Run "npm run build" first.');
  process.exit(1);
}
const seed = o.seed ?? Math.floor(Date.now() / 1000);
const work = mkdtempSync(join(tmpdir(), 'apollo-faults-'));
const stop = new AbortController();
process.on('SIGINT', () => {
  if (stop.signal.aborted) process.exit(130);
  console.error('Stopping after the current fault. Ctrl-C again exits at once.');
  stop.abort();
});
const say = (line: string) => console.error(`  ${line}`);

const chosen = parts.filter(({ name }) => !o.only || o.only.includes(name));
const rows: Tally[] = [];
const leftOut = new Map<string, string>();
for (const part of chosen) {
  if (stop.signal.aborted) break;
  console.error(`${part.name}: ${part.about}`);
  const limit = new AbortController();
  const timer = o.minutes && setTimeout(() => limit.abort(), (60e3 * o.minutes) / chosen.length);
  const signal = AbortSignal.any([stop.signal, limit.signal]);
  const folder = join(work, part.name);
  mkdirSync(folder, { recursive: true });
  try {
    const made = await part.run({ work: folder, cli, seed, signal, say }, sizeOf(part.name) ?? part.size);
    if (typeof made === 'string') leftOut.set(part.name, made);
    else rows.push(...made);
  } finally {
    clearTimeout(timer as NodeJS.Timeout | undefined);
    if (!o.keep) rmSync(folder, { recursive: true, force: true });
  }
}
if (!o.keep) rmSync(work, { recursive: true, force: true });

for (const row of rows) row.note = noteOf(row);
const machine = `${loadAddon().info().cpuName}, ${availableParallelism()} threads; seed ${seed}`;
const results: Results = {
  format: 'apollo-lm/faults/1',
  made: [{ parts: chosen.map(({ name }) => name), machine }],
  rows,
};
if (o.out) {
  mkdirSync(o.out, { recursive: true });
  const all = joined(earlier(o.out), results);
  writeFileSync(
    join(o.out, 'table.md'),
    `# Faults on purpose\n\nMade by \`npm run faults\`. ${verdictOf(all)}\n\n${markdownTable(tableOf(all))}\n`,
  );
  writeFileSync(join(o.out, 'results.json'), `${JSON.stringify(all, null, 2)}\n`);
}
console.log(`${textTable(tableOf(results))}\n`);
for (const { findings } of rows) for (const finding of findings) console.log(finding);
if (leftOut.size < chosen.length) console.log(verdictOf(results));
for (const [name, why] of leftOut) console.log(`${name}: left out, ${why}`);
if (o.out) console.log(join(o.out, 'table.md'));
const untried = chosen
  .map(({ name }) => name)
  .filter((name) => !leftOut.has(name) && triesOf(rows.filter(({ part }) => part === name)) === 0);
for (const name of untried) console.error(`faults: ${name} has tried nothing`);
process.exitCode = found(rows) > 0 || untried.length > 0 ? 1 : 0;

/** By its part, or as the part has written it. */
function noteOf(row: Tally): string | undefined {
  const part = parts.find(({ name }) => name === row.part);
  return part?.noteOf && row.figures ? part.noteOf(row) : row.note;
}

function found(rows: readonly Tally[]): number {
  return rows.reduce((sum, row) => sum + faultsOf(row), 0);
}

function verdictOf({ made, rows }: Results): string {
  const amount = found(rows);
  const how = made
    .map(({ parts, machine }) => `${made.length > 1 ? `${parts.join(', ')}: ` : ''}${machine}`)
    .join('. ');
  return `${amount === 0 ? 'No fault of the package was found' : `${amount} faults of the package were found`} (${how}).`;
}

function tableOf({ rows }: Results): string[][] {
  const body = rows.map(({ fault, counts, note = '' }) => [
    fault,
    ...[counts.right, counts.refused, counts.wrong, counts.crash, counts.left].map(String),
    note,
  ]);
  return [['fault', 'right', 'one clear error', 'wrong', 'crash', 'left behind', 'notes'], ...body];
}

/** Results that an earlier call has written to the folder. */
function earlier(folder: string): Results | undefined {
  const path = join(folder, 'results.json');
  return existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as Results) : undefined;
}

/** An earlier call, with the counts of this one added to those rows that can be added up. */
function addedTo(before: Results | undefined, now: Results): Results {
  const rows = now.rows.map((row) => {
    const same = before?.rows.find(({ part, fault }) => part === row.part && fault === row.fault);
    const sum = same?.figures && row.figures ? added(same, row) : row;
    return { ...sum, note: noteOf(sum) };
  });
  const isNew = ({ part, fault }: Tally) => rows.some((row) => row.part === part && row.fault === fault);
  const all = [...(before?.rows ?? []).filter((row) => !isNew(row)), ...rows];
  const ordered = parts.flatMap(({ name }) => all.filter(({ part }) => part === name));
  return { ...now, made: [...(before?.made ?? []), ...now.made], rows: ordered as Tally[] };
}

/** The parts of an earlier call that this one did not make, and this one's, in their order. */
function joined(before: Results | undefined, now: Results): Results {
  if (o.add) return addedTo(before, now);
  const again = new Set(now.made.flatMap(({ parts }) => parts));
  const made = before?.made.flatMap(({ parts, machine }) => {
    const left = parts.filter((part) => !again.has(part));
    return left.length > 0 ? [{ parts: left, machine }] : [];
  });
  const rows = parts.flatMap(
    ({ name }) => (again.has(name) ? now : before)?.rows.filter(({ part }) => part === name) ?? [],
  );
  return { ...now, made: [...(made ?? []), ...now.made], rows };
}

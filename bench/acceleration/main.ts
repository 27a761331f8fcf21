/**
 * npm run bench:acceleration: the paper's figures and tables about acceleration, at one of three scales. Resumable: what a
 * figure has made is kept in --work, and a call that is stopped, or whose --minutes are over, is resumed by the next.
 */
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Command, Option } from 'commander';
import { ApolloError } from '../../lib/errors.js';
import { type FigureContext, type ScaleName, scaleNames } from './figure.js';
import { figures } from './figures/index.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const command = new Command('bench:acceleration')
  .description("Makes the paper's figures and tables: loss against FLOPs, samplers, grown models.")
  .addOption(new Option('--scale <name>', 'how large').choices(scaleNames).default('nano'))
  .option('--only <figures...>', `some of: ${figures.map(({ name }) => name).join(', ')}`)
  .option('--data <paths...>', 'text files, folders or patterns', [join(root, 'data/sample')])
  .option('--seeds <n>', 'seeds of each run', Number, 3)
  .option('--device <name>', 'cpu, cuda or cuda:N', 'cpu')
  .option('--threads <n>', 'of the CPU; 0: all cores', Number, 0)
  .addOption(new Option('--precision <kind>', 'of matrix products').choices(['auto', 'f32', 'bf16']).default('auto'))
  .option('--minutes <n>', 'stop cleanly after this time; the same command resumes', Number)
  .option('--cache <folder>', 'where prepared corpora are kept', '.cache/apollo-lm')
  .option('--work <folder>', 'where runs are kept', 'runs/acceleration')
  .option('--out <folder>', 'where results are written', 'bench/results/acceleration')
  .parse();
const o = command.opts<{
  scale: ScaleName;
  only?: string[];
  data: string[];
  seeds: number;
  device: string;
  threads: number;
  precision: 'auto' | 'f32' | 'bf16';
  minutes?: number;
  cache: string;
  work: string;
  out: string;
}>();

const unknown = (o.only ?? []).filter((name) => !figures.some((figure) => figure.name === name));
if (unknown.length > 0) command.error(`error: there is no figure ${unknown.join(', ')}. (--help lists them)`);

const stop = new AbortController();
process.on('SIGINT', () => {
  if (stop.signal.aborted) process.exit(130);
  console.error('Stopping: finished figures are kept. Ctrl-C again exits at once.');
  stop.abort();
});
const limit = o.minutes === undefined ? undefined : setTimeout(() => stop.abort(), 60e3 * o.minutes);

const { device, threads, precision, cache, seeds } = o;
const destination = join(o.out, o.scale);
let open = 0;
try {
  for (const figure of figures) {
    if (o.only && !o.only.includes(figure.name)) continue;
    if (stop.signal.aborted) {
      open++;
      continue;
    }
    console.error(`${figure.name}: ${figure.title}`);
    const out = join(o.work, o.scale, figure.name);
    mkdirSync(out, { recursive: true });
    const run = { device, threads, precision, cache, seeds };
    const say = (line: string) => console.error(`  ${line}`);
    const context: FigureContext = { scale: o.scale, data: o.data, out, run, signal: stop.signal, say };
    if (!(await figure.make(context))) open++;
    publish(out, join(destination, figure.name));
  }
  writeSummary();
} catch (error) {
  if (!(error instanceof ApolloError)) throw error;
  console.error(`bench:acceleration: ${error.message}`);
  process.exitCode = 1;
} finally {
  clearTimeout(limit);
}
if (open > 0) {
  console.error(`${open} not complete yet: the same command resumes.`);
  process.exitCode ||= 3;
}

/** Copies what a figure shows, without its checkpoints and the settings, which name folders of this machine. */
function publish(from: string, to: string): void {
  const shown = readdirSync(from).filter((name) => /^(result\.json|.*\.(svg|md))$/.test(name));
  if (shown.length === 0) return;
  mkdirSync(to, { recursive: true });
  for (const name of shown) copyFileSync(join(from, name), join(to, name));
}

/** One page of all figures that have been made at this scale. */
function writeSummary(): void {
  const parts = figures.flatMap(({ name }) => {
    const page = join(destination, name, 'figure.md');
    return existsSync(page) ? [readFileSync(page, 'utf8').replaceAll('](', `](${name}/`)] : [];
  });
  if (parts.length === 0) return;
  const short =
    o.scale === 'nano'
      ? '\nRuns of these figures see 0.5 to 5 tokens per parameter, too few to say what holds for longer runs: see [the map](../map/README.md), whose runs see 3 to 180.\n'
      : '';
  const head = `# The paper's figures and tables at ${o.scale} scale\n\nMade by \`npm run bench:acceleration -- --scale ${o.scale}\`.\n${short}`;
  writeFileSync(join(destination, 'README.md'), [head, ...parts].join('\n'));
  console.log(join(destination, 'README.md'));
}

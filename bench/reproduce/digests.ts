/**
 * npm run bench:digests: what a change does to the bits. Fixed short runs through the command line, each method and a
 * fine-tuning run, by this checkout and by others (`--against FOLDER`, set up and built, or the JSON that an earlier call
 * wrote with `--out`): prints a digest of all weights and optimizer state of each, and exits 1 where one differs from this one.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Command } from 'commander';
import { textTable } from '../../lib/report/table.js';

const command = new Command('bench:digests')
  .description('Digests of the weights of fixed short runs, of this checkout and of others.')
  .requiredOption('--data <paths...>', 'text files or folders')
  .option('--task <folder>', 'data of CoLA, for a fine-tuning run')
  .option('--against <paths...>', 'other checkouts, set up and built, or JSON files of digests', [])
  .option('--only <pattern>', 'runs whose names match')
  .option('--out <file>', 'JSON of the digests')
  .parse();
const o = command.opts<{ data: string[]; task?: string; against: string[]; only?: string; out?: string }>();

const here = resolve(dirname(fileURLToPath(import.meta.url)), '../..');
const checkouts = [here, ...o.against.map((folder) => resolve(folder))];
const work = mkdtempSync(join(tmpdir(), 'apollo-digests-'));

const sizes = { layers: 4, hidden: 64, ffn: 160, vocabSize: 2048, maxPositions: 32 };
const small = { layers: 2, hidden: 32, ffn: 80 };
const base = { batch: 4, seq: 32, steps: 24, seed: 7, threads: 1, accumulation: 2, warmup: 4, tensorboard: false };

interface FixedRun {
  readonly name: string;
  readonly settings: Readonly<Record<string, unknown>>;
  readonly command?: 'train' | 'compare';
}

/** Heads of a family's models, in the large and in the small one; and methods that begin with the small one. */
interface Family {
  readonly kind: string;
  readonly heads: Readonly<Record<string, number>>;
  readonly smallHeads: number;
  readonly fromSmall: readonly string[];
}

const unshared = { heads: { heads: 2 }, smallHeads: 1, fromSmall: ['bert2bert', 'net2net', 'ligo'] };
const families: readonly Family[] = [
  { kind: 'gpt', ...unshared },
  { kind: 'bert', ...unshared },
  // LiGO needs as many key/value heads as query heads.
  { kind: 'llama', heads: { heads: 4, keyValueHeads: 2 }, smallHeads: 2, fromSmall: ['bert2bert', 'net2net'] },
];

const plainMethods = 'scratch apollo stackbert pld gstack mslt layerdrop unshare midas staged'.split(' ');
const ofFamily = ({ kind, heads, smallHeads, fromSmall }: Family): FixedRun[] => {
  const model = { preset: `${kind}-nano`, ...sizes, ...heads };
  const run = (name: string, settings: object): FixedRun => ({
    name: `${kind} ${name}`,
    settings: { model, ...settings },
  });
  return [
    ...plainMethods.map((method) => run(method, { method })),
    {
      ...run(fromSmall.join(', '), {
        methods: fromSmall,
        small: { ...small, heads: smallHeads, steps: 8 },
        evaluationBatches: 2,
        ...(fromSmall.includes('ligo') && { methodOptions: { ligo: { operatorSteps: 8 } } }),
      }),
      command: 'compare',
    },
    run('f32', { method: 'apollo', precision: 'f32' }),
    run('whole steps', { method: 'scratch', accumulation: 1 }),
    run('muon', { method: 'stackbert', optimizer: { name: 'muon' } }),
  ];
};
const runs = families.flatMap(ofFamily).filter(({ name }) => !o.only || new RegExp(o.only).test(name));

function call(checkout: string, args: readonly string[]): void {
  const { status, stderr } = spawnSync(process.execPath, [join(checkout, 'dist/cli/main.js'), ...args], {
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(`${basename(checkout)}: apollo-lm ${args.join(' ')}\n${stderr.slice(-2000)}`);
}

/** Every file of tensors in a folder, by its path, and its bytes. */
function digestOf(folder: string): string {
  const hash = createHash('sha256');
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((file) =>
    file.endsWith('.safetensors'),
  );
  if (files.length === 0) throw new Error(`${folder} holds no weights.`);
  for (const file of files.sort()) hash.update(file).update(readFileSync(join(folder, file)));
  return hash.digest('hex').slice(0, 16);
}

function digest(checkout: string, { settings, command = 'train' }: FixedRun, out: string): string {
  const config = `${out}.json`;
  writeFileSync(config, JSON.stringify({ ...base, ...settings, data: o.data.map((path) => resolve(path)) }));
  call(checkout, [command, '--config', config, '--cache', join(work, 'cache'), '--out', out]);
  return digestOf(out);
}

/** A fine-tuning run from random weights of a model that was trained by the same checkout. */
function fineTuned(checkout: string, out: string, task: string): string {
  digest(
    checkout,
    { name: '', settings: { model: { preset: 'bert-nano', ...sizes, ...unshared.heads }, method: 'scratch' } },
    `${out}-base`,
  );
  const args = ['--task', 'cola', '--data', resolve(task), '--model', `${out}-base`, '--epochs', '1'];
  call(checkout, ['finetune', ...args, '--examples', '128', '--max-length', '32', '--threads', '1', '--out', out]);
  return digestOf(out);
}

const columns = checkouts.map((checkout) => new Map<string, string>([['', checkout]]));
for (const [index, checkout] of checkouts.entries()) {
  if (checkout.endsWith('.json')) {
    columns[index] = new Map(Object.entries(JSON.parse(readFileSync(checkout, 'utf8')) as Record<string, string>));
    continue;
  }
  const record = (name: string, value: string) => {
    columns[index]!.set(name, value);
    process.stderr.write(`${basename(checkout)}: ${name} ${value}\n`);
  };
  for (const [place, each] of runs.entries()) {
    record(each.name, digest(checkout, each, join(work, `${index}-${place}`)));
  }
  if (o.task) record('fine-tuning', fineTuned(checkout, join(work, `${index}-tuned`), o.task));
}
rmSync(work, { recursive: true });

const names = [...columns[0]!.keys()].filter((name) => name !== '');
const different = names.filter((name) => columns.some((column) => column.get(name) !== columns[0]!.get(name)));
const head = ['run', ...checkouts.map((checkout) => basename(checkout)), ''];
console.log(
  textTable([
    head,
    ...names.map((name) => [
      name,
      ...columns.map((column) => column.get(name) ?? 'none'),
      different.includes(name) ? 'different' : '',
    ]),
  ]),
);
if (checkouts.length > 1) console.log(`${names.length - different.length} of ${names.length} equal`);
if (o.out) writeFileSync(o.out, `${JSON.stringify(Object.fromEntries(columns[0]!), null, 2)}\n`);
process.exitCode = different.length > 0 ? 1 : 0;

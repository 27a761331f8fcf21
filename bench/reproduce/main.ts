/**
 * npm run bench:reproduce: the promise of equal bits, on real text and through the command line. Runs `compare` three
 * times with the same seed: twice whole, once killed with SIGKILL at a random moment and resumed. All weights, moments
 * and held-out losses must be the same; exits 1 where they are not.
 */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Command } from 'commander';

const command = new Command('bench:reproduce')
  .description('Runs compare twice, and once more killed and resumed, and compares all bits.')
  .requiredOption('--data <paths...>', 'text files or folders')
  .option('--model <name>', 'model preset', 'gpt-nano')
  .option('--steps <n>', 'optimizer steps', '200')
  .option('--threads <n>', 'threads', '0')
  .option('--device <name>', 'cpu, cuda or cuda:N', 'cpu')
  .option('--keep', 'keep the folders')
  .argument('[options...]', 'after --: more options of compare')
  .parse();
const o = command.opts();

const cli = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
const work = mkdtempSync(join(tmpdir(), 'apollo-reproduce-'));
const args = (name: string, ...more: string[]) => [
  cli,
  'compare',
  ...[
    '--model',
    o.model,
    '--steps',
    o.steps,
    '--threads',
    o.threads,
    '--device',
    o.device,
    '--seed',
    '7',
    '--checkpoint-every',
    '20',
  ],
  ...['--cache', join(work, 'cache'), '--out', join(work, name), ...more, '--data', ...o.data, ...command.args],
];

/** Runs to the end, or kills the process `killAfterMs` after its first training step was reported. */
function run(name: string, more: string[], killAfterMs?: number): Promise<{ ms: number; killed: boolean }> {
  return new Promise((done, fail) => {
    const child = spawn(process.execPath, args(name, ...more), { stdio: ['ignore', 'ignore', 'pipe'] });
    let log = '';
    let started = 0;
    child.stderr.on('data', (chunk: Buffer) => {
      log += chunk;
      if (started || !/step \d+/.test(log)) return;
      started = performance.now();
      if (killAfterMs !== undefined) setTimeout(() => child.kill('SIGKILL'), killAfterMs);
    });
    child.on('close', (code, signal) => {
      const killed = signal === 'SIGKILL';
      if (code !== 0 && !killed) fail(new Error(`compare ended with code ${code}:\n${log}`));
      else done({ ms: performance.now() - started, killed });
    });
  });
}

/** Results of a run: a digest of each method's final weights and moments, and the held-out losses. */
function outcome(name: string): { digests: Record<string, string>; losses: Record<string, number[]> } {
  const folder = join(work, name);
  const digests: Record<string, string> = {};
  for (const method of readdirSync(folder, { withFileTypes: true })) {
    if (!method.isDirectory()) continue;
    const last = readdirSync(join(folder, method.name)).sort().at(-1);
    if (last === undefined) continue;
    for (const file of ['model.safetensors', 'optimizer.safetensors']) {
      const path = join(folder, method.name, last, file);
      if (!existsSync(path)) continue;
      digests[`${method.name}/${last}/${file}`] = createHash('sha256')
        .update(readFileSync(path))
        .digest('hex')
        .slice(0, 16);
    }
  }
  type Saved = { runs: { method: string; evaluations: { lossFull: number }[] }[] };
  const { runs } = JSON.parse(readFileSync(join(folder, 'results.json'), 'utf8')) as Saved;
  const losses = Object.fromEntries(
    runs.map(({ method, evaluations }) => [method, evaluations.map((e) => e.lossFull)]),
  );
  return { digests, losses };
}

const whole = await run('first', []);
await run('second', []);
const killAfterMs = Math.random() * 0.8 * whole.ms;
const { killed } = await run('killed', [], killAfterMs);
const left = readdirSync(join(work, 'killed')).length;
await run('killed', ['--resume']);

const [first, second, resumed] = ['first', 'second', 'killed'].map(outcome) as [
  ReturnType<typeof outcome>,
  ReturnType<typeof outcome>,
  ReturnType<typeof outcome>,
];
let same = true;
for (const [method, values] of Object.entries(first.losses)) {
  console.log(
    `${method.padEnd(10)} held-out loss ${values[0]!.toFixed(4)} -> ${values.at(-1)!.toFixed(4)} in ${o.steps} steps`,
  );
  same &&= values.at(-1)! < values[0]!;
}
for (const [name, other] of [
  ['second run', second],
  [
    `run killed ${(killAfterMs / 1e3).toFixed(1)} s into training (${killed ? `SIGKILL, ${left} entries left` : 'it had ended'}) and resumed`,
    resumed,
  ],
] as const) {
  const equal = JSON.stringify(other) === JSON.stringify(first);
  same &&= equal;
  console.log(`${name}: ${equal ? 'the same bits' : 'DIFFERENT'}`);
  if (!equal) console.log(JSON.stringify({ first, other }, null, 1));
}
for (const [file, digest] of Object.entries(first.digests)) console.log(`  ${digest}  ${file}`);
if (!o.keep) rmSync(work, { recursive: true, force: true });
process.exitCode = same ? 0 : 1;

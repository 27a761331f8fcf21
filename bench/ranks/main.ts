/**
 * npm run bench:ranks: what several ranks do against one and against PyTorch.
 *   accuracy   losses of 1, 2 and 4 ranks, step by step, and whether the same run gives the same bits twice
 *   step       tokens/s of ranks of one thread against PyTorch's DDP on gloo, taking turns in one run
 *   traffic    bytes per token of each stage, by Apollo and by training from scratch
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { Command, Option } from 'commander';
import { loadAddon } from '../../lib/engine/native.js';
import { markdownTable, textTable } from '../../lib/report/table.js';
import { launcherKind, mpiexec } from '../launcher.js';
import { whole } from '../options.js';
import { accuracyModels, compareRanks, describeAccuracy } from './accuracy.js';
import { compareWithDdp, describeDdp } from './ddp.js';
import { measureTraffic, type TrafficOptions, trafficRows } from './traffic.js';

const missing = launcherKind() ? loadAddon().mpiInfo().missing : `there is no ${mpiexec}`;
if (missing) {
  console.error(`bench:ranks: ${missing}`);
  process.exit(1);
}

/** Prints a result, and writes it to a file where one is named. */
function give(result: object, text: string, out?: string): void {
  console.log(text);
  if (!out) return;
  mkdirSync(dirname(out), { recursive: true });
  const { cpuName, logicalCores } = loadAddon().info();
  const machine = { cpuName, logicalCores, mpi: loadAddon().mpiInfo().library };
  writeFileSync(out, `${JSON.stringify({ ...result, machine }, null, 2)}\n`);
}

interface AccuracyFlags {
  readonly steps: number;
  readonly models: readonly string[];
  readonly tolerance: number;
  readonly out?: string;
}

const program = new Command('bench:ranks').description('Several ranks against one, and against PyTorch.');

program
  .command('accuracy')
  .description('losses of 1, 2 and 4 ranks; exits 1 where they are further apart than the tolerance, or bits differ')
  .option('--steps <n>', 'optimizer steps', whole, 200)
  .addOption(new Option('--models <kinds...>').choices(accuracyModels).default(accuracyModels))
  .option('--tolerance <x>', 'greatest relative difference of a loss', Number, 1e-6)
  .option('--out <file>', 'also write JSON there')
  .action(async ({ steps, models, tolerance, out }: AccuracyFlags) => {
    const result = await compareRanks(steps, models, (line) => console.error(line));
    give(result, describeAccuracy(result), out);
    const isGood = result.rows.every(({ furthest, sameBits }) => furthest <= tolerance && sameBits);
    process.exitCode = isGood ? 0 : 1;
  });

program
  .command('step')
  .description('one step of GPT on ranks of one thread, against PyTorch DDP ($APOLLO_PEER_PYTHON)')
  .option('--ranks <n>', 'processes on both sides', whole, 2)
  .option('--layers <n>', 'layers', whole, 12)
  .option('--hidden <n>', 'hidden size', whole, 256)
  .option('--heads <n>', 'attention heads', whole, 4)
  .option('--seq <n>', 'tokens per sequence', whole, 128)
  .option('--batch <n>', 'sequences per step and rank', whole, 8)
  .option('--vocab-size <n>', 'vocabulary', whole, 8192)
  .addOption(new Option('--precision <kind>', 'of matrix products').choices(['f32', 'bf16']).default('f32'))
  .option('--steps <n>', 'timed steps, in 5 rounds', whole, 20)
  .option('--compile', 'compile the model of the peer')
  .option('--out <file>', 'also write JSON there')
  .action(async ({ out, ...options }) => {
    const result = await compareWithDdp(options);
    give(result, describeDdp(result), out);
  });

program
  .command('traffic')
  .description('bytes per token of each stage on the sample text, by Apollo and by training from scratch')
  .option('--model <preset>', 'model that is trained', 'gpt-nano')
  .option('--ranks <n>', 'ranks', whole, 2)
  .option('--batch <n>', 'sequences of a micro-batch', whole, 8)
  .option('--seq <n>', 'tokens of a sequence', whole, 128)
  .option('--steps <n>', 'steps of each run', whole, 80)
  .option('--page <file>', 'also write the table as a page')
  .option('--out <file>', 'also write JSON there')
  .action(async ({ out, page, ...options }: TrafficOptions & { out?: string; page?: string }) => {
    const result = await measureTraffic(options, (line) => console.error(line));
    const rows = trafficRows(result);
    give(result, textTable(rows), out);
    if (!page) return;
    const { model, ranks, batch, seq, steps } = options;
    const lines = [
      '# Bytes per token, by stage',
      '',
      `\`npm run bench:ranks -- traffic\`: ${model}, ${ranks} ranks with ${batch} x ${seq} tokens each, ${steps} steps on the sample text. Bytes are`,
      'those that all ranks send, without headers; tokens those of all ranks. A shallow stage of Apollo exchanges only the layers that it',
      'holds, and of these only what a step has trained. A stage ends with an outer step, so in a run of few steps these come more often than',
      'their setting says.',
      '',
      markdownTable(rows),
    ];
    mkdirSync(dirname(page), { recursive: true });
    writeFileSync(page, `${lines.join('\n')}\n`);
  });

await program.parseAsync();

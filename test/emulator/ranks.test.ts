/**
 * Ranks on emulated GPUs, which exchange over what stands in for NCCL: their collectives, that they train as one rank does, and
 * how they end when one is lost. Started by mpirun, and one by one as torchrun does.
 */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { temporaryFolder } from '../cli/support.js';
import { tinyConfig } from '../cli/tiny.js';
import { emulatorEnv, noEmulator } from '../device.js';
import { child, freePort, noMpi, runRanks, runWithoutMpi, startProcess, torchrunEnv } from '../dist/mpirun.js';
import { buffersTask, checkBuffers, type OfBuffers } from '../dist/of-buffers.js';

const folder = temporaryFolder();
const skip = noEmulator;
const env = { ...emulatorEnv, APOLLO_TEST_DEVICE: 'emulator', APOLLO_EMULATOR_GPUS: '4' };

interface Trained {
  readonly lines: readonly string[];
  readonly losses: readonly number[];
  readonly files: readonly string[];
  readonly tokens: number;
}

t.test('the collectives of 2 ranks that MPI has started', { skip: skip || noMpi }, async (t) => {
  const { results, err } = await runRanks<Record<string, unknown>>(
    2,
    join(folder, 'c'),
    { what: 'collectives' },
    { env },
  );
  t.equal(results.length, 2, err);
  for (const [rank, result] of results.entries()) {
    t.match(result, { rank, size: 2, localRank: rank, first: { rank: 0 }, others: rank });
    t.same((result['sum'] as number[])[0], 1);
    t.same((result['sum'] as number[])[2], 2 ** 41);
    t.same(result['text'], ['ä 0', '1']);
    t.same(result['outcomes'], [rank, rank === 1 ? 'BAD_CONFIG' : 'RANK_FAILED']);
  }
});

for (const [ranks, even] of [
  [2, true],
  [3, false],
] as const) {
  const parts = even ? 'equal' : 'unequal';
  t.test(`collectives of ${ranks} ranks on buffers of ${parts} parts`, { skip }, async (t) => {
    const choice = { lengths: [20_000, 1, 70, 333], even, roundsSums: true };
    const at = join(folder, `buffers-${ranks}`);
    const { results, err } = await runWithoutMpi<OfBuffers>(ranks, at, buffersTask(choice), env);
    t.equal(results.length, ranks, err);
    checkBuffers(t, results, choice);
  });
}

let runs = 0;

async function train(t: Test, ranks: number, options: Readonly<Record<string, unknown>> = {}, task = {}) {
  const at = join(folder, `run-${runs++}`);
  const own = { steps: 8, batch: 2, accumulation: 4 / ranks, evaluateEvery: 0, ...options };
  const all = { what: 'train', boundaries: [3, 6], options: own, checkpoints: join(at, 'checkpoints'), ...task };
  const { results, err } = await runWithoutMpi<Trained>(ranks, at, all, env);
  t.equal(results.length, ranks, err);
  for (const { lines } of results) t.same(lines, results[0]!.lines, 'all ranks report the same bits');
  return results[0]!;
}

t.test('2 ranks train as one with as many micro-batches, and to the same bits twice', { skip }, async (t) => {
  const one = await train(t, 1);
  const two = await train(t, 2);
  t.equal(one.losses.length, 8);
  const far = two.losses.map((loss, step) => Math.abs(loss / one.losses[step]! - 1));
  t.ok(Math.max(...far) < 1e-6, `${Math.max(...far)}`);
  t.equal(two.tokens, one.tokens);
  const again = await train(t, 2);
  t.same(again.lines, two.lines);
  t.same(again.files, two.files, "weights and optimizer's state");
  const behind = await train(t, 2, { overlapExchange: false });
  t.same(behind.files, two.files, 'the same bits behind the backward pass');
});

t.test("ranks that share the optimizer's state", { skip }, async (t) => {
  const options = { precision: 'bf16', steps: 5, batch: 1 };
  const wide = { kind: 'wide', boundaries: [2, 4] };
  const whole = await train(t, 2, options, wide);
  const shared = await train(t, 2, { ...options, shardOptimizer: true }, wide);
  t.same(shared.lines, whole.lines, 'the same losses and norms');
  t.same(shared.files, whole.files, "weights and optimizer's state");
});

t.test('two ranks on one GPU are refused, with what NCCL says', { skip }, async (t) => {
  const { code, err } = await runWithoutMpi(2, join(folder, 'one-gpu'), { what: 'train' }, { ...env, LOCAL_RANK: '0' });
  t.not(code, 0);
  t.match(
    err,
    /rank [01] on .*: ncclCommInitRankConfig failed: invalid usage: Duplicate GPU detected : rank [01] and rank [01] both on/,
  );
});

t.test('a rank can end while it waits for one that does not come', { skip }, async (t) => {
  const port = await freePort();
  const args = [JSON.stringify({ what: 'abandoned', folder })];
  const [first, second] = [0, 1].map((rank) => startProcess(child, args, { ...env, ...torchrunEnv(rank, 2, port) }));
  t.equal((await first!.ended).code, 3);
  t.equal(second!.child.exitCode, null, 'the other one is still there');
  second!.child.kill('SIGKILL');
});

t.test('train takes the GPU of its rank, and ends when another rank is lost', { skip }, async (t) => {
  const main = fileURLToPath(new URL('../../lib/cli/main.ts', import.meta.url));
  const config = tinyConfig(folder, { steps: 100_000, evaluateEvery: 100_000 });
  const args = ['train', '--config', config, '--device', 'cuda', '--json', '--out', join(folder, 'cli')];
  const port = await freePort();
  const own = { ...env, XDG_CACHE_HOME: folder };
  const [first, second] = [0, 1].map((rank) => startProcess(main, args, { ...own, ...torchrunEnv(rank, 2, port) }));
  let out = '';
  await new Promise<void>((resolve) => {
    first!.child.stdout!.on('data', (chunk: Buffer) => {
      out += chunk;
      if (out.includes('"type":"step"')) resolve();
    });
    first!.child.on('close', () => resolve());
  });
  second!.child.kill('SIGKILL');
  const { code, err } = await first!.ended;
  t.equal(code, 1);
  t.match(
    err,
    /apollo-lm: rank 0 of 2 on .*: (Rank 1 on .* has ended without a message: .* --resume|the exchange failed: remote process exited .*: the process of rank 1 has ended)/,
  );
});

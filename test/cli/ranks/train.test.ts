/** `apollo-lm train` under mpirun: one voice, one folder, a stop that all ranks agree on. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { launcherKind, ranksOf } from '../../../bench/launcher.js';
import { run } from '../../../lib/cli/run.js';
import { noMpi, startRanks, untilPrinted } from '../../dist/mpirun.js';
import { memoryIo, temporaryFolder } from '../support.js';
import { tinyConfig } from '../tiny.js';

const main = fileURLToPath(new URL('../../../lib/cli/main.ts', import.meta.url));
const folder = temporaryFolder();
const config = tinyConfig(folder, { steps: 120, evaluateEvery: 60 });
const train = (args: readonly string[]) => startRanks(2, main, ['train', ...args]);
const weights = (out: string) => readFileSync(join(out, 'checkpoints/step-00000120/model.safetensors'));

t.test('a stop of one rank stops all with a checkpoint, and resumes to the same bits', { skip: noMpi }, async (t) => {
  const whole = join(folder, 'whole');
  const uncut = await train(['--config', config, '--out', whole, '--json']).ended;
  t.equal(uncut.code, 0, uncut.err);
  t.equal(uncut.out.match(/"type":"start"/g)?.length, 1, 'one rank reports');

  const out = join(folder, 'stopped');
  const launched = train(['--config', config, '--out', out, '--json']);
  const { mpirun, ended } = launched;
  await untilPrinted('"type":"step"', launched);
  process.kill(ranksOf(mpirun.pid!).get(1)!, 'SIGTERM');
  const stopped = await ended;
  t.equal(stopped.code, 130, stopped.err);
  t.match(stopped.out, /"type":"done".*"aborted":true/);

  const resumed = await train(['--resume', '--out', out]).ended;
  t.equal(resumed.code, 0, resumed.err);
  t.match(resumed.err, /resumed from .*, step \d+ of 120/);
  t.ok(weights(out).equals(weights(whole)), 'the same bits as an uncut run');
});

for (const victim of [0, 1]) {
  t.test(`rank ${victim} dies: the other says so, and how to resume`, { skip: noMpi }, async (t) => {
    const out = join(folder, `dead-${victim}`);
    const launched = train(['--config', config, '--out', out, '--json', '--steps', '100000']);
    const { mpirun, ended } = launched;
    await untilPrinted('"type":"step"', launched);
    const pid = ranksOf(mpirun.pid!).get(victim)!;
    const killed = performance.now();
    process.kill(pid, 'SIGKILL');
    const { code, out: said, err } = await ended;
    t.ok(performance.now() - killed < 30_000, 'all ranks end');
    t.not(code, 0);
    if (launcherKind() === 'hydra' && !err.includes('apollo-lm: ')) {
      t.match(said, new RegExp(`PID ${pid} .*\\n.*EXIT CODE: 9`), 'it may kill the other one before that can speak');
      return;
    }
    t.equal(err.match(/apollo-lm: /g)?.length, 1, err);
    t.match(
      err,
      new RegExp(`rank ${1 - victim} of 2 on .*: Rank ${victim} on .*\\(process ${pid}\\) has ended without a message`),
    );
    t.ok(err.includes(`main.ts train --resume --out ${out}`), err);
  });
}

t.test('a failure is reported once, by the rank that failed', { skip: noMpi }, async (t) => {
  const wrong = await train(['--config', config, '--out', join(folder, 'wrong'), '--learning-rate', '-5']).ended;
  t.not(wrong.code, 0);
  t.match(wrong.err, /apollo-lm: rank 0 of 2 on .*: --learning-rate: expected more than 0; got -5/);
  t.notOk(existsSync(join(folder, 'wrong')));
  const parsed = await train(['--config', config, '--no-such']).ended;
  t.not(parsed.code, 0);
  // Hydra does not end the others for a process that has not come to MPI, so that all of them say it.
  const said = parsed.err.match(/unknown option '--no-such'/g)?.length;
  t.equal(said, launcherKind() === 'hydra' ? 2 : 1, parsed.err);
  const finetune = await startRanks(2, main, ['finetune', '--task', 'sst2', '--data', folder, '--model', folder]).ended;
  t.match(finetune.err, /finetune runs on one rank; .* Only train and compare run on several ranks/);
});

t.test('a rank that was slow to start leaves more time to the first one', async (t) => {
  const io = { ...memoryIo({ env: { RANK: '1', WORLD_SIZE: '2' } }), startMs: 900 };
  const ended = run(['train', '--no-such'], io);
  await delay(3300);
  t.equal(io.err(), '', 'longer than the 3 s of a rank that started at once');
  t.equal(await ended, 1);
  t.equal(io.err().match(/unknown option '--no-such'/g)?.length, 1, 'it says so where the first does not');
});

t.test('with outer steps a stop within a round resumes to the same bits', { skip: noMpi }, async (t) => {
  const rounds = ['--config', config, '--sync-every', '50'];
  const whole = join(folder, 'rounds');
  const uncut = await train([...rounds, '--out', whole]).ended;
  t.equal(uncut.code, 0, uncut.err);

  const out = join(folder, 'rounds-stopped');
  const launched = train([...rounds, '--out', out, '--json']);
  await untilPrinted('"type":"step","step":3,', launched);
  process.kill([...ranksOf(launched.mpirun.pid!).values()].at(-1)!, 'SIGTERM');
  const stopped = await launched.ended;
  t.equal(stopped.code, 130, stopped.err);
  const { step } = JSON.parse(stopped.out.match(/.*"type":"done".*/)![0]) as { step: number };
  t.ok(
    existsSync(join(out, `checkpoints/rank-1/step-${String(step).padStart(8, '0')}/model.safetensors`)),
    `step ${step}`,
  );

  const resumed = await train(['--resume', '--out', out]).ended;
  t.equal(resumed.code, 0, resumed.err);
  t.ok(weights(out).equals(weights(whole)), 'the same bits as an uncut run');
});

t.test('settings of outer steps without outer steps are refused', { skip: noMpi }, async (t) => {
  const { code, err } = await train(['--config', config, '--out', join(folder, 'odd'), '--outer-momentum', '0.5'])
    .ended;
  t.not(code, 0);
  t.match(err, /--outer-momentum: this is a setting of outer steps. Add --sync-every/);
});

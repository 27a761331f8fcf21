/** `apollo-lm train` under mpirun: one voice, one folder, a stop that all ranks agree on. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { noMpi, startRanks } from '../dist/mpirun.js';
import { temporaryFolder } from './support.js';
import { tinyConfig } from './tiny.js';

const main = fileURLToPath(new URL('../../lib/cli/main.ts', import.meta.url));
const folder = temporaryFolder();
const config = tinyConfig(folder, { steps: 120, evalEvery: 60 });
const train = (args: readonly string[]) => startRanks(2, main, ['train', ...args]);
const weights = (out: string) => readFileSync(join(out, 'checkpoints/step-00000120/model.safetensors'));

/** Process ids of the ranks below mpirun. */
function ranksOf(mpirun: number): number[] {
  return readFileSync(`/proc/${mpirun}/task/${mpirun}/children`, 'utf8').trim().split(' ').map(Number);
}

t.test('a stop of one rank stops all with a checkpoint, and resumes to the same bits', { skip: noMpi }, async (t) => {
  const whole = join(folder, 'whole');
  const uncut = await train(['--config', config, '--out', whole, '--json']).ended;
  t.equal(uncut.code, 0, uncut.err);
  t.equal(uncut.out.match(/"type":"start"/g)?.length, 1, 'one rank reports');

  const out = join(folder, 'stopped');
  const { mpirun, ended, text } = train(['--config', config, '--out', out, '--json']);
  while (!text.out.includes('"type":"step"')) await new Promise((resolve) => mpirun.stdout.once('data', resolve));
  process.kill(ranksOf(mpirun.pid!).at(-1)!, 'SIGTERM');
  const stopped = await ended;
  t.equal(stopped.code, 130, stopped.err);
  t.match(stopped.out, /"type":"done".*"aborted":true/);

  const resumed = await train(['--resume', '--out', out]).ended;
  t.equal(resumed.code, 0, resumed.err);
  t.match(resumed.err, /resumed from .*, step \d+ of 120/);
  t.ok(weights(out).equals(weights(whole)), 'the same bits as an uncut run');
});

t.test('a rank that dies ends the others', { skip: noMpi }, async (t) => {
  const { mpirun, ended, text } = train([
    '--config',
    config,
    '--out',
    join(folder, 'dead'),
    '--json',
    '--steps',
    '100000',
  ]);
  while (!text.out.includes('"type":"step"')) await new Promise((resolve) => mpirun.stdout.once('data', resolve));
  process.kill(ranksOf(mpirun.pid!).at(-1)!, 'SIGKILL');
  const { code, err } = await ended;
  t.not(code, 0);
  t.match(err, /signal 9|Killed/, 'mpirun says which');
});

t.test('what fails is told once, by the rank that failed', { skip: noMpi }, async (t) => {
  const wrong = await train(['--config', config, '--out', join(folder, 'wrong'), '--lr', '-5']).ended;
  t.not(wrong.code, 0);
  t.match(wrong.err, /apollo-lm: rank 0 of 2 on .*: --lr: expected more than 0; got -5/);
  t.notOk(existsSync(join(folder, 'wrong')));
  const compare = await startRanks(2, main, ['compare', '--config', config, '--out', join(folder, 'compared')]).ended;
  t.match(compare.err, /compare runs on one rank; .* Only train runs on several so far/);
});

t.test('with outer steps a stop within a round resumes to the same bits', { skip: noMpi }, async (t) => {
  const rounds = ['--config', config, '--sync-every', '50'];
  const whole = join(folder, 'rounds');
  const uncut = await train([...rounds, '--out', whole]).ended;
  t.equal(uncut.code, 0, uncut.err);

  const out = join(folder, 'rounds-stopped');
  const { mpirun, ended, text } = train([...rounds, '--out', out, '--json']);
  while (!text.out.includes('"type":"step","step":3,'))
    await new Promise((resolve) => mpirun.stdout.once('data', resolve));
  process.kill(ranksOf(mpirun.pid!).at(-1)!, 'SIGTERM');
  const stopped = await ended;
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

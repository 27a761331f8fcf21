/** `apollo-lm compare` under mpirun: all ranks train every run, the first one reports. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { ranksOf } from '../../../bench/launcher.js';
import type { Results } from '../../../lib/report/results.js';
import { noMpi, startRanks, untilPrinted } from '../../dist/mpirun.js';
import { temporaryFolder } from '../support.js';
import { tinyConfig } from '../tiny.js';

const main = fileURLToPath(new URL('../../../lib/cli/main.ts', import.meta.url));
const folder = temporaryFolder();
// bert2BERT starts from a smaller model, which the ranks train first.
const methods = ['scratch', 'apollo', 'bert2bert'];
const model = { preset: 'gpt-nano', layers: 2, hidden: 64, heads: 2, ffn: 64, maxPositions: 16, dropout: 0.1 };
const config = tinyConfig(folder, { model, methods, steps: 60, evaluateEvery: 20, evaluationBatches: 5 });
const compare = (ranks: number, args: readonly string[]) => startRanks(ranks, main, ['compare', ...args]);

const resultsOf = (out: string) => JSON.parse(readFileSync(join(out, 'results.json'), 'utf8')) as Results;
const lossesOf = (out: string) =>
  resultsOf(out).runs.map(({ method, evaluations }) => ({
    method,
    losses: evaluations.map(({ step, lossFull, lossStage, flopsModel }) => ({ step, lossFull, lossStage, flopsModel })),
  }));
const weightsOf = (out: string, method: string) =>
  readFileSync(join(out, `${method}-42/step-00000060/model.safetensors`));

t.test('runs of two ranks are those of one with twice the micro-batches', { skip: noMpi }, async (t) => {
  const [two, one] = [join(folder, 'two'), join(folder, 'one')];
  const ended = await compare(2, ['--config', config, '--out', two, '--json']).ended;
  t.equal(ended.code, 0, ended.err);
  t.equal(ended.out.match(/"type":"results"/g)?.length, 1, 'one rank reports');
  for (const file of ['report.html', 'table.md', 'loss-flops.svg']) t.ok(existsSync(join(two, file)), file);
  const alone = await compare(1, ['--config', config, '--out', one, '--accumulation', '2']).ended;
  t.equal(alone.code, 0, alone.err);
  const [ours, theirs] = [lossesOf(two), lossesOf(one)];
  t.equal(ours.length, methods.length);
  for (const [i, { method, losses }] of ours.entries()) {
    t.same(
      losses.map(({ step }) => step),
      [0, 20, 40, 60],
      method,
    );
    for (const [at, { step, lossFull, lossStage, flopsModel }] of losses.entries()) {
      const other = theirs[i]!.losses[at]!;
      const far = Math.max(Math.abs(lossFull / other.lossFull - 1), Math.abs(lossStage / other.lossStage - 1));
      t.ok(far <= 1e-6, `${method}, step ${step}: ${far}`);
      t.equal(flopsModel, other.flopsModel);
    }
  }
});

t.test(
  'a stop of one rank stops every run with a checkpoint, and resumes to the same bits',
  { skip: noMpi },
  async (t) => {
    const [whole, out] = [join(folder, 'two'), join(folder, 'stopped')];
    const launched = compare(2, ['--config', config, '--out', out, '--json']);
    const { mpirun, ended } = launched;
    await untilPrinted('"method":"apollo","seed":42,"type":"step","step":25', launched);
    process.kill(ranksOf(mpirun.pid!).get(1)!, 'SIGTERM');
    const stopped = await ended;
    t.equal(stopped.code, 130, stopped.err);
    t.match(stopped.out, /"type":"done".*"aborted":true/);
    const resumed = await compare(2, ['--resume', '--out', out]).ended;
    t.equal(resumed.code, 0, resumed.err);
    t.same(lossesOf(out), lossesOf(whole), 'the same losses as an uncut comparison');
    for (const method of methods)
      t.ok(weightsOf(out, method).equals(weightsOf(whole, method)), `${method}: the same bits`);
  },
);

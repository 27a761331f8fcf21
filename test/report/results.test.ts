import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { readResults, writeResults } from '../../lib/report/results.js';
import { temporaryFolder } from '../temporary.js';
import { comparison, record } from './curves.js';

const folder = temporaryFolder('apollo-results-');

t.test('results survive the file', async (t) => {
  const results = comparison([record('scratch', 1, [[1, 2]])]);
  const path = join(folder, 'results.json');
  await writeResults(path, results);
  t.same(await readResults(path), results);
});

t.test('what is not a results file is refused with the file and the key', async (t) => {
  const path = join(folder, 'wrong.json');
  writeFileSync(path, JSON.stringify({ ...comparison([]), layers: 'three' }));
  await t.rejects(readResults(path), { code: 'BAD_ARGUMENT', message: /wrong\.json .*: layers: / });
  writeFileSync(path, '{');
  await t.rejects(readResults(path), { code: 'BAD_ARGUMENT', message: /wrong\.json is not a readable results file/ });
  await t.rejects(readResults('/nowhere/results.json'), {
    message: /there is no such file\. "apollo-lm compare" writes it/,
  });
  await t.rejects(readResults(join(folder, 'none.json')), { code: 'BAD_ARGUMENT' });
});

t.test('a loss that is not finite is null in the file and read again', async (t) => {
  const run = record('scratch', 1, [[1, 2]]);
  const [point] = run.evaluations;
  const nan = { ...point!, lossFull: Number.NaN, lossStage: Number.NaN, trainLoss: Number.NaN };
  const path = join(folder, 'nan.json');
  await writeResults(path, comparison([{ ...run, evaluations: [nan, point!] }]));
  t.match((await readResults(path)).runs[0]!.evaluations, [nan, point]);
});

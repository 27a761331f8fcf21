import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { settingsTable, TensorBoardRun } from '../../../lib/cli/watch/tensorboard.js';
import { type LoggedEvent, readEventFile } from '../../../lib/interop/tensorboard-reader.js';
import { evaluationRecord, startRecord, stepRecord } from '../../report/records.js';

/** The events of each file in `folder`, in the order TensorBoard reads them. */
async function filesOf(folder: string): Promise<LoggedEvent[][]> {
  return Promise.all(
    readdirSync(folder)
      .sort()
      .map((name) => readEventFile(join(folder, name))),
  );
}

const valuesOf = (events: readonly LoggedEvent[], tag: string) =>
  events.flatMap(({ step, values }) =>
    values.filter((value) => value.tag === tag).map((value) => [step, value] as const),
  );

t.test('records become scalars by tag, and the depths between evaluations a histogram', async (t) => {
  const folder = join(t.testdir(), 'apollo-1');
  const run = await TensorBoardRun.open(folder, undefined);
  await run.describe({ settings: { learningRate: 1e-3, model: { preset: 'gpt' }, absent: undefined } });
  await run.add(startRecord(0));
  await run.add(evaluationRecord(0, 9));
  await run.add(stepRecord(1, { depth: 2, loss: 4 }));
  await run.add(stepRecord(2, { depth: 4, loss: null }));
  await run.add(evaluationRecord(2, 3));
  await run.add(stepRecord(3, { depth: 4 }));
  await run.add(evaluationRecord(3, 2));
  await run.close();
  const [events] = await filesOf(folder);
  t.match(valuesOf(events!, 'loss/train'), [[1, { scalar: 4 }], [2, { scalar: Number.NaN }], [3]]);
  t.match(valuesOf(events!, 'loss/held_out'), [
    [0, { scalar: 9 }],
    [2, { scalar: 3 }],
    [3, { scalar: 2 }],
  ]);
  t.match(valuesOf(events!, 'memory/device_bytes')[0], [1, { scalar: 2 ** 20 + 2 ** 21 }]);
  t.match(valuesOf(events!, 'depth'), [
    [2, { histogram: { min: 1.5, max: 4.5, counts: [1, 0, 1] } }],
    [3, { histogram: { min: 3.5, max: 4.5, counts: [1] } }],
  ]);
  t.match(valuesOf(events!, 'settings'), [
    [0, { text: '| setting | value |\n| --- | --- |\n| learningRate | 0.001 |\n| model | {"preset":"gpt"} |' }],
  ]);
});

t.test('a resumed run writes a second file, with the depths since the last evaluation', async (t) => {
  const folder = join(t.testdir(), 'apollo-1');
  const first = await TensorBoardRun.open(folder, undefined);
  for (let step = 1; step <= 5; step++) await first.add(stepRecord(step, { depth: 1 }));
  await first.close();
  const second = await TensorBoardRun.open(folder, 3);
  for (let step = 1; step <= 3; step++) second.recall(stepRecord(step, { depth: 1 }));
  await second.add(stepRecord(4, { depth: 2 }));
  await second.add(evaluationRecord(4, 1));
  await second.close();
  const files = await filesOf(folder);
  t.equal(files.length, 2);
  t.match(files[1]!.slice(0, 2), [{ step: 4 }, { step: 4, sessionStart: true }]);
  t.match(valuesOf(files[1]!, 'depth'), [[4, { histogram: { counts: [3, 1] } }]]);
  const anew = await TensorBoardRun.open(folder, undefined);
  await anew.close();
  t.match(
    (await filesOf(folder))[2],
    [{ step: 0 }, { step: 0, sessionStart: true }],
    'a run from step 0 voids all earlier values',
  );
});

t.test('a table survives what Markdown would take for its own', async (t) => {
  t.equal(settingsTable({ a: 'x|y\nz' }), '| setting | value |\n| --- | --- |\n| a | x\\|y z |');
});

import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { MetricsFile, metricRecord } from '../../../lib/cli/watch/metrics.js';
import type { MetricRecord } from '../../../lib/report/metrics.js';
import type { TrainEvent } from '../../../lib/train/index.js';
import { doneRecord, evaluationRecord, growthRecord, startRecord, stepRecord } from '../../report/records.js';

const linesOf = (path: string) =>
  readFileSync(path, 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as MetricRecord);

t.test('events become records with method, seed, time and memory', async (t) => {
  const context = {
    method: 'apollo',
    seed: 7,
    time: '2026-01-01T00:00:00.000Z',
    memory: { rssBytes: 3, arenaBytes: 2, bufferBytes: 1 },
  };
  const event: TrainEvent = {
    type: 'step',
    step: 4,
    loss: Number.NaN,
    gradNorm: Number.POSITIVE_INFINITY,
    learningRate: 1e-3,
    depth: 3,
    trainedLayers: 1,
    applied: false,
    flopsModel: 40,
    flopsExecuted: 30,
    tokens: 20,
    trainMs: 10,
    ms: 2,
    tokensPerSecond: 9,
    waitedMs: 0,
  };
  t.same(metricRecord(event, context), {
    ...event,
    ...context.memory,
    method: 'apollo',
    seed: 7,
    time: context.time,
    loss: null,
    gradNorm: null,
  });
  const evaluation: TrainEvent = {
    type: 'evaluation',
    step: 4,
    trainedLayers: 1,
    lossFull: 2,
    lossStage: 3,
    flopsModel: 40,
    trainMs: 10,
    tokens: 20,
    ms: 1,
  };
  t.match(metricRecord(evaluation, context), {
    type: 'evaluation',
    step: 4,
    lossFull: 2,
    lossStage: 3,
    flopsModel: 40,
  });
  t.match(
    metricRecord(
      {
        type: 'start',
        step: 4,
        steps: 9,
        layers: 3,
        trainedLayers: 1,
        parameters: 5,
        flopsModel: 0,
        flopsExecuted: 0,
        tokens: 0,
        trainMs: 0,
        resumedFrom: 'x',
      },
      context,
    ),
    {
      type: 'start',
      resumed: true,
      layers: 3,
    },
  );
  t.equal(metricRecord({ type: 'checkpoint', step: 4, path: 'x', ms: 1 }, context), undefined);
});

t.test('a resumed run drops the steps that will be done again', async (t) => {
  const path = join(t.testdir(), 'metrics.jsonl');
  const first = await MetricsFile.open(path, undefined, () => t.fail('there is nothing to keep'));
  const before = [
    startRecord(0),
    stepRecord(1),
    stepRecord(2),
    evaluationRecord(2, 3),
    growthRecord(2, 1, 2),
    stepRecord(3),
  ];
  for (const record of [...before, doneRecord(3, { complete: false })]) await first.add(record);
  await first.close();
  writeFileSync(path, `${readFileSync(path, 'utf8')}{"type":"step","st`); // killed while it wrote

  const kept: MetricRecord[] = [];
  const second = await MetricsFile.open(path, 2, (record) => kept.push(record));
  t.same(kept, before.slice(0, 5), 'told what stays');
  t.ok(second.holds(growthRecord(2, 1, 2)), 'the growth stands there already');
  t.ok(second.holds(evaluationRecord(2, 3)));
  t.notOk(second.holds(growthRecord(5, 1, 2)));
  t.notOk(second.holds(startRecord(2)));
  for (const record of [startRecord(2, { resumed: true }), stepRecord(3), doneRecord(3)]) await second.add(record);
  await second.close();
  t.same(
    linesOf(path).map(({ type, step }) => `${type} ${step}`),
    ['start 0', 'step 1', 'step 2', 'evaluation 2', 'growth 2', 'start 2', 'step 3', 'done 3'],
  );
  t.notOk(existsSync(`${path}.part`));
});

t.test('the records of a long run are copied in large pieces', async (t) => {
  const records = Array.from({ length: 6000 }, (_, step) => stepRecord(step));
  const before = records.map((record) => `${JSON.stringify(record)}\n`).join('');
  const path = join(t.testdir({ 'metrics.jsonl': before }), 'metrics.jsonl');
  const probe = await open(path);
  const handles = Object.getPrototypeOf(probe) as FileHandle;
  await probe.close();
  const { appendFile } = handles;
  t.teardown(() => {
    handles.appendFile = appendFile;
  });
  let pieces = 0;
  handles.appendFile = function (...args) {
    pieces++;
    return appendFile.apply(this, args);
  };
  let kept = 0;
  const file = await MetricsFile.open(path, 6000, () => kept++);
  await file.close();
  t.equal(kept, 6000);
  t.equal(readFileSync(path, 'utf8'), before);
  t.ok(before.length > 1.5e6 && pieces <= 3, `${pieces} pieces of ${before.length} bytes`);
});

t.test('a run that starts again starts a new file', async (t) => {
  const path = join(t.testdir({ 'metrics.jsonl': `${JSON.stringify(stepRecord(1))}\n` }), 'metrics.jsonl');
  const file = await MetricsFile.open(path, undefined, () => t.fail('nothing stays'));
  await file.close();
  t.same(linesOf(path), []);
});

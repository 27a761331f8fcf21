import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import t from 'tap';
import { EventFileWriter, encodeEvent, histogram, scalar, text } from '../../lib/interop/tensorboard.js';
import { readEventFile } from '../../lib/interop/tensorboard-reader.js';
import { fixture, shared } from '../data/support.js';

/** The values of the golden file. */
const table = '| a | b |\n| --- | --- |\n| Größe | 1 |';
const counts = [0, 0, 0, 4, 4, 2];

t.test("a file is, byte for byte, what TensorBoard's own classes write", async (t) => {
  const golden = fixture('golden/tensorboard/events.out.tfevents.1700000000.golden');
  const folder = t.testdir();
  const times = [1700000000250, 1700000000250, 1700000000250, 1700000001500, 1700000002500];
  const writer = await EventFileWriter.open(folder, { now: () => times.shift()! });
  t.match(basename(writer.path), /^events\.out\.tfevents\.1700000000\./);
  await writer.add(0, [text('settings', table)]);
  await writer.add(1, [scalar('loss/train', 6.25), scalar('optimizer/learning_rate', 0)]);
  await writer.add(300, [histogram('depth', counts)]);
  await writer.add(301, []);
  await writer.close();
  // The session start of the golden file's last record is written by a resumed run only.
  const start = encodeEvent(1700000003500, 2 ** 40, Buffer.from('3a020801', 'hex'));
  t.equal(Buffer.concat([readFileSync(writer.path), start]).toString('hex'), readFileSync(golden).toString('hex'));
});

t.test('the reader reads it', async (t) => {
  const golden = fixture('golden/tensorboard/events.out.tfevents.1700000000.golden');
  t.same(await readEventFile(golden), [
    { wallTimeMs: 1700000000250, step: 0, fileVersion: 'brain.Event:2', sessionStart: false, values: [] },
    {
      wallTimeMs: 1700000000250,
      step: 0,
      sessionStart: false,
      values: [{ tag: 'settings', plugin: 'text', text: table }],
    },
    {
      wallTimeMs: 1700000001500,
      step: 1,
      sessionStart: false,
      values: [
        { tag: 'loss/train', scalar: 6.25 },
        { tag: 'optimizer/learning_rate', scalar: 0 },
      ],
    },
    {
      wallTimeMs: 1700000002500,
      step: 300,
      sessionStart: false,
      values: [
        {
          tag: 'depth',
          // 4 x 3 + 4 x 4 + 2 x 5 = 38; 4 x 9 + 4 x 16 + 2 x 25 = 150
          histogram: {
            min: 2.5,
            max: 5.5,
            count: 10,
            sum: 38,
            sumSquares: 150,
            limits: [3.5, 4.5, 5.5],
            counts: [4, 4, 2],
          },
        },
      ],
    },
    { wallTimeMs: 1700000003500, step: 2 ** 40, sessionStart: true, values: [] },
  ]);
});

t.test('a resumed run starts a file that is read after the others and voids their later steps', async (t) => {
  const folder = t.testdir({ 'events.out.tfevents.1700000009.host.1': '' });
  const writer = await EventFileWriter.open(folder, { purgeFrom: 8, now: () => 1700000000000 });
  await writer.close();
  await t.rejects(writer.add(9, [scalar('loss', 1)]), { code: 'CLOSED', message: /event file .* is closed/ });
  t.match(basename(writer.path), /^events\.out\.tfevents\.1700000010\./, 'although the clock says less');
  t.match(await readEventFile(writer.path), [
    { step: 8, fileVersion: 'brain.Event:2' },
    { step: 8, sessionStart: true },
  ]);
});

t.test('an empty histogram and a file that is none', async (t) => {
  const path = join(t.testdir(), 'events');
  writeFileSync(path, encodeEvent(0, 1, Buffer.alloc(0)));
  t.same(await readEventFile(path), [{ wallTimeMs: 0, step: 1, sessionStart: false, values: [] }]);
  t.ok(histogram('depth', []).length > 0);
  writeFileSync(path, 'this is text, and longer than a frame');
  await t.rejects(readEventFile(path), { code: 'BAD_ARGUMENT', message: new RegExp(`^${path} cannot be read`) });
});

const foreign = shared('golden/tensorboard/events.out.tfevents.1585769947.cvp');
t.test('a file written by Keras is read', { skip: foreign.skip }, async (t) => {
  const events = await readEventFile(foreign.path);
  // One version record, 17 scalars of six tags, two records of graphs.
  t.equal(events.length, 105);
  t.match(events[0], { fileVersion: 'brain.Event:2', wallTimeMs: 1585769947000 });
  const tags = ['batch_loss', 'batch_acc', 'epoch_acc', 'epoch_loss', 'epoch_val_acc', 'epoch_val_loss'];
  for (const tag of tags) {
    const found = events.flatMap(({ step, values }) =>
      values.filter((value) => value.tag === tag).map((value) => [step, value.scalar]),
    );
    t.equal(found.length, 17, tag);
    t.ok(
      found.every(([, value]) => Number.isFinite(value)),
      tag,
    );
  }
});

const python = process.env['APOLLO_PYTHON'] ?? 'python3';
const hasTensorBoard = spawnSync(python, ['-c', 'import tensorboard']).status === 0;
const script = `
import json, sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
run = EventAccumulator(sys.argv[1], size_guidance={'scalars': 0, 'histograms': 0, 'tensors': 0})
run.Reload()
print(json.dumps({
  'scalars': {tag: [[e.step, e.value] for e in run.Scalars(tag)] for tag in run.Tags()['scalars']},
  'histograms': {tag: [[e.step, list(e.histogram_value.bucket_limit), list(e.histogram_value.bucket)]
    for e in run.Histograms(tag)] for tag in run.Tags()['histograms']},
  'texts': {tag: [[e.step, e.tensor_proto.string_val[0].decode()] for e in run.Tensors(tag)] for tag in run.Tags()['tensors']},
}))`;

t.test(
  'TensorBoard reads the same values, and of a resumed run each step once',
  { skip: hasTensorBoard ? false : 'needs a Python with tensorboard (set APOLLO_PYTHON)' },
  async (t) => {
    const folder = t.testdir();
    const first = await EventFileWriter.open(folder);
    await first.add(0, [text('settings', table)]);
    for (let step = 1; step <= 9; step++) await first.add(step, [scalar('loss/train', 1 / step)]);
    await first.add(9, [histogram('depth', counts)]);
    await first.close();
    const second = await EventFileWriter.open(folder, { purgeFrom: 7 });
    for (let step = 7; step <= 12; step++) await second.add(step, [scalar('loss/train', 100 + step)]);
    await second.add(12, [histogram('depth', [0, 3])]);
    await second.close();
    const { stdout, stderr, status } = spawnSync(python, ['-c', script, folder], { encoding: 'utf8' });
    t.equal(status, 0, stderr);
    t.strictSame(JSON.parse(stdout), {
      scalars: {
        'loss/train': [
          ...[1, 2, 3, 4, 5, 6].map((step) => [step, Math.fround(1 / step)]),
          ...[7, 8, 9, 10, 11, 12].map((step) => [step, 100 + step]),
        ],
      },
      histograms: { depth: [[12, [1.5], [3]]] },
      texts: { settings: [[0, table]] },
    });
  },
);

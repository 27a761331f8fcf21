import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { basename, join } from 'node:path';
import t from 'tap';
import { run } from '../../../lib/cli/run.js';
import { readEventFile } from '../../../lib/interop/tensorboard-reader.js';
import { type MetricRecord, readMetrics } from '../../../lib/report/metrics.js';
import { engineMissing, memoryIo, temporaryFolder } from '../support.js';
import { tinyConfig } from '../tiny.js';

const skip = engineMissing();
const folder = temporaryFolder();
const config = tinyConfig(folder);

async function metricsOf(runFolder: string): Promise<MetricRecord[]> {
  const records: MetricRecord[] = [];
  for await (const record of readMetrics(join(runFolder, 'metrics.jsonl'))) records.push(record);
  return records;
}

const stepsOf = (records: readonly MetricRecord[], type: MetricRecord['type']) =>
  records.filter((record) => record.type === type).map(({ step }) => step);

/** The fields that do not depend on clock and memory. */
const bits = (records: readonly MetricRecord[]) =>
  records.flatMap((record) => {
    if (record.type === 'step') return [[record.step, record.loss, record.depth, record.flopsModel]];
    return record.type === 'evaluation' ? [[record.step, record.lossFull, record.flopsModel]] : [];
  });

t.test(
  'a comparison that was stopped and resumed has each step once, in metrics and TensorBoard',
  { skip },
  async (t) => {
    const whole = join(folder, 'whole');
    t.equal(await run(['compare', '--config', config, '--out', whole], memoryIo()), 0);
    const out = join(folder, 'cut');
    let steps = 0;
    const io = memoryIo({
      onWrite(written, self) {
        if (written.includes('"type":"step"') && ++steps === 7) self.interrupt();
      },
    });
    const watched = ['--tensorboard', '--checkpoint-every', '2', '--json'];
    t.equal(await run(['compare', '--config', config, '--out', out, ...watched], io), 130);
    t.equal(await run(['compare', '--resume', '--out', out], memoryIo()), 0);
    for (const name of ['scratch-42', 'apollo-42']) {
      const records = await metricsOf(join(out, name));
      t.same(stepsOf(records, 'step'), [1, 2, 3, 4, 5, 6, 7, 8], name);
      t.same(stepsOf(records, 'evaluation'), [0, 2, 4, 6, 8], name);
      t.same(stepsOf(records, 'growth'), stepsOf(await metricsOf(join(whole, name)), 'growth'), name);
      t.same(bits(records), bits(await metricsOf(join(whole, name))), `${name}: the same bits as without a cut`);
      t.match(records[0], { type: 'start', method: name.split('-')[0], seed: 42, resumed: false, layers: 2 });
      t.match(records.at(-1), { type: 'done', complete: true });
      const step = records.find((record) => record.type === 'step');
      t.ok(step?.type === 'step' && step.rssBytes > 2 ** 20 && step.bufferBytes > 0);

      const events = join(out, 'tensorboard', name);
      const files = readdirSync(events).sort();
      t.equal(files.length, 2, 'one file a process');
      const [first, second] = await Promise.all(files.map((file) => readEventFile(join(events, file))));
      const start = second!.find(({ sessionStart }) => sessionStart)!.step;
      const kept = [...first!.filter((event) => event.step < start), ...second!];
      const losses = kept.flatMap(({ step, values }) =>
        values.filter(({ tag }) => tag === 'loss/train').map(({ scalar }) => [step, scalar]),
      );
      t.same(
        losses,
        records.flatMap((record) => (record.type === 'step' ? [[record.step, Math.fround(record.loss!)]] : [])),
      );
      const run = first!.flatMap(({ values }) => values).find(({ tag }) => tag === 'run');
      t.match(run?.text, new RegExp(`\\| method \\| ${name.split('-')[0]} \\|`));
    }
  },
);

const python = process.env['APOLLO_PYTHON'] ?? 'python3';
const hasTensorBoard = spawnSync(python, ['-c', 'import tensorboard']).status === 0;
const script = `
import json, sys
from tensorboard.backend.event_processing.event_multiplexer import EventMultiplexer
all = EventMultiplexer().AddRunsFromDirectory(sys.argv[1])
all.Reload()
print(json.dumps({name: [[e.step for e in all.Scalars(name, 'loss/train')], [e.step for e in all.Scalars(name, 'loss/held_out')]]
  for name in all.Runs()}))`;
t.test(
  'TensorBoard finds the runs and each step once',
  { skip: skip || (hasTensorBoard ? false : 'needs a Python with tensorboard (set APOLLO_PYTHON)') },
  async (t) => {
    const { stdout, stderr } = spawnSync(python, ['-c', script, join(folder, 'cut/tensorboard')], { encoding: 'utf8' });
    const steps = [
      [1, 2, 3, 4, 5, 6, 7, 8],
      [0, 2, 4, 6, 8],
    ];
    t.same(JSON.parse(stdout || '{}'), { 'scratch-42': steps, 'apollo-42': steps }, stderr);
  },
);

t.test('train keeps its metrics in its folder, and TensorBoard files where --tensorboard says', { skip }, async (t) => {
  const out = join(folder, 'train');
  const events = join(folder, 'events');
  const args = ['train', '--config', config, '--out', out, '--tensorboard', events];
  t.equal(await run(args, memoryIo()), 0);
  t.same(stepsOf(await metricsOf(out), 'step'), [1, 2, 3, 4, 5, 6, 7, 8]);
  t.equal(readdirSync(join(events, basename(out), 'apollo-42')).length, 1);
  t.notOk(existsSync(join(out, 'tensorboard')));
  const kept = JSON.parse(readFileSync(join(out, 'settings.json'), 'utf8')) as Record<string, unknown>;
  t.match(kept, { tensorboard: events, dashboard: false });
});

t.test(
  'a dashboard tells its address, ends with the run, and is at the same one after a resume',
  { skip },
  async (t) => {
    const out = join(folder, 'shown');
    const io = memoryIo({
      onWrite(written, self) {
        if (written.startsWith('step 4: held-out')) self.interrupt();
      },
    });
    t.equal(await run(['train', '--config', config, '--out', out, '--dashboard'], io), 130);
    const url = /dashboard: (http:\/\/127\.0\.0\.1:\d+\/)\n/.exec(io.err())?.[1];
    t.ok(url);
    await t.rejects(fetch(url!), 'nobody answers any more');
    const resumed = memoryIo();
    t.equal(await run(['train', '--resume', '--out', out], resumed), 0);
    t.match(resumed.err(), `dashboard: ${url}`);
    const silent = memoryIo();
    t.equal(await run(['train', '--resume', '--out', out, '--dashboard', 'off'], silent), 0);
    t.notMatch(silent.err(), 'dashboard');
  },
);

t.test('--dashboard-keep waits for Ctrl-C, and that is no failure', { skip }, async (t) => {
  let state = '';
  const io = memoryIo({
    async onWrite(written, self) {
      const url = /stays at (http\S+) until/.exec(written)?.[1];
      if (!url) return;
      const { body } = await fetch(`${url}events`);
      const reader = body!.getReader();
      state = Buffer.from((await reader.read()).value!).toString();
      await reader.cancel();
      self.interrupt();
    },
  });
  const args = ['train', '--config', config, '--out', join(folder, 'stays'), '--dashboard', '--dashboard-keep'];
  t.equal(await run(args, io), 0);
  t.match(state, '"state":"finished"');
  t.notMatch(io.err(), 'Stopping');
});

t.test('a port that is taken or invalid is refused before anything starts', async (t) => {
  const other = createServer().listen(0, '127.0.0.1');
  t.teardown(() => other.close());
  await new Promise((done) => other.once('listening', done));
  const { port } = other.address() as AddressInfo;
  const io = memoryIo();
  const args = ['train', '--config', config, '--out', join(folder, 'taken')];
  t.equal(await run([...args, '--dashboard', String(port)], io), 1);
  t.match(io.err(), `apollo-lm: --dashboard: port ${port} is in use.`);
  const wrong = memoryIo();
  t.equal(await run(['train', '--config', config, '--out', join(folder, 'none'), '--dashboard', '99999'], wrong), 1);
  t.match(wrong.err(), /^apollo-lm: --dashboard: .*65535; got 99999\n$/);
});

t.test('logs that cannot be written never end a run: each is said once, and again at the end', { skip }, async (t) => {
  const place = temporaryFolder();
  writeFileSync(join(place, 'file'), 'x');
  for (const command of ['train', 'compare']) {
    const out = join(place, command);
    const runs = command === 'train' ? [out] : ['scratch-42', 'apollo-42'].map((name) => join(out, name));
    // Folders in place of the metrics files, and a file in place of TensorBoard's folder.
    for (const path of runs) mkdirSync(join(path, 'metrics.jsonl', 'inside'), { recursive: true });
    const io = memoryIo();
    const args = ['--config', tinyConfig(place), '--out', out, '--tensorboard', join(place, 'file')];
    t.equal(await run([command, ...args, '--json'], io), 0, io.err());
    const label = command === 'train' ? 'apollo-42' : 'scratch-42';
    const count = (text: string) => io.err().split(text).length - 1;
    t.equal(count(`The metrics of ${label} cannot be written from step 0 on: `), 1, io.err());
    t.equal(count(`The metrics of ${label} lack what came after step 0: `), 1);
    t.equal(count(`TensorBoard's files of ${label} cannot be written from step 0 on: `), 1);
    t.equal(count(`TensorBoard's files of ${label} lack what came after step 0: `), 1);
    const { checkpoint } = JSON.parse(
      io
        .out()
        .split('\n')
        .findLast((line) => line.includes('"type":"done"'))!,
    ) as { checkpoint: string };
    t.match(checkpoint, /step-00000008/);
  }
});

/** A disk of 4 MB; undefined where none may be mounted, as by other users than root. */
function smallDisk(): string | undefined {
  const disk = temporaryFolder();
  const { status } = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=4m', 'tmpfs', disk]);
  return status === 0 ? disk : undefined;
}

const disk = skip ? undefined : smallDisk();

t.test('a full disk', { skip: skip || (disk ? false : 'a small disk cannot be mounted here') }, async (t) => {
  if (disk === undefined) throw new Error('no disk');
  const place = temporaryFolder();
  t.teardown(() => spawnSync('umount', ['-l', disk]));
  const steps = ['--config', tinyConfig(place), '--steps', '12'];

  // TensorBoard's disk runs full within the run: the run on the other disk is complete.
  const fill = (freeBytes: number) => {
    const { bavail, bsize } = statfsSync(disk);
    writeFileSync(join(disk, 'filler'), Buffer.alloc(Math.max(0, bavail * bsize - freeBytes)));
  };
  fill(4096);
  const logged = memoryIo();
  const out = join(place, 'out');
  t.equal(await run(['train', ...steps, '--out', out, '--tensorboard', disk], logged), 0, logged.err());
  t.match(
    logged.err(),
    /TensorBoard's files of apollo-42 cannot be written from step \d+ on: no space is left .*\(ENOSPC\)/,
  );
  t.same(stepsOf(await metricsOf(out), 'step').length, 12);
  rmSync(join(disk, 'filler'));

  // The run's own disk runs full: it says so, and what there is to resume from.
  const full = join(disk, 'run');
  let filled = false;
  const io = memoryIo({
    onWrite(text) {
      if (filled || !text.includes('"type":"checkpoint"')) return;
      filled = true;
      fill(0);
    },
  });
  const every = ['--checkpoint-every', '4', '--json'];
  t.equal(await run(['train', ...steps, '--out', full, ...every, '--tensorboard', 'off'], io), 1);
  t.ok(filled);
  t.match(
    io.out(),
    /CHECKPOINT_FAILED.*checkpoint of step 8 cannot be written: .*no space is left on the disk \(ENOSPC\)/,
  );
  t.match(
    io.err(),
    /^apollo-lm: The checkpoint of step 12 cannot be written: .*\(ENOSPC\).*The last checkpoint is .*step-00000004\./m,
  );
  t.match(io.err(), /Then resume: apollo-lm train --resume --out /);
  t.notMatch(io.err(), /defect/);
  rmSync(join(disk, 'filler'));
  const resumed = memoryIo();
  t.equal(await run(['train', '--resume', '--out', full], resumed), 0, resumed.err());
  t.match(resumed.err(), /resumed from .*step-00000004/);
  t.same(bits(await metricsOf(full)), bits(await metricsOf(out)), 'the same bits as without a full disk');
});

import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import type { MapRecord, MapRun } from '../../bench/acceleration/map/record.js';
import { finishedRun, type MapContext, makeRun, openMapCorpus, sourceOf } from '../../bench/acceleration/map/run.js';
import { measureTimes, readTimes, timesTable, writeTimes } from '../../bench/acceleration/map/times.js';
import { openDevice } from '../../lib/engine/index.js';

t.test('runs of the map', async (t) => {
  const folder = t.testdir();
  const data = [join(import.meta.dirname, '../../data/sample/shelley-frankenstein.txt.gz')];
  const { signal } = new AbortController();
  const causal = await openMapCorpus('causal', { data, cacheDir: join(folder, 'cache'), signal });
  t.teardown(() => causal.close());
  const device = await openDevice({ kind: 'cpu', threads: 1 });
  t.teardown(() => device.close());
  const work = join(folder, 'work');
  const context = { device, precision: 'f32', corpora: { causal, masked: causal }, work, signal } as const;
  const lines: string[] = [];
  const make = (run: MapRun, changes: Partial<MapContext> = {}) =>
    makeRun(run, { ...context, say: (line) => lines.push(line), ...changes });
  const run: MapRun = {
    ...{ arm: 'apollo', kind: 'gpt', steps: 8, rate: 1e-3, schedule: 'wsd', optimizer: 'adamw', seed: 1, warmup: 1 },
  };

  await t.test('the loss of the trained layers alone is kept while they are fewer than all', async (t) => {
    const record = await make(run);
    // 1, 3, 6 and 12 layers from steps 0, 0.4, 0.8 and 2 on.
    const shallow = record?.curve.filter(({ stageLoss }) => stageLoss !== undefined) ?? [];
    t.same(
      shallow.map(({ step }) => step),
      [0, 1, 2],
      'the evaluation of step 2 is before the growth',
    );
    t.not(shallow[0]?.stageLoss, shallow[0]?.loss);
    t.equal(record?.curve.at(-1)?.loss, record?.loss);
    t.notOk(existsSync(join(work, record?.id ?? '')));
    t.same(await make(run), record, 'read from its record');
  });

  await t.test(
    'a method that starts from the smaller model has it trained first, and its FLOPs are counted',
    async (t) => {
      const wide = { ...run, arm: 'bert2bert' } as const;
      const record = await make(wide);
      const small = finishedRun(sourceOf(wide) as MapRun, work);
      t.equal(small?.steps, 2);
      const scratch = await make({ ...run, arm: 'scratch' });
      t.equal(record?.flops, (scratch?.flops ?? 0) + (small?.flops ?? 0));
      t.equal(record?.flopsLayers, (scratch?.flopsLayers ?? 0) + (small?.flopsLayers ?? 0));
      t.equal(record?.curve.at(-1)?.flops, record?.flops);
      t.not(record?.loss, scratch?.loss);
      const checkpoints = join(work, small?.id ?? '', 'checkpoints');
      rmSync(checkpoints, { recursive: true });
      t.ok(await make({ ...wide, seed: 4 }), 'another seed has its own');
      rmSync(join(work, `${record?.id}.json`));
      t.match(await make(wide), { loss: record?.loss, flops: record?.flops });
      t.equal(record?.processor, device.info().name);
      t.ok(existsSync(checkpoints), 'the smaller model is trained again where its record alone is there');
    },
  );

  await t.test('a run that is stopped has no record, and is resumed to the same end', async (t) => {
    const stop = new AbortController();
    const stopped = { ...run, arm: 'stackbert', seed: 2 } as const;
    const say = (line: string) => {
      if (line.includes('step 3,')) stop.abort();
    };
    t.equal(await make(stopped, { signal: stop.signal, say }), undefined);
    t.equal(finishedRun(stopped, work), undefined);
    const resumed = await make(stopped);
    t.ok(lines.some((line) => /stackbert.*resumes at step [34]$/.test(line)));
    const { trainMs: _, ...whole } = (await make(stopped, { work: join(folder, 'other') })) ?? {};
    t.match(resumed, whole);
  });

  await t.test(
    'a run of which a longer one has the beginning is a decay of that one, with the same bits',
    async (t) => {
      const scratch = { ...run, arm: 'scratch', steps: 20, seed: 3 } as const;
      const whole = await make(scratch);
      const short = { ...scratch, steps: 10 };
      lines.length = 0;
      const decay = await make(short);
      t.match(lines[0], /gpt-10-scratch-.*: resumes at step 8$/);
      const { trainMs, curve, ...alone } = (await make(short, { work: join(folder, 'alone') })) as MapRecord;
      t.match(decay, alone);
      t.same(decay?.curve.slice(-2), curve.slice(-2), 'of the decay');
      t.same(
        decay?.curve.slice(0, -2),
        whole?.curve.filter(({ step }) => step <= 8),
        'of the longer run',
      );
    },
  );

  await t.test('times: every arm trains in every round, and the table compares its time with its FLOPs', async (t) => {
    const arms = { gpt: [['scratch', 'adamw'] as const, ['stack-mid', 'muon'] as const], bert: [], llama: [] };
    const size = { kinds: ['gpt'] as const, steps: 20, rounds: 2, arms };
    const times = await measureTimes(size, { ...context, say: (line) => lines.push(line) });
    t.same(
      times.map(({ arm, runs }) => [arm, runs.length]),
      [
        ['scratch', 2],
        ['stack-mid', 2],
      ],
    );
    const [scratch, grown] = times.map(({ runs }) => runs[0]!);
    t.ok(scratch!.ms > 0 && grown!.ms > 0);
    t.equal(scratch!.flopsWithUpdates, scratch!.flops);
    t.ok(grown!.flops < scratch!.flops && grown!.flopsWithUpdates > grown!.flops);
    writeTimes(folder, { format: 'apollo-lm/map-times/1', about: {}, steps: 20, arms: times });
    const table = timesTable(readTimes(folder)!, 'gpt') ?? '';
    t.match(table, /\| scratch \| *[\d.]+ ms \| *- \|/);
    t.match(table, /\| stack-mid \+ muon \| *[\d.]+ ms \| *[\d.]+ % \([\d.]+ % to [\d.]+ %\) \|/);
    t.equal(timesTable(readTimes(folder)!, 'bert'), undefined);
    await t.rejects(measureTimes(size, { ...context, say: () => {}, signal: AbortSignal.abort() }), {
      code: 'ABORT_ERR',
    });
  });
});

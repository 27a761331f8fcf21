import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import {
  type AnnealEvent,
  anneal,
  annealFolder,
  branchSteps,
  type CheckpointFolder,
  endSteps,
  latestCheckpoint,
} from '../../lib/train/index.js';
import {
  comparable,
  contentsOf,
  countingCorpus,
  openTinyDevice,
  runTiny,
  tinyMethod,
  tinyModel,
  tinyOptions,
} from './tiny.js';

const device = await openTinyDevice();
t.teardown(() => device.close());

const trunkOptions = { ...tinyOptions, schedule: 'constant' as const, warmupSteps: 2 };
const deps = { device, model: tinyModel, method: tinyMethod(), corpus: countingCorpus };

const contentsIn = async (directory: string) => {
  const latest = await latestCheckpoint(directory);
  return contentsOf(device, (latest as CheckpointFolder).path);
};

async function annealAll(options: Parameters<typeof anneal>[1], folders: { trunk: string; out: string }) {
  const events: AnnealEvent[] = [];
  for await (const event of anneal(trunkOptions, options, { ...deps, ...folders })) events.push(event);
  return events;
}

t.test('end-points and where their decays start', (t) => {
  t.same(endSteps(8000, [1, 0.25, 2000, 0.5]), [2000, 4000, 8000]);
  t.same(branchSteps(8000, { at: [0.25, 1] }), [1600, 6400]);
  t.same(branchSteps(100, { at: [50], decay: 0.1 }), [45]);
  for (const at of [0, -1, 1.5, 8001, Number.NaN]) {
    t.throws(() => endSteps(8000, [at]), { code: 'BAD_ARGUMENT' }, String(at));
  }
  t.end();
});

t.test('a budget of the run is behind its decays', async (t) => {
  const dir = t.testdir();
  const [trunk, out] = [join(dir, 'trunk'), join(dir, 'anneal')];
  const stopped = { ...trunkOptions, keepAt: [6], stopAfter: { steps: 8 } };
  await runTiny(device, stopped, { checkpointDir: trunk });
  const events: AnnealEvent[] = [];
  for await (const event of anneal(stopped, { at: [10], decay: 0.4 }, { ...deps, trunk, out })) events.push(event);
  t.match(events.at(-1), { end: 10, event: { type: 'done', step: 10, aborted: false } });
});

t.test('a decay from a kept checkpoint equals the run that decayed there from the start', async (t) => {
  const dir = t.testdir();
  const trunk = join(dir, 'trunk');
  const out = join(dir, 'anneal');
  const keepAt = branchSteps(24, { at: [10, 1], decay: 0.4 });
  t.same(keepAt, [6, 14], 'one is the step of a growth');
  await runTiny(device, { ...trunkOptions, keepAt }, { checkpointDir: trunk });
  t.same((await readdir(trunk)).sort(), ['step-00000006', 'step-00000014', 'step-00000024']);
  const events = await annealAll({ at: [10, 1], decay: 0.4 }, { trunk, out });
  for (const end of [10, 24]) {
    const whole = join(dir, `whole-${end}`);
    await runTiny(device, { ...trunkOptions, anneal: { end, share: 0.4 } }, { checkpointDir: whole });
    t.same(
      await contentsIn(join(out, annealFolder(end))),
      await contentsIn(whole),
      `weights and moments of the end-point at ${end}`,
    );
    const own = events.filter((event) => event.end === end).map(({ event }) => event);
    t.match(own[0], { type: 'start', step: end === 10 ? 6 : 14 });
    t.match(own.at(-1), { type: 'done', step: end, aborted: false });
    const last = own.findLast((event) => event.type === 'step');
    t.ok(last?.type === 'step' && last.learningRate < trunkOptions.learningRate! * 0.3, 'the rate has fallen');
  }
  t.same(await readdir(join(trunk)), ['step-00000006', 'step-00000014', 'step-00000024'], 'the run is untouched');

  const again = await annealAll({ at: [10, 1], decay: 0.4 }, { trunk, out });
  t.same(
    again.filter(({ event }) => event.type === 'step'),
    [],
    'what is complete is not trained again',
  );
});

t.test('an earlier checkpoint gives the same bits; one that is too late is refused', async (t) => {
  const dir = t.testdir();
  const trunk = join(dir, 'trunk');
  await runTiny(device, { ...trunkOptions, keepAt: [4, 16] }, { checkpointDir: trunk });
  await annealAll({ at: [12], decay: 0.25 }, { trunk, out: join(dir, 'from-4') });
  const whole = join(dir, 'whole');
  await runTiny(device, { ...trunkOptions, anneal: { end: 12, share: 0.25 } }, { checkpointDir: whole });
  t.same(await contentsIn(join(dir, 'from-4', annealFolder(12))), await contentsIn(whole));
  await t.rejects(annealAll({ at: [4], decay: 0.25 }, { trunk, out: join(dir, 'late') }), {
    code: 'BAD_CHECKPOINT',
    message: /needs a checkpoint of step 3 or earlier; .* has: 4, 16, 24\. .*--keep-at 3/,
  });
});

t.test('a decay that was cut resumes to the same bits', async (t) => {
  const dir = t.testdir();
  const trunk = join(dir, 'trunk');
  await runTiny(device, { ...trunkOptions, keepAt: [8] }, { checkpointDir: trunk });
  const options = { at: [16], decay: 0.5 };
  await annealAll(options, { trunk, out: join(dir, 'whole') });
  const stop = new AbortController();
  for await (const { event } of anneal(trunkOptions, options, {
    ...deps,
    trunk,
    out: join(dir, 'cut'),
    signal: stop.signal,
  })) {
    if (event.type === 'step' && event.step === 11) stop.abort();
  }
  const resumed = await annealAll(options, { trunk, out: join(dir, 'cut') });
  const { event: start } = resumed[0]!;
  t.match(start, { type: 'start' });
  t.ok(start.step === 11 || start.step === 12, `cut at step ${start.step}: step 12 was under way`);
  t.same(await contentsIn(join(dir, 'cut', annealFolder(16))), await contentsIn(join(dir, 'whole', annealFolder(16))));
});

t.test('only a constant rate can be annealed, and only by a run with the same settings', async (t) => {
  const dir = t.testdir();
  const cosine = runTiny(device, { anneal: { end: 12 } });
  await t.rejects(cosine, { code: 'BAD_CONFIG', message: /constant learning rate; got schedule cosine/ });
  const late = runTiny(device, { schedule: 'wsd', anneal: { end: 24, share: 0.1 } });
  await t.rejects(late, { code: 'BAD_CONFIG', message: /that of the constant rate \(step 19\)/ });
  await runTiny(device, { ...trunkOptions, keepAt: [8] }, { checkpointDir: join(dir, 'trunk') });
  const other = { ...trunkOptions, learningRate: 1e-3, anneal: { end: 12 } };
  const [folder] = await readdir(join(dir, 'trunk'));
  await t.rejects(runTiny(device, other, { branchFrom: join(dir, 'trunk', folder as string) }), {
    code: 'BAD_CONFIG',
    message: /learningRate: 0.001, was 0.003/,
  });
  await t.rejects(runTiny(device, other, { branchFrom: join(dir, 'trunk') }), {
    code: 'BAD_CHECKPOINT',
    message: /There is no checkpoint in .*trunk\. The newest below it is .*step-00000024/,
  });
});

t.test('wsd in one run equals a constant run that is annealed at its end', async (t) => {
  const comparableWith = async (options: Parameters<typeof runTiny>[1]) =>
    comparable(await runTiny(device, { ...trunkOptions, ...options }));
  t.same(
    await comparableWith({ schedule: 'wsd', decay: { share: 0.25 } }),
    await comparableWith({ anneal: { end: 24, share: 0.25 } }),
  );
});

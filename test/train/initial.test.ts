import { cp, mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { ParameterStore } from '../../lib/engine/index.js';
import { apollo, createMethod, pld, scratch, stackbert, type TrainingMethod } from '../../lib/methods/index.js';
import { createModel } from '../../lib/models/index.js';
import { digestOf } from '../../lib/train/checkpoint/digest.js';
import { openModelFolder } from '../../lib/train/checkpoint/model-folder.js';
import {
  exportModel,
  readCheckpointState,
  type TrainDependencies,
  type TrainEvent,
  type TrainOptions,
} from '../../lib/train/index.js';
import { contentsOf, openTinyDevice, runTiny, tinyModel } from './tiny.js';

const device = await openTinyDevice();
t.teardown(() => device.close());

const common = { layers: 4, totalSteps: 24, seed: 5 };
const quiet = { evaluateEvery: 0 };

/** Runs of the tiny model: to the end, and in the middle of Apollo's second stage (2 of 4 layers), each exported too. */
const root = t.testdirName;
t.testdir();
const whole = join(root, 'whole');
const growing = join(root, 'growing');
await runTiny(device, quiet, { checkpointDir: whole });
await runTiny(device, { ...quiet, stopAfter: { steps: 8 } }, { checkpointDir: growing });
const shallow = join(root, 'shallow');
await exportModel(growing, shallow, { depth: 'stored' });

/** The weights with which a run begins, by name. */
async function begin(init: string, method: TrainingMethod, deps: Partial<TrainDependencies> = {}) {
  const store = new ParameterStore(device, { precision: 'f32' });
  const values = new Map<string, Float32Array>();
  const events = await runTiny(device, { ...quiet, stopAfter: { steps: 0 } }, { init, method, store, ...deps });
  for (const name of store.names()) values.set(name, await store.read(name));
  store.dispose();
  return { values, events };
}

async function weightsOf(path: string): Promise<Map<string, Float32Array>> {
  await using folder = await openModelFolder(path);
  const values = new Map<string, Float32Array>();
  for (const { name } of createModel(folder.config).parameters(folder.layers))
    values.set(name, await folder.read(name));
  return values;
}

t.test('a method of full depth starts from a model of full depth', async (t) => {
  for (const method of [scratch(common), pld(common)]) {
    const { values, events } = await begin(whole, method);
    t.same(values, await weightsOf(whole), method.name);
    t.equal(events.find((event) => event.type === 'start')?.source, undefined, 'its cost is no cost of the method');
  }
  const { values } = await begin(growing, scratch(common));
  const stored = await weightsOf(growing);
  for (const [place, layer] of [0, 0, 1, 1].entries()) {
    const name = 'ffn.up.weight';
    t.same(values.get(`layer.${place}.${name}`), stored.get(`layer.${layer}.${name}`), 'a growing one is expanded');
  }
});

t.test('a growing method starts from a shallower model, its first stage', async (t) => {
  const stored = await weightsOf(growing);
  for (const method of [
    apollo({ ...common, stageLayers: [2, 4], boundaries: { steps: [6] } }),
    stackbert({ ...common, stageLayers: [2, 4], boundaries: { steps: [6] } }),
  ]) {
    t.same((await begin(growing, method)).values, stored, method.name);
    t.same((await begin(shallow, method)).values, stored, `${method.name}, from a Hugging Face folder`);
  }
  const events: TrainEvent[] = await runTiny(
    device,
    {},
    { init: shallow, method: apollo({ ...common, stageLayers: [2, 4], boundaries: { steps: [6] } }) },
  );
  t.match(
    events.filter((event) => event.type === 'growth'),
    [{ step: 6, from: 2, to: 4 }],
  );
  const losses = events.flatMap((event) => (event.type === 'evaluation' ? [event.lossFull] : []));
  const random = await runTiny(device, {});
  const first = random.find((event) => event.type === 'evaluation');
  t.ok((losses[0] as number) < (first?.lossFull as number) - 0.1, 'it begins below a random model');
  t.ok((losses.at(-1) as number) < (losses[0] as number), 'and learns');
});

t.test('a model that does not fit is refused with what would', async (t) => {
  const refuses = (init: string, method: TrainingMethod, message: RegExp, deps: Partial<TrainDependencies> = {}) =>
    t.rejects(begin(init, method, deps), { code: 'BAD_CONFIG', message });
  await refuses(
    whole,
    apollo(common),
    /init: the model in .* has 4 layers; apollo starts from 1\..*its setting "stageLayers"/,
  );
  await refuses(shallow, scratch(common), /has 2 layers; scratch starts from 4/);
  const wider = createModel({ ...tinyModel.config, hidden: 64, maxPositions: 32 });
  await refuses(
    whole,
    scratch(common),
    /has hidden 32, maxPositions 16; scratch starts from hidden 64, maxPositions 32/,
    {
      model: wider,
    },
  );
  const net2net = createMethod(
    'net2net',
    { ...common, small: { layers: 2, hidden: 32, heads: 2, ffn: 128 }, source: shallow },
    { model: tinyModel.config },
  );
  await refuses(
    whole,
    net2net,
    /net2net computes its first weights from a smaller model, which its setting "source" names/,
  );
  await t.rejects(begin(join(root, 'none'), scratch(common)), { code: 'BAD_CHECKPOINT', message: /no such folder/ });
});

t.test('a digest names weights and map, not files', async (t) => {
  const digest = async (path: string) => {
    await using folder = await openModelFolder(path);
    return await digestOf(folder);
  };
  const exported = join(root, 'exported');
  await exportModel(whole, exported, { shardBytes: 10_000 });
  t.match(await digest(whole), /^[0-9a-f]{64}$/);
  t.equal(await digest(exported), await digest(whole));
  t.not(await digest(growing), await digest(whole));
  t.not(await digest(growing), await digest(shallow), 'the same weights through another map');
  const rounded = join(root, 'rounded');
  await exportModel(whole, rounded, { dtype: 'bf16' });
  t.not(await digest(rounded), await digest(whole));
});

t.test('a run resumes only with the initial model that it started from, wherever that is now', async (t) => {
  const method = scratch(common);
  const init = join(root, 'moved');
  await exportModel(whole, init);
  const run = async (checkpointDir: string, options: Partial<TrainOptions>, deps: Partial<TrainDependencies>) =>
    runTiny(device, { ...quiet, ...options }, { method, checkpointDir, resume: 'auto', ...deps });
  const uncut = join(root, 'uncut');
  await run(uncut, {}, { init });
  const cut = join(root, 'cut');
  await run(cut, { stopAfter: { steps: 10 } }, { init });
  const { identity } = await readCheckpointState(join(cut, 'step-00000010'));
  t.match(identity['begins'], /^[0-9a-f]{64}$/);
  t.notMatch(JSON.stringify(identity), root, 'no path');

  const refuses = (deps: Partial<TrainDependencies>, message: RegExp) =>
    t.rejects(run(cut, {}, deps), { code: 'BAD_CONFIG', message });
  await refuses({ init: growing }, /begins: "[0-9a-f]{64}", was "[0-9a-f]{64}"/);
  await refuses({}, /begins: absent, was "[0-9a-f]{64}"/);
  const randomly = join(root, 'randomly');
  await run(randomly, { stopAfter: { steps: 2 } }, {});
  await t.rejects(run(randomly, {}, { init }), { code: 'BAD_CONFIG', message: /begins: "[0-9a-f]{64}", was absent/ });

  const elsewhere = join(root, 'elsewhere');
  await cp(init, elsewhere, { recursive: true });
  await rm(init, { recursive: true });
  await run(cut, { stopAfter: { steps: 16 } }, { init: elsewhere });
  await run(cut, { stopAfter: { steps: 18 } }, { init }); // gone: the checkpoint's word is taken
  await mkdir(join(init, 'checkpoints'), { recursive: true });
  await run(cut, { stopAfter: { steps: 20 } }, { init }); // the folder is there, and no model in it
  await writeFile(join(init, 'config.json'), '{}');
  await t.rejects(run(cut, {}, { init }), { code: 'BAD_CHECKPOINT' }, 'a model that cannot be read is no missing one');
  await rm(join(init, 'config.json'));
  await run(cut, {}, { init });
  t.equal(
    await contentsOf(device, join(cut, 'step-00000024')),
    await contentsOf(device, join(uncut, 'step-00000024')),
    'the bits of the uncut run',
  );
});

t.test("a method's source is named by what it is, too", async (t) => {
  const make = (source: string) =>
    createMethod(
      'net2net',
      { ...common, small: { layers: 2, hidden: 32, heads: 2, ffn: 128 }, source },
      { model: tinyModel.config },
    );
  const here = join(root, 'here');
  await cp(shallow, here, { recursive: true });
  const checkpointDir = join(root, 'net2net');
  const events = await runTiny(device, { ...quiet, stopAfter: { steps: 2 } }, { method: make(here), checkpointDir });
  t.equal(events.find((event) => event.type === 'start')?.sourceUnknown, true);
  t.match(
    events.find((event) => event.type === 'warning'),
    { code: 'BEGINS_WITH', message: /The training cost of the model in .*here is unknown/ },
  );
  await rm(here, { recursive: true });
  const again = { method: make(shallow), checkpointDir, resume: true };
  const resumed = await runTiny(device, { ...quiet, stopAfter: { steps: 4 } }, again);
  t.match(resumed[0], { type: 'start', step: 2, sourceUnknown: true });
  t.notOk(
    resumed.some((event) => event.type === 'warning'),
    'said once',
  );
});

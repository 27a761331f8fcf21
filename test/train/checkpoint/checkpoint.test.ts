import { cp, readFile, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { optimizerState, ParameterStore } from '../../../lib/engine/index.js';
import { createModel, declareParameters, initialiseParameters } from '../../../lib/models/index.js';
import {
  damageOf,
  loadCheckpoint,
  modelConfigOf,
  readCheckpointState,
  type StateToWrite,
  saveCheckpoint,
  verifyFile,
} from '../../../lib/train/checkpoint/checkpoint.js';
import { adamwMoments, momentsOf } from '../../moments.js';
import { openTinyDevice, tinyModel } from '../tiny.js';

const device = await openTinyDevice();
t.teardown(() => device.close());

const state: StateToWrite = {
  step: 7,
  stage: { index: 1, trainedLayers: 2 },
  layerMap: [0, 0, 1, 1],
  identity: { seed: 1, model: tinyModel.config },
  totals: { tokens: 1024, flopsModel: 2 ** 60, flopsExecuted: 123, trainMs: 4.5 },
  nonFiniteSteps: 2,
  evaluated: true,
  device: { kind: 'cpu', threads: 2 },
};

/** A store that keeps AdamW's state. */
function adamwStore(): ParameterStore {
  const store = new ParameterStore(device, { precision: 'f32' });
  store.keepState(optimizerState('adamw'));
  return store;
}

async function filledStore(trainedLayers = 2): Promise<ParameterStore> {
  const store = adamwStore();
  await initialiseParameters(store, tinyModel, trainedLayers, 3);
  for (const [i, name] of store.names().entries()) {
    const value = await store.read(name);
    // A pattern with the hard cases: -0, a denormal, the largest number.
    const m = value.map((x, k) => (k === 0 ? -0 : x / 3));
    const v = value.map((x, k) => (k === 0 ? 1e-42 : k === 1 ? 3.4028234663852886e38 : x * x));
    await store.writeMoments(name, momentsOf({ m, v, count: i }));
  }
  return store;
}

t.test('what is saved is what is loaded, to the bit', async (t) => {
  const store = await filledStore();
  const folder = await saveCheckpoint(t.testdir(), store, state);
  const again = adamwStore();
  const loaded = await loadCheckpoint(folder, again, tinyModel.parameters(2));
  t.match(loaded, state);
  t.same(modelConfigOf(loaded), tinyModel.config);
  t.same(again.names(), store.names());
  const bits = (values: Float32Array) =>
    Buffer.from(values.buffer, values.byteOffset, values.byteLength).toString('base64');
  for (const name of store.names()) {
    const [a, b] = [adamwMoments(await store.moments(name)), adamwMoments(await again.moments(name))];
    t.equal(bits(await again.read(name)), bits(await store.read(name)), name);
    t.same([bits(b.m), bits(b.v), b.count], [bits(a.m), bits(a.v), a.count], name);
  }
  for (const each of [store, again]) each.dispose();
});

t.test('every kind of damage is named', async (t) => {
  const dir = t.testdir();
  const store = await filledStore();
  const whole = await saveCheckpoint(join(dir, 'whole'), store, state);
  const load = async (damage: (folder: string) => Promise<unknown>) => {
    const folder = join(dir, 'damaged');
    await rm(folder, { recursive: true, force: true });
    await cp(whole, folder, { recursive: true });
    await damage(folder);
    const target = adamwStore();
    try {
      const { stage } = await readCheckpointState(folder);
      await loadCheckpoint(folder, target, tinyModel.parameters(stage.trainedLayers));
    } finally {
      target.dispose();
    }
  };
  const edit = (change: (state: Record<string, unknown>) => void) => async (folder: string) => {
    const path = join(folder, 'state.json');
    const value = JSON.parse(await readFile(path, 'utf8'));
    change(value);
    await writeFile(path, JSON.stringify(value));
  };
  const flip = (file: string, position: number) => async (folder: string) => {
    const bytes = await readFile(join(folder, file));
    bytes[position] = (bytes[position] as number) ^ 1;
    await writeFile(join(folder, file), bytes);
  };
  const fails = (damage: (folder: string) => Promise<unknown>, message: RegExp) =>
    t.rejects(load(damage), { code: 'BAD_CHECKPOINT', message });
  await t.resolves(load(async () => {}));
  await fails(
    (folder) => rm(join(folder, 'state.json')),
    /is damaged: state\.json cannot be read .*Use an older checkpoint/,
  );
  await fails(
    (folder) => writeFile(join(folder, 'state.json'), '{"formatVersion": 1, "step"'),
    /state\.json cannot be read/,
  );
  await fails((folder) => writeFile(join(folder, 'state.json'), 'null'), /state\.json is not complete/);
  await fails(
    edit((value) => delete value['totals']),
    /state\.json is not complete \(totals: /,
  );
  await fails(
    edit((value) => (value['formatVersion'] = 2)),
    /has format version 2; this version of the package reads 1/,
  );
  await fails((folder) => rm(join(folder, 'model.safetensors')), /model\.safetensors cannot be read/);
  await fails(
    (folder) => truncate(join(folder, 'model.safetensors'), 1000),
    /model\.safetensors has 1000 bytes, \d+ were written/,
  );
  await fails((folder) => truncate(join(folder, 'optimizer.safetensors'), 0), /optimizer\.safetensors has 0 bytes/);
  await fails(flip('optimizer.safetensors', 20_000), /contents of optimizer\.safetensors do not match their checksum/);
  await fails(flip('model.safetensors', 5), /contents of model\.safetensors do not match/);
  await fails(
    edit((value) => delete (value['counts'] as Record<string, number>)['layer.1.ffn.up.weight']),
    /no step count for "layer\.1\.ffn\.up\.weight"/,
  );
  await fails(
    edit((value) => (value['stage'] = { index: 2, trainedLayers: 4 })),
    /tensor "layer\.2\..*" is missing/,
  );
  await t.rejects(readCheckpointState(join(dir, 'nowhere')), {
    code: 'BAD_CHECKPOINT',
    message: /There is no checkpoint in .*nowhere\. Give the folder/,
  });
  await t.rejects(readCheckpointState(join(dir, 'whole')), {
    code: 'BAD_CHECKPOINT',
    message: new RegExp(`There is no checkpoint in .*whole\\. The newest below it is ${whole}\\.`),
  });
  store.dispose();
});

t.test('a checkpoint of another model does not load', async (t) => {
  const store = await filledStore();
  const folder = await saveCheckpoint(t.testdir(), store, state);
  const wider = createModel({ ...tinyModel.config, ffn: 64 });
  const target = adamwStore();
  await t.rejects(loadCheckpoint(folder, target, wider.parameters(2)), {
    code: 'BAD_CHECKPOINT',
    message: /has shape \[32, 128\]; expected \[32, 64\]/,
  });
  t.ok(declareParameters(target, wider, 2).length > 0);
  for (const each of [store, target]) each.dispose();
});

t.test('a file that the system cannot open is no damage', async (t) => {
  const store = await filledStore();
  const folder = await saveCheckpoint(t.testdir(), store, state);
  store.dispose();
  for (const file of ['model.safetensors', 'state.json']) {
    await rm(join(folder, file));
    await symlink(file, join(folder, file)); // ELOOP, which stands for EMFILE and EACCES
    const error = await readCheckpointState(folder)
      .then((read) => verifyFile(folder, file, read))
      .catch((error) => error);
    t.match(error, { code: 'FILE_SYSTEM', message: new RegExp(`The checkpoint cannot be read: .*${file}: .*ELOOP`) });
    t.equal(await damageOf(folder), undefined, 'it may be whole');
  }
});

t.test('old names are read as current ones, but those of others are theirs', async (t) => {
  const store = await filledStore();
  const identity = (name: string, kind: string) => ({
    seed: 1,
    accumulate: 2,
    method: { name, lr: 0.1, units: [1, 2] },
    model: { ...tinyModel.config, kind, vocab: 13 },
  });
  for (const [name, kind, expected] of [
    ['apollo', 'gpt', { method: { learningRate: 0.1, stageLayers: [1, 2] }, model: { vocabSize: 13 } }],
    ['mine', 'own', { method: { lr: 0.1, units: [1, 2] }, model: { vocab: 13 } }],
  ] as const) {
    const folder = await saveCheckpoint(t.testdir(), store, { ...state, identity: identity(name, kind) });
    const read = await readCheckpointState(folder);
    t.match(read.identity, { accumulation: 2, ...expected });
    t.same(Object.keys(read.counts).sort(), store.names().sort());
  }
  store.dispose();
});

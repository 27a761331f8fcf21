import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { createMethod, type MethodName } from '../../../lib/methods/index.js';
import { loadModel, type TrainEvent, train } from '../../../lib/train/index.js';
import { testDevice } from '../../device.js';
import { countingCorpus, tinyModel, tinyOptions } from '../tiny.js';

const device = await testDevice({ threads: 1 });
t.teardown(() => device.close());

const options = { ...tinyOptions, accumulation: 1, evaluateEvery: 24 };
const grown = { layers: 4, totalSteps: 24, seed: 5, stageLayers: [2, 4], boundaries: { steps: [8] } };

/** The loss of the last evaluation of a run that stops at step 12, and the folder of its checkpoints. */
async function stopped(folder: string, name: MethodName, settings: object) {
  const method = createMethod(name, settings as never, { model: tinyModel.config });
  const checkpointDir = join(folder, name);
  const deps = { device, model: tinyModel, method, corpus: countingCorpus, checkpointDir };
  let loss = Number.NaN;
  for await (const event of train({ ...options, stopAfter: { steps: 12 } }, deps)) {
    if (event.type === 'evaluation') loss = event.lossFull;
  }
  return { loss, checkpointDir };
}

/** The loss of the model in a folder, before it is trained. */
async function lossOf(init: string): Promise<number> {
  const method = createMethod('scratch', { layers: 4, totalSteps: 24, seed: 5 });
  const events: TrainEvent[] = [];
  const deps = { device, model: tinyModel, method, corpus: countingCorpus, init };
  for await (const event of train({ ...options, stopAfter: { steps: 1 } }, deps)) events.push(event);
  return (events.find(({ type }) => type === 'evaluation') as { lossFull: number }).lossFull;
}

t.test('a model with partly open branches is loaded as the function that the run evaluates', async (t) => {
  for (const [name, settings] of [
    ['stackbert', { ...grown, gate: { share: 0.5 } }],
    ['prores', { layers: 4, totalSteps: 24, seed: 5, ramp: 0.9 }],
  ] as const) {
    const { loss, checkpointDir } = await stopped(t.testdir(), name, settings);
    const state = JSON.parse(readFileSync(join(checkpointDir, 'step-00000012', 'state.json'), 'utf8'));
    t.ok(
      state.gates.branchScales.some((scale: number) => scale > 0 && scale < 1),
      name,
    );
    t.ok(Math.abs((await lossOf(checkpointDir)) - loss) < 1e-5, `${name}: ${await lossOf(checkpointDir)}, ${loss}`);
    const { warnings, dispose } = await loadModel(device, checkpointDir);
    t.notOk(warnings.some((warning) => warning.includes('gates')));
    dispose();
  }
});

t.test('gates of whole layers give a warning, which an open gate does not', async (t) => {
  const { checkpointDir } = await stopped(t.testdir(), 'stackbert', { ...grown, gate: { share: 0.5 } });
  const path = join(checkpointDir, 'step-00000012', 'state.json');
  const { gates: _, ...state } = JSON.parse(readFileSync(path, 'utf8'));
  const opened = async () => {
    const { warnings, dispose } = await loadModel(device, checkpointDir);
    dispose();
    return warnings;
  };
  const withGates = (blockGates: readonly number[]) =>
    writeFileSync(path, JSON.stringify({ ...state, gates: { blockGates } }));
  withGates([1, 1, 0.25, 0.25]);
  t.match(await opened(), [/was written while new layers were entering behind gates/]);
  withGates([1, 1, 1, 1]);
  t.same(await opened(), []);
});

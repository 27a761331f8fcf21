/** Corpora, methods, objectives and callbacks of a host program: what they give is checked, with one clear message. */
import { join } from 'node:path';
import t from 'tap';
import { mean, ParameterStore } from '../../lib/engine/index.js';
import { compare, createTrainer, type TrainDependencies, type TrainOptions } from '../../lib/index.js';
import { anneal } from '../../lib/train/index.js';
import { countingCorpus, openTinyDevice, runTiny, tinyMethod, tinyModel, tinyOptions } from './tiny.js';

const device = await openTinyDevice();
t.teardown(() => device.close());

const short: Partial<TrainOptions> = { accumulation: 1, stopAfter: { steps: 8 } };
/** As from JavaScript, where types refuse nothing. */
const run = (deps: object, options = short) => runTiny(device, options, deps as Partial<TrainDependencies>);
const withCorpus = (parts: object) => run({ corpus: { ...countingCorpus, ...parts } });
const withMethod = (parts: object) => run({ method: { ...tinyMethod(), ...parts } });

t.test('a corpus has all that the loop asks for', async (t) => {
  for (const [part, got] of [
    ['key', 'must be a string'],
    ['shape', 'must be a function'],
    ['batch', 'must be a function'],
    ['heldOutCount', 'must be a function'],
    ['heldOut', 'must be a function'],
  ] as const) {
    const corpus = { ...countingCorpus, [part]: undefined };
    const expected = { code: 'BAD_ARGUMENT', message: new RegExp(`corpus\\.${part} ${got}; got undefined`) };
    const deps = { device, model: tinyModel, method: tinyMethod(), corpus };
    await t.rejects(createTrainer(tinyOptions, deps as never), expected, part);
    await t.rejects(run({ corpus }), expected, part);
    const all = { ...tinyOptions, ...deps, methods: ['scratch'], folder: t.testdir() };
    t.throws(() => compare(all as never), expected, part);
  }
});

t.test('the number of held-out batches is a number', async (t) => {
  for (const [count, shown] of [
    [undefined, 'undefined'],
    [Number.NaN, 'NaN'],
    [-1, '-1'],
    [1.5, '1\\.5'],
    [Promise.resolve(2), 'an object of class Promise'],
  ] as const) {
    await t.rejects(withCorpus({ heldOutCount: () => count }), {
      code: 'BAD_CORPUS',
      message: new RegExp(`heldOutCount of the corpus must return .*; got ${shown}\\.`),
    });
  }
});

t.test('a batch is an object of arrays', async (t) => {
  const { tokens } = await countingCorpus.batch({
    seed: 1,
    step: 0,
    micro: 0,
    accumulation: 1,
    batch: 4,
    seq: 16,
    objective: 'causal',
  });
  const { corpus: _, ...deps } = { device, model: tinyModel, method: tinyMethod(), corpus: countingCorpus };
  const trainer = await createTrainer({ ...tinyOptions, accumulation: 1 }, deps);
  for (const [batch, message] of [
    [undefined, /batch must be an object of arrays.*; got undefined/],
    [null, /batch must be an object of arrays.*; got null/],
    ['abc', /batch must be an object of arrays.*; got "abc"/],
    [{ tokens, labels: null }, /labels of a batch must be an Int32Array; got null/],
    [{ tokens, labels: 3 }, /labels of a batch must be an Int32Array; got 3/],
  ] as const) {
    await t.rejects(withCorpus({ batch: () => batch }), { code: 'BAD_CORPUS', message });
    await t.rejects(run({ corpus: { ...countingCorpus, batch: async () => batch } }, { stopAfter: { steps: 8 } }), {
      code: 'BAD_CORPUS',
      message,
    });
    await t.rejects(trainer.step([batch] as never), { code: 'BAD_ARGUMENT', message });
  }
  t.equal(trainer.steps, 0);
  await trainer.close();
});

t.test('the shape of the batches of a trainer has no other fields, and not their size', async (t) => {
  const { corpus: _, ...deps } = { device, model: tinyModel, method: tinyMethod(), corpus: countingCorpus };
  for (const [shape, message] of [
    [{ tragets: 3 }, /shape has no option "tragets"; did you mean "targets"/],
    [{ batch: 1 }, /shape has no option "batch"/],
    [{ targets: Number.NaN }, /shape\.targets must be a whole number >= 1; got NaN/],
  ] as const) {
    await t.rejects(createTrainer(tinyOptions, { ...deps, shape } as never), { code: 'BAD_ARGUMENT', message });
  }
});

t.test('what a method answers is checked', async (t) => {
  const own = tinyMethod();
  const plan = (parts: object) => ({ plan: (step: number) => ({ ...own.plan(step), ...parts }) });
  for (const [parts, message] of [
    [{ stageAt: () => undefined }, /method "apollo": stageAt\(0\) must be a stage .*; got undefined/],
    [{ plan: () => undefined }, /method "apollo": plan\(0\) must be a plan .*; got undefined/],
    [{ plan: async (step: number) => own.plan(step) }, /plan\(0\)\.trainedLayers must be/],
    [{ plan: (step: number) => (step < 3 ? own.plan(step) : null) }, /plan\(3\) must be a plan .*; got null/],
    [plan({ layerMap: [] }), /plan\(0\)\.layerMap must be an array of at least 1/],
    [plan({ layerMap: [0, Number.NaN] }), /plan\(0\)\.layerMap\[1\] must be a whole number >= 0; got NaN/],
    [plan({ depth: 3, layerMap: [0, 0] }), /plan\(0\)\.depth must be the length of its layerMap, 2; got 3/],
    [plan({ learningRate: 0.1 }), /plan\(0\)\.learningRate must be .*; got 0\.1/],
    [plan({ learningRate: { factor: Number.NaN } }), /plan\(0\)\.learningRate/],
    [plan({ layerMap: [4] }), /plan\(0\)\.layerMap must hold layers from 0 to \d+ \(trainedLayers\); got 4/],
    [plan({ extraFlops: Number.NaN }), /plan\(0\)\.extraFlops must be a finite number >= 0; got NaN/],
    [plan({ branchScales: [1, Number.NaN] }), /plan\(0\)\.branchScales\[1\] must be a finite number; got NaN/],
    [plan({ blockGates: [1, 1, 1, 1, 1] }), /plan\(0\)\.blockGates must have one number for each place, \d+; got 5/],
    [
      plan({ layerRates: [1, 1, 1, 1, 1] }),
      /plan\(0\)\.layerRates must have one number for each trained layer, \d+; got 5/,
    ],
    [plan({ forwardOnly: 9 }), /plan\(0\)\.forwardOnly must be at most the depth, \d+; got 9/],
    [
      { evaluationGates: () => ({ blockGates: [1, 1, 1, 1, 1] }) },
      /evaluationGates\(0\)\.blockGates must have one number for each trained layer/,
    ],
    [{ evaluationMaps: () => undefined }, /evaluationMaps\(0\) must be layer maps .*; got undefined/],
    [{ growth: () => ({ kind: 'wider', from: 1, to: 2 }) }, /growth\(6\)\.kind must be one of .*; got "wider"/],
    [{ growth: async () => undefined }, /growth\(6\)\.kind must be one of/],
    [{ growth: () => ({ kind: 'layers', from: 1, to: 2 }) }, /growth\(6\)\.copies must be an array/],
    [
      { growth: () => ({ kind: 'layers', from: 1, to: 3, copies: [] }) },
      /growth\(6\) must be from 1 to 2 layers, those of the stages around it; got 1 to 3/,
    ],
    [
      { growth: () => ({ kind: 'layers', from: 1, to: 2, copies: [{ from: 0, to: 2, moments: 'copy' }] }) },
      /growth\(6\)\.copies\[0\] must be of layers from 0 to 1; got 0 to 2/,
    ],
    [{ growth: () => ({ kind: 'state', from: 1, to: 2 }) }, /growth\(6\)\.value must be a function/],
  ] as const) {
    await t.rejects(withMethod(parts), { code: 'BAD_ARGUMENT', message }, String(message));
  }
  const circular: Record<string, unknown> = {};
  circular['self'] = circular;
  for (const settings of [circular, { of: 1n }]) {
    await t.rejects(withMethod({ settings }), { code: 'BAD_CONFIG', message: /settings must be plain data/ });
  }
});

t.test('an objective gives a loss and a count', async (t) => {
  for (const [trace, message] of [
    [() => undefined, /objective "own": what trace returns must be \{ loss, count \}; got undefined/],
    [async () => undefined, /what trace returns\.loss must be a Tensor/],
    [({ hidden }: { hidden: never }) => ({ loss: mean(hidden) }), /what trace returns\.count must be a Tensor/],
  ] as const) {
    await t.rejects(run({ objective: { name: 'own', trace } }), { code: 'BAD_ARGUMENT', message });
  }
});

t.test('stop is no async function, whose promise would end every run', async (t) => {
  await t.rejects(run({ stop: async () => false }), {
    code: 'BAD_ARGUMENT',
    message: /stop must return true or false/,
  });
  const events = await run({ stop: () => undefined });
  t.match(events.at(-1), { type: 'done', step: 8 });
});

t.test('a choice of a method has no other fields', async (t) => {
  await t.rejects(run({ method: { method: 'apollo', option: { boundaries: { steps: [6, 14] } } } }), {
    code: 'BAD_ARGUMENT',
    message: /method has no option "option"; did you mean "options"/,
  });
  const { growth: _, ...partial } = tinyMethod();
  await t.rejects(run({ method: partial }), { code: 'BAD_ARGUMENT', message: /method\.growth must be a function/ });
  await t.rejects(run({ method: 3 }), { code: 'BAD_ARGUMENT', message: /method must be a name, .*; got 3/ });
});

t.test('a store is that of one run at a time', async (t) => {
  using store = new ParameterStore(device);
  const both = await Promise.allSettled([run({ store }), run({ store })]);
  t.match(both, [
    { status: 'fulfilled' },
    { status: 'rejected', reason: { code: 'BAD_ARGUMENT', message: /store is in use by another run/ } },
  ]);
  await t.rejects(run({ store }), { code: 'BAD_ARGUMENT', message: /store must be empty/ });
});

t.test('a folder that can hold no checkpoint is refused before training', async (t) => {
  const folder = t.testdir({ file: 'x' });
  for (const name of ['file', 'file/below']) {
    const steps: number[] = [];
    const checkpointDir = join(folder, name);
    const training = runTiny(device, short, { checkpointDir }, ({ step }) => steps.push(step));
    await t.rejects(training, { code: 'FILE_SYSTEM', message: /^Checkpoints cannot be written: .*\(ENOTDIR\)/ });
    t.same(steps, []);
  }
});

t.test('what is wrong with a comparison is refused before anything is trained', async (t) => {
  const make = (): unknown => undefined;
  const { seed: _, ...options } = tinyOptions;
  const all = { ...options, device, model: tinyModel, corpus: countingCorpus, methods: ['scratch'] };
  const wrong = (parts: object) => () => compare({ ...all, folder: t.testdir(), ...parts } as never);
  for (const [parts, code, message] of [
    [{ seed: 3 }, 'BAD_CONFIG', /compare\.seed: .* give seeds/],
    [{ small: { layrs: 1 } }, 'BAD_ARGUMENT', /small has no option "layrs"; did you mean "layers"/],
    [{ methods: [{ method: 'scratch', optoins: {} }] }, 'BAD_ARGUMENT', /methods\[0\] has no option "optoins"/],
    [{ methods: [{ create: make }] }, 'BAD_ARGUMENT', /methods\[0\]\.name must be a string/],
    [{ methods: [{ name: 'own', create: make }] }, 'BAD_CONFIG', /"own" must make a TrainingMethod .*; got undefined/],
    [
      { methods: [{ name: 'own', create: () => ({ ...tinyMethod(), plan: make }) }] },
      'BAD_ARGUMENT',
      /plan\(0\) must be a plan .*; got undefined/,
    ],
  ] as const) {
    t.throws(wrong(parts), { code, message }, String(message));
  }
});

t.test('decays of a run whose settings are wrong are refused for these', async (t) => {
  const deps = { device, model: tinyModel, method: tinyMethod(), corpus: countingCorpus };
  const folders = { trunk: t.testdir(), out: t.testdir() };
  const decays = anneal({ ...tinyOptions, steps: undefined } as never, { at: [1] }, { ...deps, ...folders });
  await t.rejects(decays.next(), { code: 'BAD_CONFIG', message: /train\.steps: / });
});

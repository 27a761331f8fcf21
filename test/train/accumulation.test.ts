/** A step in micro-batches is the step in one batch: gradients and loss are means over the labels of the whole step. */
import t, { type Test } from 'tap';
import { arraySource, type Corpus } from '../../lib/data/index.js';
import { accumulateGradients, Graph, ParameterStore } from '../../lib/engine/index.js';
import { seedWords, uniformNumber } from '../../lib/growth/index.js';
import { identityMap, scratch } from '../../lib/methods/index.js';
import {
  createModel,
  initialiseParameters,
  type LanguageModel,
  modelWeights,
  withDefaults,
} from '../../lib/models/index.js';
import { type StepEvent, type TrainingCorpus, type TrainOptions, train } from '../../lib/train/index.js';
import { trainingCorpus } from '../../lib/train/text-corpus.js';
import { adamwMoments } from '../moments.js';
import { openTinyDevice } from './tiny.js';

const device = await openTinyDevice();
t.teardown(() => device.close());

const vocabSize = 40;
const seq = 16;
const modelOf = (kind: 'bert' | 'gpt', dropout = 0) =>
  createModel(
    withDefaults({
      kind,
      layers: 2,
      hidden: 32,
      heads: 2,
      vocabSize,
      maxPositions: seq,
      dropout,
      attentionDropout: dropout,
      initStd: 0.1,
    }),
  );

const ids = Array.from({ length: 9000 }, (_, i) => 5 + Math.floor(uniformNumber(3, 1, i) * (vocabSize - 5)));
const text = {
  train: arraySource(ids.slice(0, 8000), vocabSize),
  heldOut: arraySource(ids.slice(8000), vocabSize),
  key: 'ids',
  tokenizer: {
    specials: { mask: 4, pad: 0, cls: 2, sep: 3, unk: 1, eot: undefined },
    specialIds: [0, 1, 2, 3, 4],
    vocabSize,
  },
} as unknown as Corpus;

/** Masked text whose micro-batches have very different numbers of labels: of each row only the first few, by its number. */
function uneven(kept: (row: number) => number): TrainingCorpus {
  const corpus = trainingCorpus(text);
  return {
    ...corpus,
    batch: async (request) => {
      const { labels, positions, tokens } = (await corpus.batch(request)) as Record<string, Int32Array>;
      const used = new Map<number, number>();
      const rest = labels!.map((label, place) => {
        if (label === -100) return label;
        const row = request.micro * request.batch + Math.floor(positions![place]! / seq);
        const before = used.get(row) ?? 0;
        used.set(row, before + 1);
        return before < kept(row) ? label : -100;
      });
      return { labels: rest, positions: positions!, tokens: tokens! };
    },
  };
}

interface Step {
  readonly loss: number;
  /** By parameter, before clipping. */
  readonly gradients: ReadonlyMap<string, Float32Array>;
}

/** The first step of a run. With beta1 0 the first moment is the gradient, bit by bit. */
async function firstStep(model: LanguageModel, corpus: TrainingCorpus, options: Partial<TrainOptions>): Promise<Step> {
  const { precision = 'f32' } = options;
  using store = new ParameterStore(device, { precision });
  const method = scratch({ layers: 2, totalSteps: 10, seed: 1 });
  const settings = {
    seed: 1,
    steps: 10,
    batch: 32,
    seq,
    beta1: 0,
    maxNorm: 0,
    evaluateEvery: 0,
    stopAfter: { steps: 1 },
    precision,
    ...options,
  };
  let loss = Number.NaN;
  for await (const event of train(settings, { device, model, method, corpus, store })) {
    if (event.type === 'step') loss = (event as StepEvent).loss;
  }
  const gradients = new Map<string, Float32Array>();
  for (const name of store.names()) gradients.set(name, adamwMoments(await store.moments(name)).m);
  return { loss, gradients };
}

/** |a - b| / |b|, of whole tensors. */
function difference(a: Float32Array, b: Float32Array): number {
  const norm = (values: Float32Array) => Math.sqrt(values.reduce((sum, x) => sum + x * x, 0));
  const scale = norm(b);
  const apart = norm(a.map((x, i) => x - b[i]!));
  return scale === 0 ? apart : apart / scale;
}

/** The largest difference of any gradient, relative to that gradient. */
function worst(a: Step, b: Step): number {
  return Math.max(...[...b.gradients].map(([name, values]) => difference(a.gradients.get(name)!, values)));
}

function equalSteps(t: Test, cut: Step, whole: Step) {
  const apart = worst(cut, whole);
  t.ok(apart <= 1e-6, `gradients differ by ${apart}`);
  t.ok(Math.abs(cut.loss / whole.loss - 1) <= 1e-6, `losses ${cut.loss} and ${whole.loss}`);
}

const four = { batch: 8, accumulation: 4 } as const;

t.test('BERT: four micro-batches of 8 are one batch of 32, with any masks', async (t) => {
  const model = modelOf('bert');
  const corpus = trainingCorpus(text);
  equalSteps(t, await firstStep(model, corpus, four), await firstStep(model, corpus, {}));
});

t.test('BERT: micro-batches with many labels, few, and none', async (t) => {
  const model = modelOf('bert');
  const kept = (row: number) => [9, 0, 1, 2][Math.floor(row / 8)]!;
  equalSteps(t, await firstStep(model, uneven(kept), four), await firstStep(model, uneven(kept), {}));
});

t.test('a run whose steps have no label at all is refused, cut or whole', async (t) => {
  const none = uneven(() => 0);
  await t.rejects(firstStep(modelOf('bert'), none, four), { code: 'BAD_CORPUS', message: /the model learned nothing/ });
  await t.rejects(firstStep(modelOf('bert'), none, {}), { code: 'BAD_CORPUS', message: /the model learned nothing/ });
});

t.test('BERT in bf16: the cut step is as near to f32 as the whole one', async (t) => {
  const model = modelOf('bert');
  const kept = (row: number) => [9, 0, 1, 2][Math.floor(row / 8)]!;
  const exact = await firstStep(model, uneven(kept), {});
  const whole = await firstStep(model, uneven(kept), { precision: 'bf16' });
  const cut = await firstStep(model, uneven(kept), { ...four, precision: 'bf16' });
  for (const [name, values] of exact.gradients) {
    const [ours, theirs] = [
      difference(cut.gradients.get(name)!, values),
      difference(whole.gradients.get(name)!, values),
    ];
    t.ok(ours <= 2 * theirs + 1e-6, `${name}: ${ours} against ${theirs}`);
  }
});

/** The gradients of a step by constant factors, micro-batch by micro-batch, without the training loop. */
async function byHand(
  model: LanguageModel,
  corpus: TrainingCorpus,
  batch: number,
  accumulation: number,
): Promise<Step> {
  using store = new ParameterStore(device);
  await initialiseParameters(store, model, 2, 1);
  const graph = new Graph();
  const weights = modelWeights(graph, model, 'f32');
  const trace = model.trace(graph, weights, corpus.shape({ batch, seq, objective: model.objective }), {
    layerMap: identityMap(2),
    training: true,
  });
  const names = accumulateGradients(trace.loss, { scale: 1 / accumulation });
  graph.output('loss', trace.loss);
  const program = await device.compile(graph, { store });
  let sum = 0;
  for (let micro = 0; micro < accumulation; micro++) {
    const rng = Int32Array.from([...seedWords(1), 0, micro]);
    const { outputs } = await program.run({
      ...(await corpus.batch({ batch, seq, objective: model.objective, seed: 1, step: 0, micro, accumulation })),
      ...(graph.inputs.has('rng') && { rng }),
    });
    sum += outputs['loss']![0]!;
  }
  const gradients = new Map<string, Float32Array>();
  for (const name of names) gradients.set(name, await store.gradient(name));
  return { loss: sum / accumulation, gradients };
}

t.test('GPT, and steps of one micro-batch, have the bits of plain means', async (t) => {
  const bits = ({ loss, gradients }: Step) =>
    JSON.stringify([loss, [...gradients].sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, g]) => [name, ...g])]);
  for (const [kind, accumulation] of [
    ['gpt', 1],
    ['gpt', 2],
    ['gpt', 4],
    ['bert', 1],
  ] as const) {
    const model = modelOf(kind, 0.1);
    const corpus = trainingCorpus(text);
    const batch = 8;
    const ours = await firstStep(model, corpus, { batch, accumulation });
    t.equal(bits(ours), bits(await byHand(model, corpus, batch, accumulation)), `${kind}, ${accumulation}`);
  }
});

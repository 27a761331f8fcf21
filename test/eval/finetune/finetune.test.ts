import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cp } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import type { Device } from '../../../lib/engine/index.js';
import { accuracy, argmax, pearson } from '../../../lib/eval/finetune/metrics.js';
import {
  type BodySource,
  classification,
  evaluateTask,
  type FineTuneEvent,
  type FineTuneOptions,
  type FineTuneTask,
  fineTune,
  loadFineTuned,
  type Metrics,
  regression,
  trainedSource,
  untrainedSource,
} from '../../../lib/eval/index.js';
import { uniformNumber } from '../../../lib/growth/index.js';
import { SafetensorsReader } from '../../../lib/interop/safetensors.js';
import { openModelFolder } from '../../../lib/train/index.js';
import { testDevice } from '../../device.js';
import { type Kind, temporaryFolder, tinyConfig, tinyModelFolder, tinyTokenizer } from '../support.js';

let device: Device;
t.before(async () => {
  device = await testDevice({ threads: 1 });
});
t.teardown(() => device.close());

interface Film {
  readonly text: string;
  readonly label: number;
}

const words = ['film', 'story', 'actors', 'year', 'sings', 'drags', 'little', 'night', 'best', 'cat', 'river', 'mat'];

/** Sentences of random words of several lengths; the class is 1 where "warm" is in it, 0 where "dull" does. */
function films(count: number, stream: number): Film[] {
  return Array.from({ length: count }, (_, i) => {
    const at = (place: number) => uniformNumber(3, stream, i * 64 + place);
    const length = 2 + Math.floor(at(0) * 20);
    const list = Array.from({ length }, (_, j) => words[Math.floor(at(j + 2) * words.length)] as string);
    const label = at(1) < 0.5 ? 0 : 1;
    list[Math.floor(at(40) * length)] = label ? 'warm' : 'dull';
    return { text: list.join(' '), label };
  });
}

const data = { train: films(96, 1), evaluations: [{ name: 'dev', examples: films(40, 2) }] };

const scoreOf =
  (
    metrics: (predicted: readonly number[], labels: readonly number[]) => Metrics,
    read: (row: Float32Array) => number,
  ) =>
  (examples: readonly Film[], outputs: readonly (readonly Float32Array[])[]) =>
    metrics(
      outputs.map(([row]) => read(row as Float32Array)),
      examples.map(({ label }) => label),
    );

const toy: FineTuneTask<Film> = {
  name: 'toy',
  title: 'Toy',
  metrics: ['accuracy'],
  head: classification(2),
  read: async () => ({ ...data, tests: [], notes: [] }),
  features: ({ text, label }, encoder) => [{ ...encoder.encode(text), targets: { label } }],
  score: scoreOf((predicted, labels) => ({ accuracy: accuracy(predicted, labels) }), argmax),
  predictions: (split, outputs) => ({
    name: `${split.name}.txt`,
    text: outputs.map(([row]) => argmax(row as Float32Array)).join(),
  }),
};

const toyNumber: FineTuneTask<Film> = {
  ...toy,
  name: 'toy number',
  metrics: ['pearson'],
  head: regression(),
  score: scoreOf(
    (predicted, labels) => ({ pearson: pearson(predicted, labels) }),
    (row) => row[0] as number,
  ),
};

const options: FineTuneOptions = { maxLength: 40, epochs: 4, batch: 8, learningRate: 3e-3, dropout: 0.1, seeds: [5] };

async function setting(kind: Kind) {
  const tokenizer = await tinyTokenizer(kind);
  const source = untrainedSource(tinyConfig(kind, tokenizer.vocabSize));
  return { device, tokenizer, source, task: toy, data };
}

async function collect(events: AsyncIterable<FineTuneEvent>): Promise<FineTuneEvent[]> {
  const list = [];
  for await (const event of events) list.push(event);
  return list;
}

type EventOf<Type extends FineTuneEvent['type']> = Extract<FineTuneEvent, { type: Type }>;
const of = <Type extends FineTuneEvent['type']>(events: readonly FineTuneEvent[], type: Type): EventOf<Type>[] =>
  events.filter((event): event is EventOf<Type> => event.type === type);

/** Results that must repeat bit by bit. */
const comparable = (events: readonly FineTuneEvent[]): string[] =>
  events
    .filter(({ type }) => type === 'step' || type === 'epoch')
    .map((event) => JSON.stringify({ ...event, ms: 0, trainMs: 0 }));

for (const kind of ['bert', 'gpt', 'llama'] as const) {
  t.test(`${kind}: an untrained model learns to tell words apart, in several buckets`, async (t) => {
    const events = await collect(fineTune({ ...options, epochs: 8 }, await setting(kind)));
    t.same(
      of(events, 'epoch').map(({ epoch }) => epoch),
      [1, 2, 3, 4, 5, 6, 7, 8],
    );
    t.equal(of(events, 'step').length, 8 * 12);
    t.equal(of(events, 'step')[0]?.learningRate, 0, 'the rate begins at 0');
    const { record } = of(events, 'seed')[0]!;
    t.ok((record.best.metrics['dev']?.['accuracy'] ?? 0) >= 0.9, JSON.stringify(record.best.metrics));
    t.equal(record.last.epoch, 8);
    t.same(events.at(-1), { type: 'done', aborted: false });
  });
}

t.test('a number is learned by squared error', async (t) => {
  const events = await collect(fineTune({ ...options, epochs: 8 }, { ...(await setting('bert')), task: toyNumber }));
  const value = of(events, 'seed')[0]?.record.best.metrics['dev']?.['pearson'] ?? 0;
  t.ok(value > 0.8, `${value}`);
});

t.test('four micro-batches of 8 are one batch of 32, also where labels are missing', async (t) => {
  // Labels of some examples only, none of the first shortest ones, so that micro-batches have different numbers of them.
  const partly = (task: FineTuneTask<Film>): FineTuneTask<Film> => ({
    ...task,
    features: (film, encoder) =>
      task.features(film, encoder).map(({ targets, ...feature }) => {
        const labelled = targets && film.text.length > 30 && film.text.length % 3 > 0;
        return labelled ? { ...feature, targets } : feature;
      }),
  });
  const plain = { ...options, dropout: 0, epochs: 1, learningRate: 1e-12 };
  for (const [kind, task] of [
    ['bert', toy],
    ['gpt', toy],
    ['bert', toyNumber],
  ] as const) {
    const deps = { ...(await setting(kind)), task: partly(task) };
    const whole = of(await collect(fineTune({ ...plain, batch: 32 }, deps)), 'step');
    const cut = of(await collect(fineTune({ ...plain, batch: 8, accumulation: 4 }, deps)), 'step');
    t.equal(whole.length, 3);
    t.same(
      cut.map(({ step, steps, tokens, applied }) => [step, steps, tokens, applied]),
      whole.map(({ step, steps, tokens, applied }) => [step, steps, tokens, applied]),
    );
    for (const [i, { loss, gradNorm }] of whole.entries()) {
      t.ok(Math.abs(cut[i]!.loss / loss - 1) <= 1e-6, `${kind}, ${task.name}: losses ${cut[i]!.loss}, ${loss}`);
      t.ok(Math.abs(cut[i]!.gradNorm / gradNorm - 1) <= 1e-6, `norms ${cut[i]!.gradNorm}, ${gradNorm}`);
    }
  }
});

t.test('the same seed gives the same bits, another one others', async (t) => {
  const deps = await setting('bert');
  const once = comparable(await collect(fineTune({ ...options, epochs: 1 }, deps)));
  const again = comparable(await collect(fineTune({ ...options, epochs: 1 }, deps)));
  t.same(again, once);
  const other = comparable(await collect(fineTune({ ...options, epochs: 1, seeds: [6] }, deps)));
  t.not(other[3], once[3]);
});

t.test('a run that was stopped resumes within the epoch, to the same bits', async (t) => {
  const deps = await setting('bert');
  const short = { ...options, epochs: 3 };
  const whole = comparable(await collect(fineTune(short, { ...deps, folder: temporaryFolder() })));

  const folder = temporaryFolder();
  const controller = new AbortController();
  const first: FineTuneEvent[] = [];
  for await (const event of fineTune(short, { ...deps, folder, signal: controller.signal })) {
    first.push(event);
    if (event.type === 'step' && event.step === 17) controller.abort();
  }
  t.same(first.at(-1), { type: 'done', aborted: true });
  t.same(comparable(first), whole.slice(0, comparable(first).length));
  t.ok(existsSync(join(folder, 'seed-5/checkpoints')));

  const second = await collect(fineTune(short, { ...deps, folder }));
  const { stepsDone, ...start } = of(second, 'start')[0]!;
  t.match(start, { epochsDone: 1, steps: 36 });
  t.ok(stepsDone === 17 || stepsDone === 18, 'the 18th step was under way');
  t.same(comparable(second), whole.slice(stepsDone + 1), 'with the step after it, after one line for the first epoch');
  t.notOk(existsSync(join(folder, 'seed-5/checkpoints')), 'a finished seed keeps its best model only');

  // As a process leaves it that dies after it has marked the seed as finished.
  mkdirSync(join(folder, 'seed-5/checkpoints/step-00000036'), { recursive: true });
  const third = await collect(fineTune({ ...short, seeds: [5, 6] }, { ...deps, folder }));
  t.notOk(existsSync(join(folder, 'seed-5/checkpoints')), 'nor after a death at its end');
  t.equal(of(third, 'seed').length, 2, 'a finished seed is not run again');
  t.equal(of(third, 'step').length, 36, 'one more is');
  const reports = (events: FineTuneEvent[]) => of(events, 'seed').map(({ record }) => JSON.stringify(record))[0];
  t.equal(reports(third), reports(second));
});

t.test('checkpoints by time, a damaged newest one and a stop in the evaluation change no bits', async (t) => {
  const deps = await setting('bert');
  const short = { ...options, epochs: 2 };
  const whole = comparable(await collect(fineTune(short, { ...deps, folder: temporaryFolder() })));
  const folder = temporaryFolder();
  const controller = new AbortController();
  const first: FineTuneEvent[] = [];
  const timed = { ...short, checkpointMinutes: 1e-9 };
  for await (const event of fineTune(timed, { ...deps, folder, signal: controller.signal })) {
    first.push(event);
    if (event.type === 'step' && event.step === 12) controller.abort(); // what follows is the evaluation of the epoch
  }
  t.same(
    of(first, 'checkpoint').map(({ step }) => step),
    [1, 3, 5, 7, 9, 11, 12],
  );
  const checkpoints = join(folder, 'seed-5/checkpoints');
  t.same(readdirSync(checkpoints), ['step-00000011', 'step-00000012'], 'two are kept');
  const weights = join(checkpoints, 'step-00000012/model.safetensors');
  const bytes = readFileSync(weights);
  bytes[bytes.length - 1]! ^= 1;
  writeFileSync(weights, bytes);
  const second = await collect(fineTune(short, { ...deps, folder }));
  t.match(of(second, 'start')[0], { epochsDone: 0, stepsDone: 11 });
  t.match(of(second, 'warning')[0], { code: 'DAMAGED_CHECKPOINT', message: /step-00000012 is damaged: .*renamed to/ });
  t.same(comparable(second), whole.slice(11));
});

t.test('a history that is one epoch ahead of its checkpoint is cut', async (t) => {
  const deps = await setting('bert');
  const short = { ...options, epochs: 2 };
  const folder = temporaryFolder();
  const controller = new AbortController();
  for await (const event of fineTune(short, { ...deps, folder, signal: controller.signal })) {
    if (event.type === 'epoch') controller.abort();
  }
  const path = join(folder, 'seed-5/history.json');
  const history = JSON.parse(readFileSync(path, 'utf8')) as { epochs: Record<string, unknown>[] };
  history.epochs.push({ ...history.epochs[0], epoch: 2, step: 24 });
  writeFileSync(path, JSON.stringify(history));
  const events = await collect(fineTune(short, { ...deps, folder }));
  t.same(
    of(events, 'epoch').map(({ epoch }) => epoch),
    [2],
  );
});

t.test('the best epoch is saved and gives its scores again', async (t) => {
  const folder = temporaryFolder();
  const deps = await setting('bert');
  const events = await collect(fineTune({ ...options, epochs: 2 }, { ...deps, folder }));
  const record = of(events, 'seed')[0]!.record;
  t.same(readdirSync(record.model!).sort(), ['finetuned.json', 'model.safetensors', 'tokenizer.json']);
  const all = { evaluations: data.evaluations, tests: [{ name: 'test', examples: films(3, 9) }] };
  const found = await evaluateTask({ device, folder: record.model!, task: toy, data: all, batch: 16 });
  t.same(found.metrics, record.best.metrics);
  t.match(found.predictions, [{ name: 'test.txt', text: /^[01],[01],[01]$/ }]);

  await t.rejects(loadFineTuned(device, record.model!, toyNumber), {
    code: 'BAD_CONFIG',
    message: /was fine-tuned on toy \(classification of 2\); Toy needs regression/,
  });
  await t.rejects(loadFineTuned(device, folder, toy), { code: 'BAD_CHECKPOINT', message: /no fine-tuned model in/ });
  const broken = temporaryFolder();
  await cp(record.model!, broken, { recursive: true });
  writeFileSync(join(broken, 'finetuned.json'), '{"formatVersion":1}');
  await t.rejects(loadFineTuned(device, broken, toy), { code: 'BAD_CHECKPOINT', message: /is not complete/ });
  await cp(join(record.model!, 'finetuned.json'), join(broken, 'finetuned.json'));
  rmSync(join(broken, 'model.safetensors'));
  await t.rejects(loadFineTuned(device, broken, toy), { code: 'BAD_CHECKPOINT', message: /model\.safetensors/ });
});

t.test(
  'trained weights are where the body starts; of a growing model each place gets a copy of its layer',
  async (t) => {
    const path = await tinyModelFolder(device, 'bert', { trainedLayers: 1 });
    await using folder = { ...(await openModelFolder(path)), [Symbol.asyncDispose]: async () => {} };
    const source = await trainedSource(folder);
    t.same(source.layerMap, [0, 1]);
    t.same(await source.read('layer.1.ffn.up.weight'), await folder.read('layer.0.ffn.up.weight'));
    t.equal((await trainedSource(folder)).key, source.key);
    const asked: string[] = [];
    const watched: BodySource = {
      ...source,
      read: (name) => {
        asked.push(name);
        return source.read(name);
      },
    };
    const { source: _, ...deps } = await setting('bert');
    const events = await collect(fineTune({ ...options, epochs: 1 }, { ...deps, source: watched }));
    t.ok(asked.includes('embeddings.word') && asked.includes('layer.1.ffn.up.weight'));
    t.notOk(
      asked.some((name) => /^(head|pooler|classifier)/.test(name)),
      'the head is new',
    );
    const scratch = await collect(
      fineTune({ ...options, epochs: 1 }, { ...deps, source: untrainedSource(source.config) }),
    );
    t.not(of(events, 'step')[0]?.loss, of(scratch, 'step')[0]?.loss);
    await folder.close();
  },
);

t.test(
  "a pooler that comes with a Hugging Face BERT is where a head's begins, and is read with its body",
  async (t) => {
    const golden = join(import.meta.dirname, '../../fixtures/golden');
    await using folder = await openModelFolder(join(golden, 'bert-pretrain-ref'));
    await using file = await SafetensorsReader.open(join(golden, 'bert-pretrain-ref/model.safetensors'));
    const { pooler, key } = await trainedSource(folder);
    const size = folder.config.hidden;
    const weight = await file.readFloat32('bert.pooler.dense.weight');
    const transposed = Float32Array.from(weight, (_, i) => weight[(i % size) * size + Math.floor(i / size)]!);
    t.same(pooler?.get('pooler.weight'), transposed);
    t.same(pooler?.get('pooler.bias'), await file.readFloat32('bert.pooler.dense.bias'));
    const { config, layerMap, read } = folder;
    const without = await trainedSource({ config, layerMap, read });
    t.equal(without.pooler, undefined);
    t.not(without.key, key, 'a run with another pooler is another run');
    for (const path of [join(golden, 'tiny-bert-a'), await tinyModelFolder(device, 'bert')]) {
      await using other = await openModelFolder(path);
      t.equal((await trainedSource(other)).pooler, undefined, path);
    }

    const deps = await setting('bert');
    const { hidden } = deps.source.config;
    const values = Float32Array.from({ length: hidden * hidden }, (_, i) => ((i * 37) % 101) / 100 - 0.5);
    const pooled: BodySource = { ...deps.source, pooler: new Map([['pooler.weight', values]]), key: 'with a pooler' };
    const few = { ...data, train: data.train.slice(0, 8) };
    const poolerAfter = async (source: BodySource) => {
      const run = { ...deps, source, data: few, folder: temporaryFolder() };
      const events = await collect(fineTune({ ...options, epochs: 1, learningRate: 1e-9 }, run));
      const loaded = await loadFineTuned(device, of(events, 'seed')[0]!.record.model!, toy);
      const found = await loaded.store.read('pooler.weight');
      loaded.dispose();
      return found;
    };
    const found = await poolerAfter(pooled);
    t.ok(
      found.every((value, i) => Math.abs(value - values[i]!) < 1e-6),
      'it starts with the values that are there',
    );
    const drawn = await poolerAfter(deps.source);
    t.notOk(drawn.some((value, i) => i > 0 && value === values[i]));
  },
);

/** The toy task, whose examples may have no label. */
const sometimes: FineTuneTask<Film> = {
  ...toy,
  features: ({ text, label }, encoder) => [{ ...encoder.encode(text), ...(label >= 0 && { targets: { label } }) }],
};
const withoutLabels = (films: readonly Film[]): Film[] => films.map((film) => ({ ...film, label: -1 }));

t.test('a step of which no example has a label updates nothing', async (t) => {
  const deps = await setting('bert');
  const [first, ...rest] = data.train;
  const few = { ...data, train: [first!, ...withoutLabels(rest.slice(0, 31))] };
  const events = await collect(fineTune({ ...options, epochs: 1 }, { ...deps, task: sometimes, data: few }));
  const steps = of(events, 'step');
  t.equal(steps.length, 4);
  t.equal(steps.filter(({ applied, loss }) => applied && loss > 0).length, 1);
  t.equal(steps.filter(({ applied, loss }) => !applied && Number.isNaN(loss)).length, 3);
  t.ok(of(events, 'epoch')[0]!.loss > 0, 'they do not count');
});

t.test('what cannot be run is refused', async (t) => {
  const deps = await setting('bert');
  const refuses = (changed: Partial<FineTuneOptions>, other: object, error: object) =>
    t.rejects(collect(fineTune({ ...options, ...changed }, { ...deps, ...other })), error as Error);
  await refuses({ maxLength: 64 }, {}, { code: 'BAD_CONFIG', message: /the model's 48 positions; got 64/ });
  await refuses({ epochs: 0 }, {}, { code: 'BAD_CONFIG', message: /finetune\.epochs/ });
  const noTrain = { data: { ...data, train: [] } };
  await refuses({}, noTrain, { code: 'BAD_CORPUS', message: /Toy: there are no examples to train on/ });
  const noDev = { data: { ...data, evaluations: [] } };
  await refuses({}, noDev, { code: 'BAD_CORPUS', message: /no examples to measure on/ });
  const emptySplit = { data: { ...data, evaluations: [...data.evaluations, { name: 'other', examples: [] }] } };
  await refuses({}, emptySplit, { code: 'BAD_CORPUS', message: /no examples to measure on in "other"/ });
  const unlabelled = { data: { ...data, train: withoutLabels(data.train) }, task: sometimes };
  await refuses({}, unlabelled, { code: 'BAD_CORPUS', message: /Toy: no example to train on has a label/ });
  const mute = { name: 'mute', examples: withoutLabels(data.train) };
  const unlabelledSplit = { data: { ...data, evaluations: [...data.evaluations, mute] }, task: sometimes };
  await refuses({}, unlabelledSplit, {
    code: 'BAD_CORPUS',
    message: /Toy: no example to measure on in "mute" has a label/,
  });
  const small = { source: untrainedSource(tinyConfig('bert', 20)) };
  await refuses({}, small, { code: 'BAD_CONFIG', message: /tokenizer has \d+ token ids.*only 20/ });
  const gpt = { source: untrainedSource(tinyConfig('gpt', 400)) };
  await refuses({}, gpt, { code: 'BAD_TOKENIZER', message: /GPT model needs a tokenizer/ });

  const folder = temporaryFolder();
  await collect(fineTune({ ...options, epochs: 1 }, { ...deps, folder }));
  await refuses(
    { epochs: 1, learningRate: 1e-3 },
    { folder },
    {
      code: 'BAD_CONFIG',
      message: /seed-5 holds a run with other settings:\n {2}learningRate: 0\.001, was 0\.003/,
    },
  );
  writeFileSync(join(folder, 'seed-5/history.json'), '{');
  await refuses({ epochs: 1 }, { folder }, { code: 'BAD_CHECKPOINT', message: /history\.json is damaged/ });
});

t.test('a run whose loss is not finite stops with advice', async (t) => {
  const deps = await setting('bert');
  const broken: BodySource = {
    ...deps.source,
    read: async (name) => (name === 'layer.0.ffn.up.bias' ? new Float32Array(128).fill(Number.NaN) : undefined),
  };
  await t.rejects(collect(fineTune(options, { ...deps, source: broken })), {
    code: 'NON_FINITE',
    message: /5th consecutive step without an update.*lower learning rate than 0\.003/,
  });
});

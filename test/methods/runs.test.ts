/** Every method, on real text: the loss falls, and a run that was interrupted inside a stage resumes to the same bits. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { prepareCorpus } from '../../lib/data/index.js';
import { createMethod, type MethodName, methodNames } from '../../lib/methods/index.js';
import { createModel, type ModelConfig, withDefaults, withShape } from '../../lib/models/index.js';
import { type TrainEvent, type TrainOptions, train } from '../../lib/train/index.js';
import { trainingCorpus } from '../../lib/train/text-corpus.js';
import { testDevice } from '../device.js';
import { optionsOf, smallShape } from './support.js';

const text = fileURLToPath(new URL('../../data/sample/conrad-typhoon.txt.gz', import.meta.url));
const steps = 50;

interface Runs {
  readonly kind: string;
  readonly tokenizer: 'bpe' | 'wordpiece';
  readonly methods: readonly MethodName[];
  /** Heads of the model; of the small ones, from which some methods grow, half of them. */
  readonly heads?: number;
  readonly keyValueHeads?: number;
}

const families: Readonly<Record<string, Runs>> = {
  gpt: { kind: 'gpt', tokenizer: 'bpe', methods: methodNames },
  bert: { kind: 'bert', tokenizer: 'wordpiece', methods: methodNames },
  llama: {
    kind: 'llama',
    tokenizer: 'bpe',
    methods: methodNames.filter((name) => name !== 'ligo'),
    heads: 4,
    keyValueHeads: 2,
  },
  // LiGO's operators have no form for heads that share keys and values.
  'llama, unshared heads': { kind: 'llama', tokenizer: 'bpe', methods: ['ligo'] },
};

const configOf = (changes: Pick<ModelConfig, 'kind'> & Partial<ModelConfig>) =>
  withDefaults({
    layers: 4,
    hidden: 32,
    vocabSize: 300,
    maxPositions: 32,
    dropout: 0.1,
    attentionDropout: 0.1,
    ...changes,
  });

const options: TrainOptions = { seed: 5, steps, batch: 8, seq: 32, learningRate: 4e-3, warmupSteps: 2 };

const device = await testDevice({ threads: 1 });
t.teardown(() => device.close());
const root = t.testdir();

for (const [title, { kind, tokenizer, methods, heads = 2, keyValueHeads }] of Object.entries(families)) {
  const prepared = await prepareCorpus({
    inputs: [text],
    tokenizer: { train: tokenizer, vocabSize: 300 },
    cacheDir: join(root, 'cache'),
    heldOut: 0.1,
  });
  t.teardown(() => prepared.close());
  const corpus = trainingCorpus(prepared, { evaluationBatches: 4 });
  const config = configOf({ kind, heads, ...(keyValueHeads && { keyValueHeads }) });
  const model = createModel(config);
  const { layers, ...widths } = { ...smallShape, heads: heads / 2 };

  const run = async (name: MethodName, folder: string, more: Partial<TrainOptions> = {}, source?: string) => {
    const common = { ...optionsOf(name), layers: 4, totalSteps: steps, seed: 5 };
    const own = 'source' in common ? { ...common, source, small: { layers, ...widths } } : common;
    const method = createMethod(name, own as never, { model: model.config });
    const events: TrainEvent[] = [];
    const deps = { device, model, method, corpus, checkpointDir: folder, resume: 'auto' as const };
    for await (const event of train({ ...options, ...more }, deps)) events.push(event);
    return { method, events };
  };

  // The small model that some methods begin with.
  const source = join(root, title, 'source');
  const small = createModel({ ...withShape(config, widths), layers });
  const scratch = createMethod('scratch', { layers, totalSteps: steps, seed: 5 });
  for await (const _ of train(options, { device, model: small, method: scratch, corpus, checkpointDir: source }));

  for (const name of methods.filter((each) => ['apollo', 'unshare', 'staged', 'ligo', 'loop'].includes(each))) {
    t.test(`${title}, ${name}: growing leaves the full network as it was`, async (t) => {
      // With a learning rate of next to nothing weights are still, so only the growth could move the loss.
      const more = { learningRate: 1e-12, evaluateEvery: 1 };
      const { events } = await run(name, join(root, title, name, 'still'), more, source);
      const losses = events.filter((event) => event.type === 'evaluation').map((event) => event.lossFull);
      const growths = events.flatMap((event) => (event.type === 'growth' ? [event.step] : []));
      t.ok(growths.length > 0);
      for (const step of growths) {
        const [before, after] = [losses[step] as number, losses[step + 1] as number];
        t.ok(Math.abs(before - after) < 1e-5, `${before} before, ${after} after step ${step}`);
      }
    });
  }

  for (const name of methods) {
    t.test(`${title}, ${name}`, async (t) => {
      const whole = join(root, title, name, 'whole');
      const { method, events } = await run(name, whole, {}, source);
      const evaluations = events.filter((event) => event.type === 'evaluation');
      const [first, last] = [evaluations[0]!.lossFull, evaluations.at(-1)!.lossFull];
      const trained = events.filter((event) => event.type === 'step').map((event) => event.loss);
      const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
      t.ok(last < first, `held-out loss ${first} -> ${last}`);
      if (method.initial) {
        // It begins near where a model trained as long has ended, on the batches that one has seen: well below chance.
        t.ok(first < Math.log(300) - 0.2, `held-out loss ${first} at the beginning`);
      } else {
        t.ok(mean(trained.slice(-5)) < mean(trained.slice(0, 5)), 'training loss');
      }
      t.ok(evaluations.every((event) => Number.isFinite(event.lossFull + event.lossStage)));
      t.ok(
        events.every((event) => event.type !== 'step' || event.applied),
        'every update was applied',
      );

      // Cut in the middle of the first stage and of each stage after a growth, and just before its first step.
      const growths = Array.from({ length: steps }, (_, step) => step).filter((step) => method.growth(step));
      t.same(
        events.flatMap((event) => (event.type === 'growth' ? [event.step] : [])),
        growths,
      );
      const cut = join(root, title, name, 'cut');
      for (const step of [2, ...growths, ...growths.map((step) => step + 2)].sort((a, b) => a - b)) {
        await run(name, cut, { stopAfter: { steps: step } }, source);
      }
      await run(name, cut, {}, source);
      for (const file of ['model.safetensors', 'optimizer.safetensors']) {
        const [a, b] = [whole, cut].map((folder) => readFileSync(join(folder, 'step-00000050', file)));
        t.ok((a as Buffer).equals(b as Buffer), `${file} has the same bits`);
      }
    });
  }
}

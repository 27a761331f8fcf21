/** Every method, on real text: the loss falls, and a run that was cut inside a stage goes on to the same bits. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { prepareCorpus } from '../../lib/data/index.js';
import { createMethod, type MethodName, methodNames } from '../../lib/methods/index.js';
import { createModel, type ModelConfig, withDefaults } from '../../lib/models/index.js';
import { type TrainEvent, type TrainOptions, train } from '../../lib/train/index.js';
import { trainingCorpus } from '../../lib/train/text-corpus.js';
import { testDevice } from '../device.js';
import { optionsOf, smallShape } from './support.js';

const text = fileURLToPath(new URL('../../data/sample/conrad-typhoon.txt.gz', import.meta.url));
const steps = 50;
const kinds = { gpt: 'bpe', bert: 'wordpiece' } as const;

const configOf = (kind: 'gpt' | 'bert', changes: Partial<ModelConfig> = {}) =>
  withDefaults({
    kind,
    layers: 4,
    hidden: 32,
    heads: 2,
    vocab: 300,
    maxPositions: 32,
    dropout: 0.1,
    attentionDropout: 0.1,
    ...changes,
  });

const options: TrainOptions = { seed: 5, steps, batch: 8, seq: 32, learningRate: 4e-3, warmupSteps: 2 };

const device = await testDevice({ threads: 1 });
t.teardown(() => device.close());
const root = t.testdir();

for (const kind of ['gpt', 'bert'] as const) {
  const prepared = await prepareCorpus({
    inputs: [text],
    tokenizer: { train: kinds[kind], vocabSize: 300 },
    cacheDir: join(root, 'cache'),
    heldOut: 0.1,
  });
  t.teardown(() => prepared.close());
  const corpus = trainingCorpus(prepared, { heldOutBatches: 4 });
  const model = createModel(configOf(kind));

  const run = async (name: MethodName, folder: string, more: Partial<TrainOptions> = {}, source?: string) => {
    const common = { ...optionsOf(name), layers: 4, totalSteps: steps, seed: 5 };
    const own = 'source' in common ? { ...common, source } : common;
    const method = createMethod(name, own as never, { model: model.config });
    const events: TrainEvent[] = [];
    const deps = { device, model, method, corpus, checkpointDir: folder, resume: 'auto' as const };
    for await (const event of train({ ...options, ...more }, deps)) events.push(event);
    return { method, events };
  };

  // The small model that some methods begin with.
  const source = join(root, kind, 'source');
  const { layers, ...widths } = smallShape;
  const small = createModel(configOf(kind, { ...widths, layers }));
  const scratch = createMethod('scratch', { layers, totalSteps: steps, seed: 5 });
  for await (const _ of train(options, { device, model: small, method: scratch, corpus, checkpointDir: source }));

  for (const name of ['apollo', 'unshare', 'staged', 'ligo', 'loop'] as const) {
    t.test(`${kind}, ${name}: growing leaves the full network as it was`, async (t) => {
      // With a learning rate of next to nothing weights stand still, so only the growth could move the loss.
      const more = { learningRate: 1e-12, evaluateEvery: 1 };
      const { events } = await run(name, join(root, kind, name, 'still'), more, source);
      const losses = events.filter((event) => event.type === 'evaluation').map((event) => event.lossFull);
      const growths = events.flatMap((event) => (event.type === 'growth' ? [event.step] : []));
      t.ok(growths.length > 0);
      for (const step of growths) {
        const [before, after] = [losses[step] as number, losses[step + 1] as number];
        t.ok(Math.abs(before - after) < 1e-5, `${before} before, ${after} after step ${step}`);
      }
    });
  }

  for (const name of methodNames) {
    t.test(`${kind}, ${name}`, async (t) => {
      const whole = join(root, kind, name, 'whole');
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
      const cut = join(root, kind, name, 'cut');
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

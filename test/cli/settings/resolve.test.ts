import t from 'tap';
import { loadSettings } from '../../../lib/cli/settings/config.js';
import {
  methodNameOf,
  methodOf,
  modelConfigOf,
  modelName,
  seedsOf,
  smallShapeOf,
  totalStepsOf,
  trainOptionsOf,
} from '../../../lib/cli/settings/resolve.js';

const settings = (flags: Record<string, unknown>) => loadSettings({ flags });

t.test('bert and gpt alone are the mini size; fields can be changed', async (t) => {
  t.match(modelConfigOf(settings({ model: 'bert' })), { kind: 'bert', layers: 12, hidden: 256 });
  const changed = settings({ model: { preset: 'gpt-nano', layers: 4, dropout: 0 }, vocabSize: 512 });
  t.match(modelConfigOf(changed), { kind: 'gpt', layers: 4, hidden: 128, vocabSize: 512, dropout: 0 });
  t.equal(modelName(changed), 'gpt-nano, layers 4, dropout 0');
});

t.test('an unknown model or field is answered with the nearest', async (t) => {
  t.throws(() => modelConfigOf(settings({ model: 'gpt-minni' })), {
    code: 'BAD_CONFIG',
    message: /did you mean "gpt-mini"/,
  });
  t.throws(() => modelConfigOf(settings({ model: { preset: 'gpt', layrs: 3 } })), {
    message: /model\.layrs: .*"layers"/,
  });
});

t.test('tokens become steps, rounded up', async (t) => {
  const given = settings({ tokens: 10_000, batch: 4, seq: 32, accumulation: 2 });
  t.equal(totalStepsOf(given, modelConfigOf(given)), 40); // 10,000 / 256 = 39.06
  t.throws(() => totalStepsOf(settings({}), modelConfigOf(settings({}))), { message: /--steps or --tokens/ });
});

t.test('warm-up is a share below 1 and steps from 1', async (t) => {
  const options = (flags: Record<string, unknown>) => {
    const given = settings({ steps: 1000, ...flags });
    return trainOptionsOf(given, modelConfigOf(given), 7, 'f32');
  };
  t.match(options({}), {
    seed: 7,
    steps: 1000,
    batch: 16,
    seq: 128,
    warmupSteps: 25,
    precision: 'f32',
    evaluateEvery: 17,
  });
  t.equal(options({ warmup: 100 }).warmupSteps, 100);
  t.equal(options({ warmup: 0 }).warmupSteps, 0);
  t.match(options({ optimizer: { weightDecay: 0.1 } }), { weightDecay: 0.1 });
  t.match(options({ optimizer: 'muon', muon: { momentum: 0.9 } }), { optimizer: 'muon', muon: { momentum: 0.9 } });
  t.notOk('muon' in options({}), 'AdamW is the default');
});

t.test('a variant is a method with settings of its own', async (t) => {
  const given = settings({
    steps: 100,
    methods: ['scratch', 'ES'],
    methodOptions: { apollo: { sampler: 'uniform', moments: 'reset' } },
    variants: { ES: { method: 'apollo', sampler: 'edge' } },
  });
  const model = modelConfigOf(given);
  t.match(methodOf(given, 'ES', model, 7).settings, { sampler: 'edge', moments: 'reset', totalSteps: 100, seed: 7 });
  t.match(methodOf(given, 'apollo', model, 7).settings, { sampler: 'uniform' });
  t.equal(methodNameOf(given, 'ES'), 'apollo');
  t.equal(methodNameOf(given, 'scratch'), 'scratch');
});

t.test('the smaller model has two thirds of the width in whole heads, unless said otherwise', async (t) => {
  const shape = (model: string, small: object = {}) => {
    const given = settings({ model, small });
    return smallShapeOf(given, modelConfigOf(given));
  };
  t.same(shape('bert-base'), { layers: 12, hidden: 512, heads: 8, ffn: 2048 }); // BERT-Small of the paper
  t.same(shape('gpt-nano'), { layers: 12, hidden: 64, heads: 1, ffn: 256 });
  t.same(shape('smollm-135m'), { layers: 30, hidden: 384, heads: 6, ffn: 1024 }, 'two groups of three of three');
  t.same(shape('llama-nano'), { layers: 12, hidden: 128, heads: 2, ffn: 384 }, 'a group that is all of it');
  t.same(shape('gpt-base', { layers: 6, hidden: 384, heads: 6 }), { layers: 6, hidden: 384, heads: 6, ffn: 1536 });
});

t.test('seeds are counted up from the seed, or given', async (t) => {
  t.same(seedsOf(settings({ seed: 5, seeds: 3 })), [5, 6, 7]);
  t.same(seedsOf(settings({ seeds: [9, 2] })), [9, 2]);
  t.throws(() => seedsOf(settings({ seeds: [2, 2] })), { code: 'BAD_ARGUMENT' });
});

import t from 'tap';
import { type LigoOptions, ligo } from '../../lib/methods/index.js';
import { preset, withDefaults } from '../../lib/models/index.js';

const model = preset('bert-base');
const small = { layers: 6, hidden: 512, heads: 8, ffn: 2048 };
const base = { layers: 12, totalSteps: 1000, seed: 42, source: 'runs/small', small };
const make = (options: Partial<LigoOptions> = {}) => ligo({ ...base, ...options }, { model });

t.test('operators train first, then the model', (t) => {
  const method = make({ operatorLearningRate: 0.002 });
  t.same(method.settings, {
    ...base,
    operatorSteps: 100,
    operatorLearningRate: 0.002,
    widthInit: 'rand',
    depthInit: 'stackbert_noisy',
    selectionNoise: 0,
  });
  const layerMap = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11];
  for (const step of [0, 50, 99]) {
    const { trainable, ...plan } = method.plan(step);
    t.match(plan, { trainedLayers: 12, depth: 12, layerMap, learningRate: { value: 0.002 } });
    t.ok(trainable?.('operator.embeddings.width'));
    t.ok(trainable?.('operator.layer.3.ffn.norm.bias.depth'));
    t.notOk(trainable?.('small.embeddings.word'));
    const { reparameterisation, ...stage } = method.stageAt(step);
    t.same(stage, { index: 0, trainedLayers: 12 });
    t.ok(reparameterisation);
    t.equal(reparameterisation, method.stageAt(0).reparameterisation, 'the same for the whole stage');
  }
  for (const step of [100, 999]) {
    t.same(method.plan(step), { trainedLayers: 12, depth: 12, layerMap });
    t.same(method.stageAt(step), { index: 1, trainedLayers: 12 });
  }
  const switches = Array.from({ length: 1000 }, (_, step) => step).filter((step) => method.growth(step));
  t.same(switches, [100]);
  t.same(method.growth(100), { kind: 'materialise', from: 12, to: 12 });
  t.same(method.evaluationMaps(5), { full: layerMap, stage: layerMap });
  t.same(make({ operatorSteps: 7 }).growth(7), { kind: 'materialise', from: 12, to: 12 });
  t.end();
});

t.test('FLOPs of the operators, 6 x 512 to 12 x 768', (t) => {
  // Small width a = 512, new c = 256, large A = 768; feed-forward f = 2048, g = 1024, F = 3072; 6 small layers.
  const [a, c, f, g, A, F] = [512, 256, 2048, 1024, 768, 3072];
  const perLayer =
    // Depth: 2 FLOPs for each element of a layer (4 a^2 + 2 a f, and 4 a + f + a + 4 a of vectors) and small layer.
    2 * 6 * (4 * a * a + 2 * a * f + 9 * a + f) +
    // Q, K, V, O: inputs [c, a] x [a, a], outputs [A, a] x [a, c].
    4 * (2 * c * a * a + 2 * A * a * c) +
    // Up: [c, a] x [a, f], [A, a->f] x [f, g]; down: [g, f] x [f, a], [F, f->a] x [a, c].
    (2 * c * a * f + 2 * A * f * g) +
    (2 * g * f * a + 2 * F * a * c) +
    // Vectors: biases of Q, K, V, O and down and four of norms have a elements, up's has f.
    9 * 2 * a * c +
    2 * f * g;
  const shared =
    // Tables of 30522 words, 512 positions and 2 types; head transform; five vectors of norms and head.
    2 * (30522 + 512 + 2) * a * c + (2 * c * a * a + 2 * A * a * c) + 5 * 2 * a * c;
  t.equal(make().plan(0).extraFlops, 3 * (12 * perLayer + shared));
  // The network's own step costs 2.2e13 at 256 sequences of 128 tokens; the operators add less than 2 %.
  const step = 3 * 256 * 128 * (12 * (24 * A * A + 4 * 128 * A) + 2 * A * A + 2 * A * 30522);
  t.ok((make().plan(0).extraFlops as number) < 0.02 * step);
  t.end();
});

t.test('the source must be the small model', (t) => {
  const { initial } = make();
  const source = { ...model, ...small };
  t.equal(initial?.source, 'runs/small');
  t.doesNotThrow(() => initial?.check(source, 6));
  t.throws(() => initial?.check(source, 3), { code: 'BAD_CONFIG', message: /ligo\.source: .*layers 6.*layers 3/ });
  t.throws(() => initial?.check({ ...source, vocabSize: 100 }, 6), { code: 'BAD_CONFIG', message: /vocab/ });
  t.throws(() => initial?.value({ name: 'embeddings.word' } as never, {} as never), { code: 'INTERNAL' });
  t.end();
});

t.test('settings that are wrong are named', (t) => {
  const fails = (options: Record<string, unknown>, message: RegExp) =>
    t.throws(() => ligo({ ...base, ...options } as LigoOptions, { model }), { code: 'BAD_CONFIG', message });
  fails({ source: undefined }, /ligo\.source/);
  fails({ small: undefined }, /ligo\.small/);
  fails({ small: { ...small, hidden: 1024, heads: 16 } }, /ligo\.small\.hidden: .*768; got 1024/);
  fails({ small: { ...small, layers: 13 } }, /ligo\.small\.layers: .*12; got 13/);
  fails({ small: { ...small, heads: 4 } }, /ligo\.small\.heads/);
  fails({ operatorSteps: 1000 }, /ligo\.operatorSteps: .*fewer than the run's 1000 steps.*got 1000/);
  fails({ operatorSteps: 0 }, /ligo\.operatorSteps/);
  fails({ operatorLearningRate: 0 }, /ligo\.operatorLearningRate/);
  fails({ widthInit: 'random' }, /ligo\.widthInit: .*got "random"/);
  fails({ depthInit: 'stack' }, /ligo\.depthInit: .*got "stack"/);
  fails({ layers: 11 }, /ligo\.layers: expected the model's 12; got 11/);
  const grouped = preset('llama-mini', { keyValueHeads: 2 });
  t.throws(() => ligo({ ...base, small: { layers: 2, hidden: 128, heads: 2, ffn: 64 } }, { model: grouped }), {
    code: 'BAD_CONFIG',
    message: /^ligo: model\.keyValueHeads must be the 4 of model\.heads; got 2\. .* Use bert2bert or net2net\.$/,
  });
  t.throws(() => ligo(base, {}), { code: 'BAD_CONFIG', message: /finished model/ });
  t.end();
});

t.test('equal depth and equal width are allowed', (t) => {
  const gpt = withDefaults({ kind: 'gpt', layers: 12, hidden: 768, vocabSize: 100, maxPositions: 64 });
  for (const sizes of [
    { ...small, layers: 12 },
    { layers: 3, hidden: 768, heads: 12, ffn: 3072 },
  ]) {
    t.equal(ligo({ ...base, small: sizes }, { model: gpt }).plan(999).depth, 12);
  }
  t.end();
});

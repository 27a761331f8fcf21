import t from 'tap';
import type { InitialWeights, MethodContext } from '../../lib/methods/index.js';
import { type Net2NetOptions, net2net } from '../../lib/methods/net2net.js';
import type { ModelConfig } from '../../lib/models/index.js';
import { testDevice } from '../device.js';
import { compute, distance, grown, type Network, randomNetwork, sourceOf, tinyConfig } from './networks.js';

const narrow = { layers: 2, hidden: 8, heads: 2, ffn: 12 };
const wide = { layers: 5, hidden: 16, heads: 4, ffn: 24 };
const base = { totalSteps: 1000, seed: 42, source: 'runs/small/checkpoints' };

const make = (config: ModelConfig, options: Partial<Net2NetOptions> = {}, context: MethodContext = { model: config }) =>
  net2net({ ...base, layers: config.layers, small: narrow, map: 'even', noise: 0, ...options }, context);

const grow = (config: ModelConfig, network: Network, options: Partial<Net2NetOptions> = {}) =>
  grown(config, (make(config, options).initial as InitialWeights).value, sourceOf(network));

/** Norms as they are at the beginning of training: weights of one, biases of zero. */
const withPlainNorms = ({ model, values }: Network): Network => ({
  model,
  values: new Map(
    [...values].map(([name, value]) => [
      name,
      name.includes('norm') ? value.map(() => (name.endsWith('weight') ? 1 : 0)) : value,
    ]),
  ),
});

t.test('every step trains the whole model', async (t) => {
  const method = make(tinyConfig('gpt', wide));
  t.same(method.plan(7), { trainedLayers: 5, depth: 5, layerMap: [0, 1, 2, 3, 4] });
  t.same(method.evaluationMaps(7), { full: [0, 1, 2, 3, 4], stage: [0, 1, 2, 3, 4] });
  t.equal(method.growth(0), undefined);
  t.same(method.settings, { ...base, layers: 5, small: narrow, map: 'even', noise: 0 });
  const { settings } = net2net({ ...base, layers: 5, small: narrow }, { model: tinyConfig('gpt', wide) });
  t.match(settings, { map: 'random', noise: 0.01 }, 'unless told otherwise');
});

for (const kind of ['gpt', 'llama']) {
  t.test(`on the engine: a ${kind} doubled in width and deepened computes what the small one does`, async (t) => {
    await using device = await testDevice();
    const network = randomNetwork(tinyConfig(kind, narrow), 6);
    const expected = await compute(device, network);
    const config = tinyConfig(kind, wide);
    const { logits, loss, gradients } = await compute(device, await grow(config, network));
    t.ok(distance(logits, expected.logits) < 2e-5, `logits differ by ${distance(logits, expected.logits)}`);
    t.ok(Math.abs(loss - expected.loss) < 2e-5 * expected.loss);
    // A branch that ends in zeros: its last projection learns at once, what comes before it from the second step on.
    const largest = (name: string) => Math.max(...Array.from(gradients.get(name) as Float32Array, Math.abs));
    t.ok(largest('layer.1.ffn.down.weight') > 0);
    t.equal(largest('layer.1.ffn.up.weight'), 0);
    // Why there is noise: a copied feed-forward unit gets its original's gradient, in and out.
    const [up, down] = ['up', 'down'].map((part) => gradients.get(`layer.0.ffn.${part}.weight`) as Float32Array);
    const near = (a: Float32Array | undefined, b: Float32Array | undefined) =>
      t.ok(distance(a as Float32Array, b as Float32Array) < 2e-5);
    near(
      up?.filter((_, at) => at % 24 < 12),
      up?.filter((_, at) => at % 24 >= 12),
    );
    near(down?.subarray(0, 12 * 16), down?.subarray(12 * 16));
  });
}

t.test('on the engine: new layers of a BERT leave it alone as far as two norms after another are one', async (t) => {
  await using device = await testDevice();
  const deep = { ...narrow, layers: 5 };
  // With norms of weight one, a second norm changes its input only through epsilon; take the one of BERT.
  const small = { ...tinyConfig('bert', narrow), epsilon: 1e-12 };
  const config = { ...tinyConfig('bert', deep), epsilon: 1e-12 };
  for (const { network, exact } of [
    { network: withPlainNorms(randomNetwork(small, 6)), exact: true },
    { network: randomNetwork(small, 6), exact: false },
  ]) {
    const expected = await compute(device, network);
    const error = distance((await compute(device, await grow(config, network))).logits, expected.logits);
    t.comment(`norms ${exact ? 'plain' : 'random'}: logits differ by ${error.toExponential(1)}`);
    t.equal(error < 2e-5, exact);
  }
});

t.test('new layers are above those they copy; their branches end in zeros', async (t) => {
  for (const kind of ['gpt', 'bert'] as const) {
    const config = tinyConfig(kind, { ...narrow, layers: 5 });
    const network = randomNetwork(tinyConfig(kind, narrow), 6);
    const { values } = await grow(config, network);
    // interpolate(2, 5) = 0 0 0 1 1: layers 0 and 3 are the small model's.
    for (const [layer, from, isNew] of [
      [0, 0, false],
      [1, 0, true],
      [2, 0, true],
      [3, 1, false],
      [4, 1, true],
    ] as const) {
      for (const part of ['attention.output.weight', 'attention.output.bias', 'ffn.down.weight', 'ffn.down.bias']) {
        const expected = (network.values.get(`layer.${from}.${part}`) as Float32Array).map((x) => (isNew ? 0 : x));
        t.same(values.get(`layer.${layer}.${part}`), expected, `${kind} ${layer} ${part}`);
      }
      t.same(values.get(`layer.${layer}.ffn.up.weight`), network.values.get(`layer.${from}.ffn.up.weight`));
      t.same(values.get(`layer.${layer}.ffn.norm.bias`), network.values.get(`layer.${from}.ffn.norm.bias`));
      const plain = kind === 'bert' && isNew;
      for (const [part, value] of [
        ['attention.norm.weight', 1],
        ['attention.norm.bias', 0],
      ] as const) {
        const expected = network.values.get(`layer.${from}.${part}`)?.map((x) => (plain ? value : x));
        t.same(values.get(`layer.${layer}.${part}`), expected, `${kind} ${layer} ${part}`);
      }
    }
  }
});

t.test('noise parts the copies: on new columns alone, as large as asked for, the same every time', async (t) => {
  const config = tinyConfig('gpt', { ...wide, layers: 2, hidden: 64, heads: 16, ffn: 96 });
  const small = { layers: 2, hidden: 32, heads: 8, ffn: 48 };
  const network = randomNetwork(tinyConfig('gpt', small), 6);
  const exact = await grow(config, network, { small });
  const noisy = await grow(config, network, { small, noise: 0.01 });
  t.same((await grow(config, network, { small, noise: 0.01 })).values, noisy.values);
  t.not(
    (await grow(config, network, { small, noise: 0.01, seed: 1 })).values.get('layer.0.ffn.up.weight')?.join(),
    noisy.values.get('layer.0.ffn.up.weight')?.join(),
  );
  for (const name of ['embeddings.word', 'final.norm.weight', 'layer.0.ffn.up.bias']) {
    t.same(noisy.values.get(name), exact.values.get(name), name);
  }
  const [clean, changed] = [exact, noisy].map(({ values }) => values.get('layer.1.ffn.up.weight') as Float32Array);
  const difference = (changed as Float32Array).map((x, i) => x - (clean?.[i] as number)); // [64, 96] of [32, 48]
  const rms = (values: Float32Array) => Math.sqrt(values.reduce((sum, x) => sum + x * x, 0) / values.length);
  const isNew = (at: number) => at % 96 >= 48;
  t.ok(difference.every((x, at) => isNew(at) || x === 0));
  // 3072 draws: the standard deviation of their root mean square is 1.3 %.
  const ratio = rms(difference.filter((_, at) => isNew(at))) / rms(clean as Float32Array);
  t.ok(Math.abs(ratio / 0.01 - 1) < 0.08, `noise of ${ratio}`);
});

t.test('settings that are wrong are named', async (t) => {
  const config = tinyConfig('gpt', wide);
  const fails = (options: Record<string, unknown>, message: RegExp, context?: MethodContext) =>
    t.throws(() => make(config, options as Partial<Net2NetOptions>, context), { code: 'BAD_CONFIG', message });
  fails({}, /net2net grows in width and needs the finished model's configuration/, {});
  fails({ noise: -1 }, /net2net\.noise: .*got -1/);
  fails({ map: 'odd' }, /net2net\.map: .*got "odd"/);
  fails({ small: { ...narrow, ffn: 25 } }, /net2net\.small\.ffn: must be at most the model's 24; got 25/);
});

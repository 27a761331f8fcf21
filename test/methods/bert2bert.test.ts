import t from 'tap';
import { interpolate } from '../../lib/growth/index.js';
import { type Bert2BertOptions, bert2bert } from '../../lib/methods/bert2bert.js';
import type { InitialWeights, MethodContext, StepPlan } from '../../lib/methods/index.js';
import { preset, withDefaults } from '../../lib/models/index.js';
import { testDevice } from '../device.js';
import { compute, distance, grown, randomNetwork, sourceOf, tinyConfig } from './networks.js';

const small = { layers: 12, hidden: 512, heads: 8, ffn: 2048 };
const base = { layers: 12, totalSteps: 1000, seed: 42, small, source: 'runs/small/checkpoints' };
const model = preset('bert-base');
const make = (options: Partial<Bert2BertOptions> = {}, context: MethodContext = { model }) =>
  bert2bert({ ...base, ...options }, context);

t.test('without sub-models every step trains the whole model', async (t) => {
  const method = make();
  const all = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11];
  for (const step of [0, 500, 999]) {
    t.same(method.plan(step), { trainedLayers: 12, depth: 12, layerMap: all });
    t.same(method.evaluationMaps(step), { full: all, stage: all });
    t.equal(method.growth(step), undefined);
    t.same(method.stageAt(step), { index: 0, trainedLayers: 12 });
  }
  t.same(method.settings, { ...base, mode: 'aki', map: 'random' });
  t.equal(method.initial?.source, 'runs/small/checkpoints');
});

t.test('sub-models: prefixes of a multiple of their layers, whose top layers and head train', async (t) => {
  const subModel = { layers: 3, fraction: 0.125 }; // the paper's best: 3 layers for 5 of 40 epochs
  const method = make({ subModel });
  const plans = Array.from({ length: 1000 }, (_, step) => method.plan(step));
  t.ok(plans.every(({ trainable }, step) => (trainable !== undefined) === step < 125));
  t.same(plans[125], { trainedLayers: 12, depth: 12, layerMap: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11] });
  t.same([...new Set(plans.slice(0, 125).map(({ depth }) => depth))].sort(), [12, 3, 6, 9], 'all four prefixes occur');
  for (const { depth, trainedLayers, layerMap, forwardOnly } of plans.slice(0, 125)) {
    t.equal(trainedLayers, 12);
    t.same(layerMap, interpolate(depth, depth));
    t.equal(forwardOnly, depth === 3 ? undefined : depth - 3, 'layers below the top three cost a forward pass only');
  }
  const trains = (depth: number) => (plans.find((plan) => plan.depth === depth) as StepPlan).trainable ?? (() => false);
  for (let layer = 0; layer < 12; layer++) {
    t.equal(trains(9)(`layer.${layer}.ffn.up.weight`), layer >= 6 && layer < 9, `layer ${layer} in a prefix of 9`);
  }
  for (const depth of [3, 9]) {
    for (const name of ['head.transform.weight', 'head.norm.bias', 'head.bias']) {
      t.ok(trains(depth)(name), `${name} is part of the head`);
    }
    for (const name of ['embeddings.word', 'embeddings.position', 'embeddings.type', 'embeddings.norm.weight']) {
      t.equal(trains(depth)(name), depth === 3, `${name} is below the frozen layers of deeper prefixes`);
    }
  }
  t.ok(
    make({ subModel }, { model: preset('bert-base') })
      .plan(0)
      .trainable?.('final.norm.weight'),
  );
});

t.test('prefixes are drawn uniformly, a function of seed and step', async (t) => {
  const subModel = { layers: 3, fraction: 1 };
  const depths = (seed: number) => {
    const method = make({ seed, subModel, totalSteps: 4000 });
    return Array.from({ length: 4000 }, (_, step) => method.plan(3999 - step).depth).reverse();
  };
  const drawn = depths(1);
  t.same(depths(1), drawn);
  t.not(depths(2).join(), drawn.join());
  for (const depth of [3, 6, 9, 12]) {
    const count = drawn.filter((d) => d === depth).length;
    t.ok(Math.abs(count - 1000) < 150, `depth ${depth}: ${count} of 4000`); // more than 5 standard deviations of 27
  }
});

const narrow = { layers: 3, hidden: 8, heads: 2, ffn: 12 };
const wide = { layers: 3, hidden: 16, heads: 4, ffn: 24 };

/** The initial weights of a method that grows `narrow` into `config`. */
function initialOf(config: ReturnType<typeof tinyConfig>, options: Partial<Bert2BertOptions> = {}): InitialWeights {
  const method = bert2bert(
    { ...base, layers: config.layers, small: narrow, map: 'even', ...options },
    { model: config },
  );
  return method.initial as InitialWeights;
}

t.test('on the engine: fpi computes what the small model does, aki does not', async (t) => {
  await using device = await testDevice();
  for (const kind of ['gpt', 'bert', 'llama']) {
    const groups = (keyValueHeads: number) => kind === 'llama' && { keyValueHeads };
    const network = randomNetwork(tinyConfig(kind, { ...narrow, ...groups(1) }), 5);
    const config = tinyConfig(kind, { ...wide, ...groups(2) });
    const expected = await compute(device, network);
    const logitsOf = async (mode: 'fpi' | 'aki') =>
      (await compute(device, await grown(config, initialOf(config, { mode }).value, sourceOf(network)))).logits;
    const fpi = distance(await logitsOf('fpi'), expected.logits);
    t.ok(fpi < 2e-5, `${kind}: logits differ by ${fpi.toExponential(1)}`);
    t.ok(distance(await logitsOf('aki'), expected.logits) > 1e-2);
  }
});

t.test('aki: new columns come from the layer above, those of the last layer from itself', async (t) => {
  const config = tinyConfig('gpt', wide);
  const network = randomNetwork(tinyConfig('gpt', narrow), 5);
  const { values } = await grown(config, initialOf(config).value, sourceOf(network));
  const get = (of: ReadonlyMap<string, Float32Array>, name: string) => of.get(name) as Float32Array;
  const [inputs, outputs] = [8, 12];
  for (const [layer, above] of [
    [0, 1],
    [1, 2],
    [2, 2],
  ]) {
    const made = get(values, `layer.${layer}.ffn.up.weight`); // [16, 24] of [8, 12], every input copied twice
    const own = get(network.values, `layer.${layer}.ffn.up.weight`);
    const next = get(network.values, `layer.${above}.ffn.up.weight`);
    for (const [row, column] of [
      [0, 0],
      [3, 11],
      [11, 5],
    ] as const) {
      const from = (row % inputs) * outputs + column;
      t.equal(made[row * 24 + column], (own[from] as number) / 2);
      t.equal(made[row * 24 + column + outputs], (next[from] as number) / 2);
    }
    const bias = get(network.values, `layer.${above}.attention.qkv.bias`);
    // Columns of the values' block: [0, 8) are the layer's own, [8, 16) are copies.
    t.equal(get(values, `layer.${layer}.attention.qkv.bias`)[32 + 8 + 3], bias[16 + 3]);
    t.equal(
      get(values, `layer.${layer}.ffn.norm.weight`)[8 + 3],
      get(network.values, `layer.${layer}.ffn.norm.weight`)[3],
      'norms are copied from their own layer',
    );
  }
  t.equal(get(values, 'final.norm.weight')[9], (get(network.values, 'final.norm.weight')[1] as number) / 2);
  t.equal(get(values, 'embeddings.word')[16 + 9], get(network.values, 'embeddings.word')[8 + 1]);
});

t.test('depth: the widened layers are stacked, the remainder from the top', async (t) => {
  const config = tinyConfig('bert', { ...wide, layers: 8 });
  const network = randomNetwork(tinyConfig('bert', narrow), 5);
  for (const mode of ['fpi', 'aki'] as const) {
    const { values } = await grown(config, initialOf(config, { mode }).value, sourceOf(network));
    for (const [layer, same] of [0, 1, 2, 0, 1, 2, 1, 2].entries()) {
      for (const part of ['attention.qkv.weight', 'ffn.down.weight', 'ffn.norm.bias']) {
        t.same(values.get(`layer.${layer}.${part}`), values.get(`layer.${same}.${part}`), `${part} of ${layer}`);
      }
      const norm = network.values.get(`layer.${same}.ffn.norm.bias`);
      t.same(values.get(`layer.${layer}.ffn.norm.bias`)?.subarray(0, 8), norm);
    }
  }
});

t.test('the checkpoint must hold the model that the settings describe', async (t) => {
  const check = make().initial?.check ?? (() => t.fail('no check'));
  const source = withDefaults({ ...model, ...small });
  t.doesNotThrow(() => check(source, 12));
  t.throws(() => check(source, 6), {
    code: 'BAD_CONFIG',
    message: /bert2bert\.source: expected a model of layers 12; it has layers 6/,
  });
  t.throws(() => check({ ...source, vocabSize: 100, hidden: 256 }, 12), {
    message: /expected a model of hidden 512, vocabSize 30522; it has hidden 256, vocabSize 100/,
  });
  t.throws(() => check(preset('gpt-small'), 12), { message: /kind bert.*kind gpt/ });
});

t.test('settings that are wrong are named', async (t) => {
  const fails = (options: Record<string, unknown>, message: RegExp, context?: MethodContext) =>
    t.throws(() => make(options as Partial<Bert2BertOptions>, context), { code: 'BAD_CONFIG', message });
  fails({}, /bert2bert grows in width and needs the finished model's configuration/, {});
  fails({ layers: 6 }, /bert2bert\.layers: expected the model's 12; got 6/);
  fails({ mode: 'api' }, /bert2bert\.mode: .*got "api"/);
  fails({ source: '' }, /bert2bert\.source/);
  fails({ small: { ...small, hidden: 1024, heads: 16 } }, /small\.hidden: must be at most the model's 768; got 1024/);
  fails({ small: { ...small, layers: 13 } }, /small\.layers: must be at most the model's 12; got 13/);
  fails({ small: { ...small, heads: 4 } }, /small\.heads: .*64 dimensions; got 4 heads in 512/);
  const grouped = { model: preset('llama-mini', { heads: 8, keyValueHeads: 4 }) };
  fails(
    { small: { layers: 2, hidden: 96, heads: 3, ffn: 64 } },
    /bert2bert\.small\.heads: must be a multiple of the 2 that share a key\/value head; got 3/,
    grouped,
  );
  fails({ subModel: { layers: 5, fraction: 0.1 } }, /subModel\.layers: must divide the model's 12 layers; got 5/);
  fails({ subModel: { layers: 3, fraction: 1.5 } }, /subModel\.fraction: .*got 1\.5/);
});

/**
 * Growth in width on real networks: what must compute the same does, up to the roundings of f32. Exact are all networks
 * whose stream has equally many copies of each unit, since its mean square and variance stay what they were; so are copies of
 * feed-forward units by any map, where gate and up are copied by the same one, since the activation and SwiGLU's product act
 * on each unit alone; and so are copies of whole heads by any map, of unchanged size, in which rotary positions turn the
 * same pairs, where a copied query head reads the copy of its key/value head.
 */
import t from 'tap';
import { copyCounts } from '../../lib/growth/index.js';
import {
  advanceTensor,
  doubleMoment,
  doubleTensor,
  expandTensor,
  isAdvanced,
  specsByPart,
  type WidthMaps,
  widthMaps,
} from '../../lib/methods/width-expansion.js';
import { createModel, type ModelConfig, type ParameterSpec, withShape } from '../../lib/models/index.js';
import { testDevice } from '../device.js';
import { changed, compute, distance, grown, randomNetwork, sourceOf, specsOf, tinyConfig } from './networks.js';

const device = await testDevice();
t.teardown(() => device.close());

const narrow = { layers: 2, hidden: 8, heads: 2, ffn: 10 };
const doubled = { layers: 2, hidden: 16, heads: 4, ffn: 20 };
const uneven = { layers: 2, hidden: 12, heads: 3, ffn: 16 };

interface Growing {
  readonly name: string;
  readonly from: ModelConfig;
  readonly doubled: ModelConfig;
  /** Absent where heads that share a key/value head cannot grow by half. */
  readonly uneven?: ModelConfig;
}

const ofKind = (kind: string): Growing => ({
  name: kind,
  from: tinyConfig(kind, narrow),
  doubled: tinyConfig(kind, doubled),
  uneven: tinyConfig(kind, uneven),
});

/** Llama with four heads of two dimensions that share `keyValueHeads`. */
function llamas(keyValueHeads: number, own: Partial<ModelConfig> = {}): Growing {
  const from = tinyConfig('llama', { ...narrow, heads: 4, keyValueHeads, ...own });
  const wider = (sizes: typeof narrow) => withShape(from, { ...sizes, heads: 2 * sizes.heads });
  return {
    name: `llama with ${keyValueHeads} key/value heads of 4`,
    from,
    doubled: wider(doubled),
    ...(keyValueHeads > 1 && { uneven: wider(uneven) }),
  };
}

const networks: readonly Growing[] = [
  ofKind('gpt'),
  ofKind('bert'),
  llamas(4, { attentionBias: 'all', ffnBias: true }),
  llamas(2, { tied: false, attentionBias: 'qkv' }),
  llamas(1, { queryKeyNorms: true }),
];

/** Twelve products of sums of f32 one behind another; a wrong factor anywhere shows in the first digit. */
const roundings = 2e-5;

/** The narrow network's spec of a parameter. */
const narrowSpec = (config: ModelConfig, part: string): ParameterSpec => specsByPart(config).get(part)!;

const double = (spec: ParameterSpec, values: Float32Array) =>
  changed(device, spec, values, (before) => doubleTensor(spec, before));
const moment = (spec: ParameterSpec, values: Float32Array, factor: number) =>
  changed(device, spec, values, (before) => doubleMoment(spec, before, factor));

const expandWith =
  (maps: WidthMaps): Parameters<typeof grown>[1] =>
  async ({ name, part, layer }, source) =>
    expandTensor(narrowSpec(source.config, part), await source.read(name), maps, layer);

t.test('every parameter of both models grows into its shape', async (t) => {
  for (const { name, from, doubled, uneven: to = doubled } of networks) {
    const wide = new Map(specsOf(createModel(to)).map((spec) => [spec.name, spec.shape]));
    const maps = widthMaps(from, to, { rule: 'random', seed: 3 });
    for (const spec of specsOf(createModel(from))) {
      const values = new Float32Array(spec.shape.reduce((a, b) => a * b, 1));
      const elements = wide.get(spec.name)?.reduce((a, b) => a * b, 1);
      t.equal((await expandTensor(spec, values, maps, spec.layer)).length, elements, `${name} ${spec.name}`);
    }
  }
});

t.test('the stream has one map, heads and feed-forward units one for each layer, all of whole heads', async (t) => {
  const [from, to] = [
    tinyConfig('gpt', { layers: 1, hidden: 32, heads: 8, ffn: 64 }),
    tinyConfig('gpt', { layers: 1, hidden: 48, heads: 12, ffn: 96 }),
  ];
  const maps = widthMaps(from, to, { rule: 'random', seed: 1 });
  t.equal(maps('vocab', 0), undefined);
  t.equal(maps('hidden', 0)?.join(), maps('hidden', 5)?.join());
  t.not(maps('heads', 0)?.join(), maps('heads', 1)?.join());
  t.not(maps('ffn', 0)?.join(), maps('ffn', 1)?.join());
  const heads = maps('heads', 3) ?? [];
  t.equal(heads.length, 48);
  heads.forEach((dimension, i) => {
    if (dimension % 4 !== i % 4) t.fail(`dimension ${i} of a head copies ${dimension}`);
  });
  t.same(
    widthMaps(from, to, { rule: 'even', seed: 1 })('heads', 0),
    Array.from({ length: 48 }, (_, i) => i % 32),
  );
  const again = widthMaps(from, to, { rule: 'random', seed: 1 });
  t.same(again('ffn', 4), maps('ffn', 4), 'in any order of requests');
});

t.test('heads that share a key/value head: copies of query heads read the copy of the one theirs reads', async (t) => {
  const [from, to] = [
    tinyConfig('llama', { layers: 1, hidden: 16, heads: 8, ffn: 8, keyValueHeads: 4 }),
    tinyConfig('llama', { layers: 1, hidden: 28, heads: 14, ffn: 8, keyValueHeads: 7 }),
  ];
  for (const rule of ['random', 'even'] as const) {
    const maps = widthMaps(from, to, { rule, seed: 2 });
    const [heads, groups] = [maps('heads', 0), maps('keyValueHeads', 0)] as [number[], number[]];
    t.same([heads.length, groups.length], [28, 14]);
    heads.forEach((dimension, i) => {
      const [head, copy] = [Math.floor(dimension / 2), Math.floor(i / 2)];
      const read = Math.floor((groups[2 * Math.floor(copy / 2)] as number) / 2);
      if (Math.floor(head / 2) !== read) t.fail(`${rule}: head ${copy} copies ${head} and reads a copy of ${read}`);
    });
  }
  const more = widthMaps(from, { ...to, keyValueHeads: 7, heads: 28, hidden: 56 }, { rule: 'even', seed: 2 });
  t.same(more('heads', 0)?.slice(0, 8), [0, 1, 2, 3, 0, 1, 2, 3], 'groups may grow too: heads 0 1 0 1 of the first');
});

for (const { name, from, doubled, uneven } of networks) {
  t.test(
    `${name}: doubling by copies computes the same, however heads and feed-forward units are copied`,
    async (t) => {
      const small = randomNetwork(from, 11);
      const expected = await compute(device, small);
      const even = widthMaps(from, doubled, { rule: 'even', seed: 0 });
      const random = widthMaps(from, doubled, { rule: 'random', seed: 4 });
      const mixed: WidthMaps = (axis, layer) => (axis === 'hidden' ? even : random)(axis, layer);
      const counts = copyCounts(mixed('ffn', 0) ?? [], from.ffn);
      t.ok(new Set(counts).size > 1, 'counts of feed-forward units differ');
      for (const maps of [even, mixed]) {
        const { loss, logits } = await compute(device, await grown(doubled, expandWith(maps), sourceOf(small)));
        t.ok(distance(logits, expected.logits) < roundings, `logits: ${distance(logits, expected.logits)}`);
        t.ok(Math.abs(loss - expected.loss) < roundings * expected.loss, `loss ${loss}, was ${expected.loss}`);
      }
    },
  );

  if (uneven) {
    t.test(
      `${name}: with unequal counts in the stream the norms weigh units by their copies: near, not exact`,
      async (t) => {
        const small = randomNetwork(from, 11);
        const expected = await compute(device, small);
        const value = expandWith(widthMaps(from, uneven, { rule: 'even', seed: 0 }));
        const { logits } = await compute(device, await grown(uneven, value, sourceOf(small)));
        // Eight units of which four count twice in every mean and variance: as far from exact as it gets.
        const difference = distance(logits, expected.logits);
        t.comment(`${name} 8 -> 12: logits differ by ${difference.toFixed(3)} of the largest`);
        t.ok(difference > 100 * roundings && difference < 1);
      },
    );
  }

  t.test(`${name}: diag(W, W) computes the same, and gradients halve as the moments' rule says`, async (t) => {
    const small = randomNetwork(from, 12);
    const expected = await compute(device, small);
    const wide = await grown(
      doubled,
      async ({ name, part }, source) => double(narrowSpec(from, part), await source.read(name)),
      sourceOf(small),
    );
    const { loss, logits, gradients } = await compute(device, wide);
    t.ok(distance(logits, expected.logits) < roundings, `logits: ${distance(logits, expected.logits)}`);
    t.ok(Math.abs(loss - expected.loss) < roundings * expected.loss);
    t.equal(gradients.size, expected.gradients.size);
    const byName = new Map(specsOf(createModel(from)).map((spec) => [spec.name, spec]));
    for (const [name, gradient] of expected.gradients) {
      const spec = byName.get(name)!;
      // Outside of the diagonal, where the moments are zero, the gradient is that of the diagonal.
      const inside = await double(spec, new Float32Array(gradient.length).fill(1));
      const got = (gradients.get(name) as Float32Array).map((value, i) => (inside[i] === 0 ? 0 : value));
      const half = await moment(spec, gradient, 1 / 2);
      // Of biases that add the same to all scores of a query (keys') the gradient is 0 but for roundings.
      const scale = Math.max(...Array.from(half, Math.abs), 1e-3);
      const error = Math.max(...Array.from(got, (value, i) => Math.abs(value - (half[i] as number)))) / scale;
      t.ok(error < 10 * roundings, `${name}: ${error.toExponential(1)}`);
    }
  });
}

t.test('moments of the doubled network: halved and quartered, but for the last norm and the output bias', async (t) => {
  const sizes = { layers: 1, hidden: 2, heads: 1, ffn: 2 };
  const [gpt, bert] = [tinyConfig('gpt', sizes), tinyConfig('bert', sizes)];
  const specOf = (part: string) => specsByPart(gpt).get(part) ?? narrowSpec(bert, part);
  const grow = async (part: string, values: number[], factor: number) => {
    const spec = specOf(part);
    const shape = spec.shape.length === 1 ? [values.length] : [values.length / spec.shape[1]!, spec.shape[1]!];
    return Array.from(await moment({ ...spec, shape }, Float32Array.from(values), factor));
  };
  t.same(await grow('ffn.norm.weight', [2, 4], 1 / 2), [1, 2, 1, 2]);
  t.same(await grow('ffn.norm.weight', [4, 8], 1 / 4), [1, 2, 1, 2]);
  t.same(await grow('final.norm.weight', [2, 4], 1 / 2), [2, 4, 2, 4]);
  t.same(await grow('head.norm.bias', [2, 4], 1 / 4), [2, 4, 2, 4]);
  t.same(await grow('head.bias', [1, 2, 3], 1 / 2), [1, 2, 3]);
  t.same(await grow('embeddings.word', [2, 4, 6, 8, 10, 12], 1 / 2), [1, 2, 1, 2, 3, 4, 3, 4, 5, 6, 5, 6]);
  t.same(await grow('ffn.up.weight', [4, 8, 12, 16], 1 / 4), [1, 2, 0, 0, 3, 4, 0, 0, 0, 0, 1, 2, 0, 0, 3, 4]);
  t.same(
    Array.from(await double(specOf('final.norm.weight'), Float32Array.of(2, 4))),
    [1, 2, 1, 2],
    'the value of the last norm is halved',
  );
  t.same(
    Array.from(await double(specOf('attention.qkv.bias'), Float32Array.of(1, 2, 3, 4, 5, 6))),
    [1, 2, 1, 2, 3, 4, 3, 4, 5, 6, 5, 6],
    'queries, keys and values each for themselves',
  );
});

t.test('advanced initialisation changes new columns of linear layers and nothing else', async (t) => {
  const [from, to] = [
    specsByPart(tinyConfig('bert', { layers: 1, hidden: 4, heads: 2, ffn: 2 })),
    specsByPart(tinyConfig('bert', { layers: 1, hidden: 6, heads: 3, ffn: 3 })),
  ];
  const advanced = async (part: string, elements: number) => {
    const zeros = new Float32Array(elements);
    return Array.from(
      await advanceTensor(
        from.get(part)!,
        to.get(part)!,
        zeros,
        zeros.map(() => 1),
      ),
    );
  };
  const row = [0, 0, 0, 0, 1, 1]; // the third head, and the stream's last two dimensions
  t.same(await advanced('attention.qkv.bias', 18), [...row, ...row, ...row]);
  t.same(await advanced('attention.output.weight', 36), Array.from({ length: 6 }, () => row).flat());
  t.same(await advanced('ffn.up.weight', 18), Array.from({ length: 6 }, () => [0, 0, 1]).flat());
  t.same(await advanced('ffn.down.bias', 6), row);
  for (const { name, from } of networks) {
    const specs = specsOf(createModel({ ...from, layers: 1 })).filter(({ part }) => part.endsWith('.weight'));
    t.same(
      specs.filter(isAdvanced).map(({ part }) => part),
      ['attention.qkv.weight', 'attention.output.weight', 'ffn.up.weight', 'ffn.down.weight'],
      name,
    );
  }
});

t.test('an untied head, and activations other than GELU, compute the same in twice the width', async (t) => {
  for (const kind of ['gpt', 'bert'] as const) {
    for (const activation of ['relu', 'silu'] as const) {
      const small = { ...tinyConfig(kind, narrow), tied: false, activation };
      const large = { ...tinyConfig(kind, doubled), tied: false, activation };
      const source = randomNetwork(small, 5);
      const { logits, gradients } = await compute(device, source);
      t.ok(gradients.get('head.output')!.some((value) => value !== 0));
      const even = expandWith(widthMaps(small, large, { rule: 'even', seed: 1 }));
      t.ok(distance((await compute(device, await grown(large, even, sourceOf(source)))).logits, logits) < roundings);
      const twice: Parameters<typeof grown>[1] = async ({ name, part }, from) =>
        double(narrowSpec(small, part), await from.read(name));
      const result = await compute(device, await grown(large, twice, sourceOf(source)));
      t.ok(distance(result.logits, logits) < roundings, `${kind} ${activation}: doubled`);
      const halved = await moment(narrowSpec(small, 'head.output'), gradients.get('head.output')!, 0.5);
      t.ok(distance(result.gradients.get('head.output')!, halved) < roundings, 'its gradient halves as moments assume');
    }
  }
});

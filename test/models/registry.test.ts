/** A family from outside the package: registered, used under its kind and its presets, and refused a second time. */
import t from 'tap';
import { embedding } from '../../lib/engine/index.js';
import { createMethod, type InitialWeights } from '../../lib/methods/index.js';
import {
  bodyInputs,
  causalGraphs,
  causalHeadFlops,
  createModel,
  familyKinds,
  linear,
  type ModelConfig,
  type ModelFamily,
  norm,
  outputParameters,
  preset,
  presetNames,
  registerFamily,
  span,
  table,
  validateModelConfig,
} from '../../lib/models/index.js';
import { feedForward, scaleNorm } from '../../lib/nn/index.js';
import { testDevice } from '../device.js';
import { compute, distance, grown, randomNetwork, sourceOf } from '../methods/networks.js';

/** A model of token pairs: layers x + down(relu(up(norm(x)))) without attention. */
function pairGraphs(config: ModelConfig) {
  const { hidden, ffn, vocabSize, initStd, epsilon } = config;
  const [stream, units] = [span('hidden', hidden), span('ffn', ffn, 'ffn.up')];
  const layer = (index: number) => [
    ...norm('ffn.norm', stream, { layer: index, bias: false }),
    ...linear('ffn.up', stream, [units], initStd, { layer: index }),
    ...linear('ffn.down', units, [stream], initStd, { layer: index, use: 'branchOutput' }),
  ];
  const stack = { heads: 1, ffn, epsilon, dropout: 0, attentionDropout: 0, causal: true, activation: 'relu' as const };
  return causalGraphs(
    config,
    {
      parameters: (count) => [
        table('embeddings.word', span('vocab', vocabSize), stream, initStd),
        ...Array.from({ length: count }, (_, index) => layer(index)).flat(),
        ...norm('final.norm', stream, { use: 'headNorm', bias: false }),
      ],
      trace(graph, weights, batch, options) {
        const { layerMap, training } = options;
        const { tokens } = bodyInputs(graph, config, batch, options);
        let x = embedding(weights('embeddings.word', [vocabSize, hidden], 'matrix'), tokens);
        for (const index of layerMap) {
          const normed = scaleNorm(x, weights, `layer.${index}.ffn.norm`, epsilon);
          x = x.add(feedForward(normed, weights, `layer.${index}.ffn`, { ...stack, layerMap, training }));
        }
        const last = scaleNorm(x, weights, 'final.norm', epsilon);
        return { hidden: last, states: [last] };
      },
    },
    outputParameters(config, undefined),
  );
}

const pairs: ModelFamily = {
  kind: 'pairs',
  title: 'Pairs',
  objective: 'causal',
  norm: 'pre',
  hasTypes: false,
  activations: ['relu'],
  // Growth in width counts in heads.
  defaults: ({ hidden }) => ({ heads: hidden / 8, ffn: 4 * hidden, dropout: 0, attentionDropout: 0, epsilon: 1e-3 }),
  fields: { window: { expected: () => '2 or left out', holds: (value) => value === undefined || value === 2 } },
  check: ({ hidden }, expect) => expect(hidden % 8 === 0, `hidden must be a multiple of 8; got ${hidden}.`),
  presets: { 'pairs-nano': { layers: 2, hidden: 8, vocabSize: 13, maxPositions: 6 } },
  create: pairGraphs,
  layerFlops: ({ hidden, ffn }) => 4 * hidden * ffn,
  headFlops: causalHeadFlops,
};

registerFamily(pairs);

t.test('its kind, presets, fields and rules are known everywhere', async (t) => {
  t.ok(familyKinds().includes('pairs'));
  t.ok(presetNames().includes('pairs-nano'));
  const model = createModel(preset('pairs-nano', { layers: 3 }));
  t.match(model, { objective: 'causal', config: { kind: 'pairs', layers: 3, ffn: 32 } });
  t.equal(model.flopsPerToken(3, 6), 3 * (3 * 4 * 8 * 32 + 2 * 8 * 13));
  t.throws(() => preset('pairs-nano', { hidden: 9, heads: 1 }), {
    code: 'BAD_CONFIG',
    message: /^model\.hidden must be a multiple/,
  });
  const other = { ...preset('gpt-nano'), window: 2 } as ModelConfig;
  t.throws(() => validateModelConfig(other), { message: /^model\.window belongs to Pairs; leave it out for GPT/ });
});

t.test('its models are traced and grow in width by the axes that they declare', async (t) => {
  await using device = await testDevice();
  const network = randomNetwork(preset('pairs-nano'), 3);
  const before = await compute(device, network);
  t.equal(before.gradients.size, network.values.size, 'every parameter has a gradient');
  const model = preset('pairs-nano', { hidden: 16 });
  const small = { layers: 2, hidden: 8, heads: 1, ffn: 32 };
  const settings = { layers: 2, totalSteps: 10, seed: 1, source: 'small', map: 'even', mode: 'fpi', small } as const;
  const { value } = createMethod('bert2bert', settings, { model }).initial as InitialWeights;
  const after = await compute(device, await grown(model, value, sourceOf(network)));
  t.ok(distance(after.logits, before.logits) < 2e-5, `logits: ${distance(after.logits, before.logits)}`);
});

t.test('a kind or a preset that exists is refused, and so is what is no family', async (t) => {
  const refuses = (family: unknown, message: RegExp) =>
    t.throws(() => registerFamily(family as ModelFamily), { code: 'BAD_ARGUMENT', message });
  refuses(pairs, /registerFamily: there is a family "pairs" already/);
  refuses({ ...pairs, kind: 'others' }, /registerFamily: there is a preset "pairs-nano" already/);
  refuses({ ...pairs, kind: 'others', presets: undefined }, /registerFamily: family\.presets/);
  t.notOk(familyKinds().includes('others'));
});

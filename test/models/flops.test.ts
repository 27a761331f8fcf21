import t from 'tap';
import {
  createModel,
  forwardFlops,
  headFlops,
  layerFlops,
  preset,
  trainingFlops,
  withDefaults,
} from '../../lib/models/index.js';

t.test('the tiny example, counted by hand', async (t) => {
  const tiny = withDefaults({ kind: 'gpt', layers: 2, hidden: 4, heads: 1, ffn: 16, vocab: 10, maxPositions: 3 });
  t.equal(layerFlops(tiny, 3), 432);
  t.equal(headFlops(tiny), 80);
  t.equal(3 * forwardFlops(tiny, 2, 3), 2832, 'one sequence of 3, forward');
  t.equal(3 * trainingFlops(tiny, 2, 3), 8496, 'one sequence of 3, training');
});

t.test('the structures of the paper, per token', async (t) => {
  const rows = [
    ['bert-small', 512, 7_340_032, 31_778_816, 119_859_200],
    ['bert-base', 512, 15_728_640, 48_061_440, 236_805_120],
    ['bert-large', 512, 27_262_976, 64_606_208, 718_917_632],
    ['gpt-small', 1024, 8_388_608, 51_463_168, 152_126_464],
    ['gpt-base', 1024, 17_301_504, 77_194_752, 284_812_800],
  ] as const;
  for (const [name, seq, layer, head, forward] of rows) {
    const model = createModel(preset(name));
    t.same(model.flops, { layer, head }, name);
    t.equal(forwardFlops(model.config, model.config.layers, seq), forward, name);
    t.equal(model.flopsPerToken(model.config.layers, seq), 3 * forward, name);
  }
});

t.test('other conventions', async (t) => {
  const gpt = preset('gpt-base');
  t.equal(layerFlops(gpt, 1024, { attention: 'causal' }), 15_730_176);
  t.equal(trainingFlops(gpt, 12, 1024, { attention: 'causal' }), 797_870_592);
  const bert = preset('bert-base');
  t.equal(headFlops(bert, { headFraction: 0.15 }), 7_209_216);
  t.equal(trainingFlops(bert, 12, 512, { headFraction: 0.15 }), 587_858_688);
});

t.test('a full step and the share of each depth', async (t) => {
  const bert = createModel(preset('bert-base'));
  const gpt = createModel(preset('gpt-base'));
  t.equal((768 * 512 * bert.flopsPerToken(12, 512)).toPrecision(7), '2.793467e+14');
  t.equal((512 * 1024 * gpt.flopsPerToken(12, 1024)).toPrecision(7), '4.479718e+14');
  const shares = (model: typeof bert, seq: number): string[] =>
    [1, 2, 3, 6, 11].map((depth) => (model.flopsPerToken(depth, seq) / model.flopsPerToken(12, seq)).toFixed(4));
  t.same(shares(bert, 512), ['0.2694', '0.3358', '0.4022', '0.6015', '0.9336']);
  t.same(shares(gpt, 1024), ['0.3318', '0.3925', '0.4533', '0.6355', '0.9393']);
});

import t from 'tap';
import {
  createModel,
  forwardFlops,
  headFlops,
  layerFlops,
  parameterCount,
  preset,
  presetNames,
  trainingFlops,
  withDefaults,
} from '../../lib/models/index.js';

t.test('the tiny example, counted by hand', async (t) => {
  const tiny = withDefaults({ kind: 'gpt', layers: 2, hidden: 4, heads: 1, ffn: 16, vocabSize: 10, maxPositions: 3 });
  t.equal(layerFlops(tiny, 3), 432);
  t.equal(headFlops(tiny), 80);
  t.equal(3 * forwardFlops(tiny, 2, 3), 2832, 'one sequence of 3, forward');
  t.equal(3 * trainingFlops(tiny, 2, 3), 8496, 'one sequence of 3, training');
});

t.test('a tiny Llama, counted by its matrices', async (t) => {
  const sizes = { layers: 2, hidden: 4, heads: 2, keyValueHeads: 1, ffn: 6, vocabSize: 10, maxPositions: 3 };
  const tiny = withDefaults({ kind: 'llama', ...sizes });
  // Two FLOPs for each element of query [4, 4], key and value [4, 2], output [4, 4], gate, up and down of 4 x 6 each.
  const matrices = 2 * (16 + 2 * 8 + 16 + 3 * 24);
  // Scores with 3 keys and their weighted values, in two heads of 2 dimensions.
  const attention = 2 * (2 * 2 * 2 * 3);
  t.equal(layerFlops(tiny, 3), matrices + attention);
  t.equal(layerFlops(tiny, 3, { attention: 'causal' }), matrices + (attention * (3 + 1)) / (2 * 3));
  t.equal(headFlops(tiny), 2 * 4 * 10);
  // Heads wider than hidden / heads: query [4, 8], key and value [4, 4], output [8, 4].
  const wide = withDefaults({ kind: 'llama', ...sizes, headSize: 4 });
  t.equal(layerFlops(wide, 3), 2 * (32 + 2 * 16 + 32 + 3 * 24) + 2 * attention);
});

t.test('of every family: two FLOPs for each element of a matrix that every token passes', async (t) => {
  for (const name of presetNames()) {
    const model = createModel(preset(name));
    const matrices = model.parameters(1).filter(({ layer, role }) => layer === 0 && role === 'matrix');
    t.equal(layerFlops(model.config, 0), 2 * parameterCount(matrices), name);
  }
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

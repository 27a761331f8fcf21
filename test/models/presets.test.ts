import t from 'tap';
import { createModel, parameterCount, preset, presetNames } from '../../lib/models/index.js';

// Table 5 of the paper with the exact counts that follow from it (tied embeddings, no pooler), and the published counts of
// SmolLM 135M and Llama 3.2 1B.
const counts = {
  'bert-small': { layer: 3_152_384, embeddings: 15_891_456, rest: 294_202, total: 54_014_266 },
  'bert-base': { layer: 7_087_872, embeddings: 23_837_184, rest: 622_650, total: 109_514_298 },
  'bert-large': { layer: 12_596_224, embeddings: 31_782_912, rest: 1_082_170, total: 335_174_458 },
  'gpt-small': { layer: 3_152_384, embeddings: 26_255_872, rest: 1_024, total: 64_085_504 },
  'gpt-base': { layer: 7_087_872, embeddings: 39_383_808, rest: 1_536, total: 124_439_808 },
  'smollm-135m': { layer: 3_540_096, embeddings: 28_311_552, rest: 576, total: 134_515_008 },
  'llama-1b': { layer: 60_821_504, embeddings: 262_668_288, rest: 2_048, total: 1_235_814_400 },
};

t.test('published structures have their parameter counts', async (t) => {
  for (const [name, expected] of Object.entries(counts)) {
    const model = createModel(preset(name));
    const specs = model.parameters(model.config.layers);
    const embeddings = specs.filter((spec) => spec.name.startsWith('embeddings.'));
    const rest = specs.filter((spec) => /^(head|final)\./.test(spec.name));
    const third = specs.filter((spec) => spec.layer === 3);
    t.same(
      {
        layer: parameterCount(third),
        embeddings: parameterCount(embeddings),
        rest: parameterCount(rest),
        total: parameterCount(specs),
      },
      expected,
      name,
    );
  }
});

t.test('a stage of u layers trains the shared parameters and u layers', async (t) => {
  // BERT-Base and GPT-Base with 1, 3, 6 and 12 layers, in units of 10,000 parameters.
  for (const [name, expected] of [
    ['bert-base', [3155, 4572, 6699, 10951]],
    ['gpt-base', [4647, 6065, 8191, 12444]],
  ] as const) {
    const model = createModel(preset(name));
    const millions = [1, 3, 6, 12].map((trainedLayers) =>
      Math.round(parameterCount(model.parameters(trainedLayers)) / 1e4),
    );
    t.same(millions, expected, name);
  }
});

t.test('every preset has heads of 64 and unique parameter names', async (t) => {
  for (const name of presetNames()) {
    const model = createModel(preset(name));
    t.equal(model.config.hidden / model.config.heads, 64, name);
    const names = model.parameters(model.config.layers).map((spec) => spec.name);
    t.equal(new Set(names).size, names.length, name);
  }
});

t.test('matrices are decayed and held in the working precision, biases and norms are not', async (t) => {
  for (const name of ['bert-nano', 'gpt-nano', 'llama-nano']) {
    for (const spec of createModel(preset(name)).parameters(1)) {
      const isVector = spec.shape.length === 1;
      t.same([spec.decay, spec.role], isVector ? [false, 'vector'] : [true, 'matrix'], spec.name);
    }
  }
});

t.test('a misspelt field is not ignored', async (t) => {
  t.throws(() => preset('gpt-nano', { droput: 0 } as object), {
    code: 'BAD_ARGUMENT',
    message: /preset: changes has no option "droput"; did you mean "dropout"\?/,
  });
});

import t from 'tap';
import { createModel, initialValue, type ParameterSpec, preset } from '../../lib/models/index.js';

const normal = (name: string, shape: number[], std = 1): ParameterSpec => ({
  name,
  part: name,
  shape,
  init: { kind: 'normal', std },
  decay: true,
  role: 'matrix',
});

t.test('values equal a second implementation of Philox, SHA-256 and Box-Muller', async (t) => {
  // Computed in Python from the definitions (hashlib, math, integers of any size).
  const near = (actual: Float32Array, expected: number[]): void => {
    t.same([...actual], [...Float32Array.from(expected)]);
  };
  near(
    initialValue(normal('layer.3.ffn.up.weight', [2, 3], 0.02), 42),
    [
      0.005231382985685659, -0.0063193123114685095, -0.019429923866038444, -0.01325334155815021, 0.03300910007714539,
      0.0016764147838633856,
    ],
  );
  near(
    initialValue(normal('embeddings.word', [4]), 2 ** 32 + 5),
    [-0.2672025097791956, 0.006105576185621828, -0.7284914969786892, 0.388332145361842],
  );
});

t.test('values follow the normal distribution', async (t) => {
  const n = 400_000;
  const values = initialValue(normal('x', [n], 0.02), 1);
  const moment = (power: number): number => values.reduce((sum, value) => sum + (value / 0.02) ** power, 0) / n;
  // Standard errors of the moments of n draws: 1/sqrt(n), sqrt(2/n), sqrt(15/n), sqrt(96/n); five of them allowed.
  for (const [power, expected, spread] of [
    [1, 0, 1],
    [2, 1, 2],
    [3, 0, 15],
    [4, 3, 96],
  ] as const) {
    t.ok(Math.abs(moment(power) - expected) < 5 * Math.sqrt(spread / n), `moment ${power}: ${moment(power)}`);
  }
  const beyond = values.reduce((count, value) => count + (Math.abs(value) > 0.04 ? 1 : 0), 0) / n;
  t.ok(Math.abs(beyond - 0.0455) < 5 * Math.sqrt((0.0455 * 0.9545) / n), `outside two deviations: ${beyond}`);
  t.ok(
    values.every((value, i) => i === 0 || value !== values[i - 1]),
    'neighbours differ',
  );
});

t.test('a value depends on seed, name and position only', async (t) => {
  const base = initialValue(normal('layer.0.x', [64]), 7);
  t.same(initialValue(normal('layer.0.x', [64]), 7), base);
  t.same(initialValue(normal('layer.0.x', [200]), 7).slice(0, 64), base);
  t.notSame(initialValue(normal('layer.1.x', [64]), 7), base);
  t.notSame(initialValue(normal('layer.0.x', [64]), 8), base);
  t.notSame(initialValue(normal('layer.0.x', [64]), 7 + 2 ** 32), base, 'all bits of the seed count');
});

t.test('models start as the recipe says', async (t) => {
  const bert = createModel(preset('bert-mini', { vocabSize: 64 }));
  const llama = createModel(preset('llama-mini', { vocabSize: 64, attentionBias: 'all', ffnBias: true }));
  for (const spec of [bert, llama].flatMap((model) => model.parameters(2))) {
    const values = initialValue(spec, 3);
    if (spec.name.endsWith('.bias'))
      t.ok(
        values.every((value) => value === 0),
        spec.name,
      );
    else if (spec.name.endsWith('norm.weight'))
      t.ok(
        values.every((value) => value === 1),
        spec.name,
      );
    else t.same(spec.init, { kind: 'normal', std: 0.02 }, spec.name);
  }
  const word = initialValue(bert.parameters(1)[0] as ParameterSpec, 3);
  t.ok(
    word.slice(0, 256).every((value) => value === 0),
    'the padding row is zero',
  );
  t.ok(
    word.slice(256, 512).every((value) => value !== 0),
    'and only that',
  );
});

t.test('GPT-2 projections onto the residual start smaller, by the final number of layers', async (t) => {
  const specs = createModel(preset('gpt-base')).parameters(1);
  for (const { name, init } of specs.filter(({ role }) => role === 'matrix')) {
    const residual = name === 'layer.0.attention.output.weight' || name === 'layer.0.ffn.down.weight';
    t.equal(init.kind === 'normal' && init.std, residual ? 0.02 / Math.sqrt(24) : 0.02, name);
  }
});

t.test('a seed that is no safe integer is refused', async (t) => {
  t.throws(() => initialValue(normal('x', [4]), 0.5), { code: 'BAD_ARGUMENT', message: /seed must be a safe integer/ });
});

// Distributions of the next token against Hugging Face's logits processors, and against arithmetic.
import t from 'tap';
import {
  candidates,
  checkSampling,
  draw,
  likeliest,
  type SamplingOptions,
} from '../../../lib/eval/generate/sampling.js';
import { goldenJson } from '../../parity/golden.js';

interface Filtered {
  readonly logits: readonly number[];
  readonly seen: readonly number[];
  readonly cases: readonly (Required<SamplingOptions> & { readonly probabilities: Record<string, number> })[];
}

const { filtered } = (await goldenJson('generation.json')) as unknown as { filtered: Filtered };
const logits = Float32Array.from(filtered.logits);

for (const { probabilities: expected, ...options } of filtered.cases) {
  t.test(`the tokens and probabilities that transformers leaves: ${JSON.stringify(options)}`, async (t) => {
    const { ids, probabilities } = candidates(logits, options, filtered.seen);
    t.same(
      [...ids].sort((a, b) => a - b),
      Object.keys(expected).map(Number),
      'the same tokens',
    );
    for (const [i, id] of ids.entries()) {
      const error = Math.abs(probabilities[i]! / expected[id]! - 1);
      t.ok(error <= 1e-5, `token ${id}: relative error ${error.toExponential(1)}`);
    }
  });
}

const all = checkSampling({});
const exact = (weights: readonly number[]) => Float32Array.from(weights, Math.log);

t.test('temperature 0 leaves the most likely token, after the penalty; of equals the first', async (t) => {
  const only = (scores: readonly number[], options: SamplingOptions = {}, seen: readonly number[] = []) => {
    const found = candidates(Float32Array.from(scores), checkSampling({ temperature: 0, ...options }), seen);
    t.same([...found.probabilities], [1]);
    t.equal(draw(found, 0), found.ids[0]);
    t.equal(draw(found, 0.999), found.ids[0]);
    return found.ids[0];
  };
  t.equal(only([1, 3, 2]), 1);
  t.equal(only([1, 3, 3]), 1);
  t.equal(only([1, 3, 2], { repetitionPenalty: 2 }, [1]), 2);
  t.equal(only([1, 3, 2], { topK: 2, topP: 0.1 }), 1);
  t.throws(() => only([Number.NaN]), { code: 'NON_FINITE' });
});

t.test('top-k and top-p leave what they say of a known distribution', async (t) => {
  const scores = exact([0.1, 0.4, 0.05, 0.25, 0.2]);
  const shares = (options: SamplingOptions) => {
    const { ids, probabilities } = candidates(scores, checkSampling(options));
    return [...ids].map((id, i) => [id, Number(probabilities[i]!.toFixed(6))]);
  };
  const two = [
    [1, 0.615385],
    [3, 0.384615],
  ];
  t.same(shares({ topK: 2 }), two);
  t.same(shares({ topP: 0.6 }), two, '0.4 alone does not reach 0.6');
  t.same(shares({ topP: 0.39 }), [[1, 1]]);
  t.same(shares({ topK: 1, topP: 0.001 }), [[1, 1]], 'the most likely one always stays');
  t.same(shares({ topK: 4, topP: 0.9 }).length, 4, 'top-p counts among what top-k has left');
  t.same(shares({ topK: 100 }), shares({}), 'more than there are: all');
  t.equal(
    candidates(scores, all)
      .probabilities.reduce((a, b) => a + b)
      .toFixed(12),
    '1.000000000000',
  );
});

t.test('top-k over many logits is what sorting finds', async (t) => {
  const scores = Float32Array.from({ length: 5000 }, (_, i) => Math.sin(i * 12.9898) * 10);
  for (const topK of [1, 2, 3, 50, 4999]) {
    const expected = [...scores.keys()].sort((a, b) => scores[b]! - scores[a]! || a - b).slice(0, topK);
    t.same([...candidates(scores, { ...all, topK }).ids], expected, `${topK}`);
  }
});

t.test('a number of [0, 1) picks the token in whose share it lies', async (t) => {
  const choices = candidates(exact([0.5, 0.25, 0.25]), all);
  t.same(
    [0, 0.499, 0.501, 0.749, 0.751, 0.999999999].map((u) => draw(choices, u)),
    [0, 0, 1, 1, 2, 2],
  );
  const short = { ids: Int32Array.of(4, 7, 9), probabilities: Float64Array.of(0.5, 0.4999999, 0) };
  t.equal(draw(short, 0.99999999), 7, 'beyond a sum that was rounded down: the last that can be');
});

t.test('over a grid of numbers every token comes as often as it is likely', async (t) => {
  const choices = candidates(logits, { ...all, topK: 8, temperature: 1.3 });
  const grid = 100_000;
  const counts = new Map<number, number>();
  for (let i = 0; i < grid; i++) {
    const id = draw(choices, (i + 0.5) / grid);
    counts.set(id, (counts.get(id) ?? 0) + 1);
  }
  for (const [i, id] of choices.ids.entries()) {
    t.ok(Math.abs((counts.get(id) ?? 0) / grid - choices.probabilities[i]!) <= 1.01 / grid, `token ${id}`);
  }
});

t.test('the most likely token is the first of equals; the penalty counts a token once', async (t) => {
  t.equal(likeliest(Float32Array.of(1, 3, 3, 2)), 1);
  t.equal(likeliest(Float32Array.of(1, 3, 2.5, 2), 1.3, [1, 1, 1]), 2, '3 / 1.3 is less than 2.5');
  t.equal(likeliest(Float32Array.of(-1, -2), 3, [0]), 1, 'a negative logit is multiplied');
});

t.test('logits that are not numbers are an error of the model', async (t) => {
  for (const broken of [
    [Number.NaN, Number.NaN],
    [Number.POSITIVE_INFINITY, 1],
  ]) {
    t.throws(() => candidates(Float32Array.from(broken), all), { code: 'NON_FINITE' });
    t.throws(() => likeliest(Float32Array.from(broken)), { code: 'NON_FINITE' });
  }
});

t.test('settings out of range are named', async (t) => {
  for (const [options, message] of [
    [
      { temperature: -0.1 },
      /temperature must be a positive number, or 0 to always choose the most likely token; got -0\.1/,
    ],
    [{ temperature: Number.NaN }, /temperature/],
    [{ topK: -1 }, /topK must be a whole number/],
    [{ topK: 1.5 }, /topK/],
    [{ topP: 0 }, /topP must be above 0 and at most 1; got 0/],
    [{ topP: 1.1 }, /topP/],
    [{ repetitionPenalty: 0 }, /repetitionPenalty must be a positive/],
  ] as const) {
    t.throws(() => checkSampling(options), { code: 'BAD_ARGUMENT', message });
  }
});

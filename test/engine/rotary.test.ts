// rotaryFrequencies against values computed by hand and in 40 decimal digits; what rotary refuses.
import t, { type Test } from 'tap';
import { Graph } from '../../lib/engine/graph.js';
import { type RotaryOptions, rotary, rotaryFrequencies } from '../../lib/engine/ops/index.js';

/** A dozen f32 steps of up to 2^-24 each; the blend's difference of turns makes four of them out of one. */
const rounding = 1e-6;

function near(t: Test, found: readonly number[], expected: Readonly<Record<number, number>>) {
  for (const [i, value] of Object.entries(expected)) {
    const error = Math.abs(found[Number(i)]! / value - 1);
    t.ok(error <= rounding, `frequency ${i}: ${found[Number(i)]}, expected ${value}`);
  }
}

t.test('frequencies are powers of theta', async (t) => {
  // theta = 10^4 and 64 elements: frequency i is 10^(-4 * 2i / 64) = 10^(-i / 8).
  const frequencies = rotaryFrequencies(64, 10_000);
  t.equal(frequencies.length, 32);
  near(t, frequencies, { 0: 1, 4: 10 ** -0.5, 8: 0.1, 16: 0.01, 24: 0.001, 31: 10 ** -3.875 });
  t.ok(
    frequencies.every((value) => Math.fround(value) === value),
    'each is an f32',
  );
});

t.test('linear scaling divides them', async (t) => {
  const scaled = rotaryFrequencies(64, 10_000, { type: 'linear', factor: 4 });
  t.same(
    scaled,
    rotaryFrequencies(64, 10_000).map((value) => value / 4),
    'by a power of two, which is exact',
  );
});

const llama31 = {
  type: 'llama3',
  factor: 8,
  lowFrequencyFactor: 1,
  highFrequencyFactor: 4,
  originalPositions: 8192,
} as const;

t.test("Llama 3.1's scaling keeps short waves, stretches long ones and blends between", async (t) => {
  // theta = 10^5 and 10 elements: frequencies 1, 0.1, .., 10^-4, wavelengths 2 pi 10^i. Up to 8192 / 4 = 2048 they stay;
  // beyond 8192 / 1 they are divided by 8; 6283.19 is between: 8192 / 6283.19 = 1.303797 turns, of which
  // s = (1.303797 - 1) / (4 - 1) = 0.1012657 is kept: 0.001 (s + (1 - s) / 8).
  const s = (8192 / (2000 * Math.PI) - 1) / 3;
  near(t, rotaryFrequencies(10, 100_000, llama31), {
    0: 1,
    1: 0.1,
    2: 0.01,
    3: 0.001 * (s + (1 - s) / 8),
    4: 0.0001 / 8,
  });
  // Llama 3.1 8B, by the formula in 40 decimal digits (Python's decimal).
  near(t, rotaryFrequencies(128, 500_000, llama31), {
    1: 0.8146172339,
    10: 0.1286873734,
    28: 0.003211445995,
    29: 0.002166570764,
    31: 0.0008567514129,
    34: 0.0001785078128,
    35: 9.556212354e-5,
    40: 3.428102196e-5,
    63: 3.068925989e-7,
  });
});

t.test('what rotaryFrequencies refuses', async (t) => {
  const message = (pattern: RegExp) => ({ code: 'BAD_ARGUMENT', message: pattern });
  t.throws(() => rotaryFrequencies(7, 10_000), message(/^rotaryFrequencies: headSize must be even; got 7/));
  t.throws(() => rotaryFrequencies(8, 0), message(/theta must be a finite number > 0; got 0/));
  t.throws(
    () => rotaryFrequencies(8, 1e4, { type: 'yarn', factor: 2 } as never),
    message(/scaling.type must be one of "linear", "llama3"; got "yarn"/),
  );
  t.throws(
    () => rotaryFrequencies(8, 1e4, { type: 'llama3', factor: 2 } as never),
    message(/scaling.lowFrequencyFactor must be .*got undefined/),
  );
  t.throws(
    () => rotaryFrequencies(8, 1e4, { ...llama31, lowFrequencyFactor: 4 }),
    message(/lowFrequencyFactor must be below highFrequencyFactor; got 4 and 4/),
  );
});

t.test('what rotary refuses', async (t) => {
  const g = new Graph();
  const x = g.input('x', [2, 3, 24]);
  const options: RotaryOptions = { headSize: 8, heads: 2, frequencies: rotaryFrequencies(8, 10_000) };
  const call = (changes: Partial<RotaryOptions>, of = x) => rotary(of, { ...options, ...changes });
  const shape = (pattern: RegExp) => ({ code: 'BAD_SHAPE', message: pattern });
  const argument = (pattern: RegExp) => ({ code: 'BAD_ARGUMENT', message: pattern });
  t.throws(() => call({}, g.input('flat', [6, 24])), shape(/needs f32 or bf16 x \[B, T, n \* 8\].*got f32 \[6, 24\]/));
  t.throws(() => call({}, g.input('odd', [2, 3, 20])), shape(/heads of 8; got f32 \[2, 3, 20\]/));
  t.throws(() => call({}, g.input('ids', [2, 3, 24], 'i32')), shape(/got i32 \[2, 3, 24\]/));
  t.throws(() => call({ heads: 4 }), shape(/a row has 3 heads of 8, but heads is 4/));
  t.throws(
    () => call({ positions: g.input('p', [3, 2], 'i32') }),
    shape(/positions must be i32 \[2, 3\]; got i32 \[3/),
  );
  t.throws(() => call({ positions: g.input('q', [2, 3]) }), shape(/positions must be i32 \[2, 3\]; got f32 \[2, 3\]/));
  t.throws(() => call({ headSize: 3 }), argument(/headSize must be even, to rotate elements in pairs; got 3/));
  t.throws(() => call({ frequencies: [1, 0.5] }), argument(/heads of 8 take 4 frequencies; got 2/));
  t.throws(() => call({ frequencies: [1, 1, 1, Number.NaN] }), argument(/frequencies\[3\].*finite.*got NaN/));
});

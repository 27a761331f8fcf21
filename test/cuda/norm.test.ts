/** The paths of norm.cu and norm_backward.cu that the op cases are too small for, against the CPU. */
import t from 'tap';
import { relativeError } from '../cases/compare.js';
import { noCuda, noisy, numbers, type Operand, Pair, runOp } from './op-pair.js';

const rng: Operand = { dtype: 'i32', shape: [4], values: Int32Array.of(12345, 678, 9, 1) };

type Dtype = 'f32' | 'bf16';
interface Options {
  /** RMS norm: neither mean nor bias. */
  readonly rms?: boolean;
  readonly p?: number;
  readonly residual?: boolean;
  readonly dsum?: boolean;
  readonly accumulate?: boolean;
}

const opOf = ({ rms, residual }: Options) =>
  residual ? `residual${rms ? 'Rms' : ''}Norm` : rms ? 'rmsNorm' : 'layerNorm';

const name = (rows: number, columns: number, dtype: Dtype, options: Options) =>
  `[${rows}, ${columns}] ${dtype} ${JSON.stringify(options)}`;

function forward(rows: number, columns: number, dtype: Dtype, options: Options) {
  const { p = 0, residual = false, rms = false } = options;
  const x = noisy(dtype, [rows, columns], 1, -2, 3);
  const out: Operand = { dtype, shape: [rows, columns] };
  const statistics: Operand = { dtype: 'f32', shape: [rows] };
  return {
    op: opOf(options),
    attrs: { epsilon: 1e-5, p, stream: 7 },
    inputs: [
      x,
      ...(residual ? [noisy(dtype, [rows, columns], 2)] : []),
      noisy('f32', [columns], 3, 0.5, 1.5),
      ...(rms ? [] : [noisy('f32', [columns], 4)]),
      ...(p > 0 ? [rng] : []),
    ],
    outputs: [out, ...(residual ? [out] : []), ...(rms ? [] : [statistics]), statistics],
  };
}

function backward(rows: number, columns: number, dtype: Dtype, options: Options) {
  const { p = 0, dsum = false, accumulate = false, rms = false } = options;
  const full: Operand = { dtype, shape: [rows, columns] };
  const vector: Operand = accumulate ? noisy('f32', [columns], 9) : { dtype: 'f32', shape: [columns] };
  return {
    op: `${opOf(options)}Backward`,
    attrs: { hasDsum: dsum, p, stream: 7, ...(accumulate ? { accumulate: rms ? [1] : [1, 2] } : {}) },
    inputs: [
      noisy(dtype, [rows, columns], 1),
      noisy(dtype, [rows, columns], 2, -2, 3),
      ...(rms ? [] : [noisy('f32', [rows], 3, 0.2, 0.8)]),
      noisy('f32', [rows], 4, 0.5, 1.5),
      noisy('f32', [columns], 5, 0.5, 1.5),
      ...(dsum ? [noisy(dtype, [rows, columns], 6)] : []),
      ...(p > 0 ? [rng] : []),
    ],
    outputs: [full, vector, ...(rms ? [] : [vector]), ...(p > 0 ? [full] : [])],
  };
}

const bothNorms = (options: Options): Options[] => [options, { ...options, rms: true }];

// Each width takes another kernel: 256 to 2048 (4096 backward) in registers, wider ones and odd ones by blocks.
const widths = [8, 256, 384, 520, 768, 1024, 1288, 2056, 4104, 7, 300, 2049];

t.test('layer norm and RMS norm of any width, forward and backward', { skip: noCuda }, async (t) => {
  const pair = await Pair.open();
  t.teardown(() => pair.close());
  for (const columns of widths) {
    for (const dtype of ['f32', 'bf16'] as const) {
      const rows = columns > 1000 ? 3 : 9;
      for (const options of [{}, { residual: true }, { residual: true, p: 0.1 }].flatMap(bothNorms)) {
        const call = forward(rows, columns, dtype, options);
        await pair.agree(t, name(rows, columns, dtype, options), call);
      }
      for (const options of [{ accumulate: true }, { residual: true, dsum: true, p: 0.1 }].flatMap(bothNorms)) {
        const call = backward(rows, columns, dtype, options);
        await pair.agree(t, name(rows, columns, dtype, options), call, { runs: 2 });
      }
    }
  }
});

t.test('more rows than the GPU holds at once, and none', { skip: noCuda }, async (t) => {
  const pair = await Pair.open();
  t.teardown(() => pair.close());
  for (const [rows, columns] of [
    [300, 40],
    [70, 1032],
    [0, 40],
    [150, 20],
  ] as const) {
    for (const dtype of ['f32', 'bf16'] as const) {
      for (const options of bothNorms({ residual: true, dsum: rows % 4 === 0, p: 0.3, accumulate: rows === 300 })) {
        await pair.agree(t, name(rows, columns, dtype, options), forward(rows, columns, dtype, options));
        await pair.agree(t, name(rows, columns, dtype, options), backward(rows, columns, dtype, options), { runs: 2 });
      }
    }
  }
});

/** Sixteenths up to 2: sums of two are exact in bf16. */
const sixteenths = (dtype: Dtype, shape: readonly number[], seed: number): Operand => ({
  dtype,
  shape,
  values: noisy('f32', shape, seed, -2, 2).values!.map((v) => Math.round(16 * v) / 16),
});

t.test('dy as a sum of two, and the sums of dx, on the way (native/cuda/fusion.h)', { skip: noCuda }, async (t) => {
  const pair = await Pair.open();
  t.teardown(() => pair.close());
  for (const columns of [8, 768, 1032, 300, 4104]) {
    for (const dtype of ['f32', 'bf16'] as const) {
      for (const p of [0, 0.1]) {
        const rows = columns > 1000 ? 3 : 9;
        const options = { residual: true, dsum: true, p, accumulate: true };
        const call = backward(rows, columns, dtype, options);
        const [dy, addend] = [1, 2].map((seed) => sixteenths(dtype, [rows, columns], 20 + seed)) as [Operand, Operand];
        const sum: Operand = { ...dy, values: dy.values!.map((v, i) => v + addend.values![i]!) };
        const adds = p > 0;
        const start = noisy('f32', [columns], 30);
        const fused = {
          ...call,
          attrs: {
            ...call.attrs,
            hasAddend: true,
            columnSum: true,
            accumulate: adds ? [1, 2, call.outputs.length] : [1, 2],
          },
          inputs: [dy, ...call.inputs.slice(1), addend],
          outputs: [...call.outputs, start],
        };
        const title = name(rows, columns, dtype, options);
        const separate = await pair.agree(t, title, { ...call, inputs: [sum, ...call.inputs.slice(1)] });
        const outputs = (await runOp(pair.cuda, fused)).map(numbers);
        separate.forEach((expected, i) => {
          t.same(outputs[i], expected, `${title}: output ${i} as without fusion`);
        });
        const dx = separate[p > 0 ? 3 : 0]!;
        const sums = start.values!.map((before, c) => {
          let sum = adds ? before : 0;
          for (let r = 0; r < rows; r++) sum += dx[r * columns + c]!;
          return sum;
        });
        const error = relativeError(outputs.at(-1)!, sums);
        t.ok(error <= (dtype === 'f32' ? 1e-6 : 8e-3), `${title}: column sums are off by ${error.toExponential(1)}`);
      }
    }
  }
});

t.test('a program that needs less shared memory leaves another its own', { skip: noCuda }, async (t) => {
  const pair = await Pair.open();
  t.teardown(() => pair.close());
  const large = backward(3, 1024, 'f32', { residual: true, dsum: true });
  const small = backward(3, 1024, 'f32', { residual: true });
  const expected = await runOp(pair.cuda, large);
  t.same(await runOp(pair.cuda, large, 1, () => runOp(pair.cuda, small)), expected);
});

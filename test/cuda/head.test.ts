/** The paths of head.cu that the op cases are too small for, against the CPU. */
import t from 'tap';
import { relativeError } from '../cases/compare.js';
import { noCuda, noEmulated, noisy, type OpCall, type Operand, Pair, runOp } from './op-pair.js';

const scalar: Operand = { dtype: 'f32', shape: [1] };
// On the GPU, logits of bf16 runs are rounded to bf16; on the CPU they stay f32.
const tolerances = { f32: { tolerance: 5e-6 }, bf16: { tolerance: 1e-2, bf16: 2e-2 } };

interface Options {
  readonly bias?: boolean;
  readonly accumulate?: boolean;
  readonly gradient?: boolean;
}

function head(
  [rows, vocabSize, width]: readonly [number, number, number],
  dtype: 'f32' | 'bf16',
  { bias = false, accumulate = false, gradient = true }: Options = {},
): OpCall {
  const labels = noisy('i32', [rows], 3, 0, vocabSize);
  for (let r = 2; r < rows; r += 5) labels.values![r] = -100;
  labels.values![0] = vocabSize - 1;
  const table: Operand = accumulate ? noisy('f32', [vocabSize, width], 5) : { dtype: 'f32', shape: [vocabSize, width] };
  const biases: Operand = accumulate ? noisy('f32', [vocabSize], 6) : { dtype: 'f32', shape: [vocabSize] };
  return {
    op: gradient ? 'lmHeadLossGradient' : 'lmHeadLoss',
    attrs: { hasBias: bias, ...(accumulate ? { accumulate: [3, 4] } : {}) },
    inputs: [
      noisy(dtype, [rows, width], 1),
      noisy(dtype, [vocabSize, width], 2),
      ...(bias ? [noisy('f32', [vocabSize], 4)] : []),
      labels,
      ...(gradient ? [{ dtype: 'f32', shape: [1], values: Float32Array.of(0.75) } as const] : []),
    ],
    outputs: [scalar, scalar, ...(gradient ? [{ dtype, shape: [rows, width] }, table, ...(bias ? [biases] : [])] : [])],
  };
}

t.test('vocabularies of any size, with and without gradients', { skip: noCuda }, async (t) => {
  const pair = await Pair.open();
  t.teardown(() => pair.close());
  // Up to 4096 words in small blocks; more in large ones, the row kept in shared memory up to 114 KiB.
  for (const [rows, vocabSize, width] of [
    [9, 64, 8],
    [9, 23, 5],
    [33, 600, 16],
    [4, 5003, 8],
    [2, 57_345, 8],
  ] as const) {
    for (const dtype of ['f32', 'bf16'] as const) {
      const few = vocabSize > 10_000;
      for (const options of few ? [{}] : [{}, { bias: true, accumulate: true }, { bias: true, gradient: false }]) {
        const call = head([rows, vocabSize, width], dtype, options);
        const name = `[${rows}, ${vocabSize}, ${width}] ${dtype} ${JSON.stringify(options)}`;
        await pair.agree(t, name, call, { runs: vocabSize < 2000 ? 3 : 1, ...tolerances[dtype] });
      }
    }
  }
});

t.test('logits in several chunks of rows', { skip: noEmulated }, async (t) => {
  // A GPU of 64 MiB gives 1 MiB to logits: at 1984 words 264 rows of bf16, 132 of f32: two tiles and one.
  const pair = await Pair.open({ gpuBytes: 64 << 20 });
  t.teardown(() => pair.close());
  for (const dtype of ['f32', 'bf16'] as const) {
    for (const options of [{ bias: true }, { bias: true, accumulate: true }, { gradient: false }]) {
      const call = head([270, 1970, 4], dtype, options);
      await pair.agree(t, `${dtype} ${JSON.stringify(options)}`, call, tolerances[dtype]);
    }
  }
});

t.test('a confident row keeps its small loss and gradient', { skip: noCuda }, async (t) => {
  const pair = await Pair.open();
  t.teardown(() => pair.close());
  for (const words of [3, 1]) {
    const logits = [22, 0, -1].slice(0, words);
    const call: OpCall = {
      ...head([1, words, 1], 'f32'),
      inputs: [
        { dtype: 'f32', shape: [1, 1], values: Float32Array.of(1) },
        { dtype: 'f32', shape: [words, 1], values: Float32Array.from(logits) },
        { dtype: 'i32', shape: [1], values: Int32Array.of(0) },
        { dtype: 'f32', shape: [1], values: Float32Array.of(1) },
      ],
    };
    const [loss, , , dTable] = (await runOp(pair.cuda, call)) as Float32Array[];
    const others = logits.slice(1).reduce((sum, logit) => sum + Math.exp(logit - 22), 0);
    t.ok(relativeError(loss!, [Math.log1p(others)]) < 1e-6);
    t.ok(relativeError(dTable!.slice(0, 1), [-others / (1 + others)]) < 1e-6);
  }
});

t.test('without labels, loss and gradients are 0', { skip: noCuda }, async (t) => {
  const pair = await Pair.open();
  t.teardown(() => pair.close());
  const call = head([4, 90, 8], 'bf16', { bias: true });
  call.inputs[3]!.values!.fill(-100);
  for (const output of await pair.agree(t, 'no labels', call, { tolerance: 0, bf16: 0 })) {
    t.ok(output.every((value) => value === 0));
  }
});

t.test('a wrong label is named as on the CPU', { skip: noCuda }, async (t) => {
  const pair = await Pair.open();
  t.teardown(() => pair.close());
  for (const gradient of [false, true]) {
    for (const label of [90, -1, 2_000_000_000, -2_000_000_000]) {
      const call = head([9, 90, 8], 'f32', { gradient });
      call.inputs[2]!.values![6] = label;
      const { cpu, cuda } = await pair.errors(call);
      t.match(cpu, /BAD_ARGUMENT: lmHeadLoss.*labels\[6\] is .*expected 0 <= value < 90, or -100/);
      t.equal(cuda, cpu);
    }
  }
});

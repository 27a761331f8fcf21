/** softmax.cu beyond the op cases: rows in registers and longer ones, at any address, against the CPU. */
import t from 'tap';
import { noCuda, noisy, type Operand, Pair, runOp } from './op-pair.js';

const floats = ['f32', 'bf16'] as const;
// Rounding of sums of some thousand terms, and of exponents: e^x of bf16 is computed to 1e-5.
const close = { tolerance: 4e-6 };

t.test('softmax and cross-entropy', { skip: noCuda }, async (t) => {
  const pair = await Pair.open();
  t.teardown(() => pair.close());

  // In registers as packs and one by one, then by blocks.
  const shapes = [
    [19, 8],
    [9, 136],
    [5, 1024],
    [11, 3],
    [9, 77],
    [3, 512],
    [3, 513],
    [2, 1032],
    [3, 2501],
  ];

  await t.test('softmax, its logarithm and their gradients', async (t) => {
    for (const dtype of floats) {
      for (const shape of shapes) {
        for (const log of [false, true]) {
          const name = `${dtype} [${shape}]${log ? ', logarithm' : ''}`;
          const outputs: Operand[] = [{ dtype, shape }];
          const x = noisy(dtype, shape, 1, -9, 9);
          const [y] = await pair.agree(t, name, { op: 'softmax', attrs: { log }, inputs: [x], outputs }, close);
          const inputs: Operand[] = [noisy(dtype, shape, 2), { dtype, shape, values: y! }];
          await pair.agree(t, `gradient ${name}`, { op: 'softmaxBackward', attrs: { log }, inputs, outputs }, close);
        }
      }
    }
  });

  await t.test('masked columns get 0; NaNs and infinities spoil their row and no other', async (t) => {
    for (const columns of [7, 16, 1025, 3000]) {
      const { values } = noisy('f32', [6, columns], 1) as { values: Float32Array };
      values.fill(-Infinity, 1, columns - 1); // row 0: two columns left
      values.fill(-Infinity, columns, 2 * columns);
      values[2 * columns + 3] = NaN;
      values[3 * columns + 3] = Infinity;
      values.fill(1e38, 4 * columns, 5 * columns);
      const x: Operand = { dtype: 'f32', shape: [6, columns], values };
      for (const log of [false, true]) {
        const call = {
          op: 'softmax',
          attrs: { log },
          inputs: [x],
          outputs: [{ dtype: 'f32', shape: x.shape } as const],
        };
        const [[cpu], [cuda]] = await Promise.all([runOp(pair.cpu, call), runOp(pair.cuda, call)]);
        const differing = [...cpu!].filter((value, i) => {
          const other = cuda![i]!;
          return !(Object.is(value, other) || Math.abs(value - other) <= 4e-6 * (1 + Math.abs(value)));
        });
        t.same(differing, [], `${columns} columns${log ? ', logarithm' : ''}`);
      }
    }
  });

  const scalar: Operand = { dtype: 'f32', shape: [1] };
  const labelled = (rows: number, vocabulary: number, ignored: (row: number) => boolean): Operand => {
    const { values } = noisy('i32', [rows], 7, 0, vocabulary);
    return {
      dtype: 'i32',
      shape: [rows],
      values: Int32Array.from(values!, (label, row) => (ignored(row) ? -100 : label)),
    };
  };

  await t.test('cross-entropy and its gradient', async (t) => {
    for (const dtype of floats) {
      for (const [rows, vocabulary] of [
        [1, 5],
        [50, 21],
        [9, 2048],
        [5, 2049],
        [3, 5003],
        [1100, 3],
      ] as const) {
        const name = `${dtype} [${rows}, ${vocabulary}]`;
        const logits = noisy(dtype, [rows, vocabulary], 1, -9, 9);
        const labels = labelled(rows, vocabulary, (row) => row % 4 === 3);
        const lse: Operand = { dtype: 'f32', shape: [rows] };
        const outputs = [scalar, scalar, lse];
        const call = { op: 'crossEntropy', inputs: [logits, labels], outputs };
        const [, count, exponents] = await pair.agree(t, name, call, close);
        t.equal(count![0], labels.values!.filter((label) => label >= 0).length);
        const inputs = [
          { ...scalar, values: Float32Array.of(1.5) },
          logits,
          labels,
          { ...lse, values: exponents! },
          { ...scalar, values: count! },
        ];
        const y: Operand = { dtype, shape: [rows, vocabulary] };
        await pair.agree(t, `gradient ${name}`, { op: 'crossEntropyBackward', inputs, outputs: [y] }, close);
      }
    }
  });

  await t.test('no label at all, and a row that is certain of its label', async (t) => {
    const logits: Operand = { dtype: 'f32', shape: [2, 3], values: Float32Array.of(20, 0, 1, 5, 6, 7) };
    const lse: Operand = { dtype: 'f32', shape: [2] };
    const none = labelled(2, 3, () => true);
    const outputs = [scalar, scalar, lse];
    const [loss, count] = await pair.agree(t, 'none', { op: 'crossEntropy', inputs: [logits, none], outputs });
    t.same([loss![0], count![0]], [0, 0]);
    const sure: Operand = { dtype: 'i32', shape: [2], values: Int32Array.of(0, -100) };
    const [, , exponents] = await pair.agree(t, 'sure', { op: 'crossEntropy', inputs: [logits, sure], outputs });
    const one = { ...scalar, values: Float32Array.of(1) };
    const inputs = [one, logits, sure, { ...lse, values: exponents! }, one];
    const y: Operand = { dtype: 'f32', shape: [2, 3] };
    const [dx] = await pair.agree(t, 'its gradient', { op: 'crossEntropyBackward', inputs, outputs: [y] });
    t.same([...dx!.subarray(3)], [0, 0, 0]);
  });

  await t.test('a wrong label is the same error as on the CPU, and harms nothing', async (t) => {
    for (const vocabulary of [21, 3000]) {
      const logits = noisy('f32', [6, vocabulary], 1);
      for (const wrong of [vocabulary, -1, -2147483648, 2147483647]) {
        const labels: Operand = { dtype: 'i32', shape: [6], values: Int32Array.of(1, -100, 2, wrong, 0, wrong) };
        const lse = noisy('f32', [6], 3, 2, 3);
        const one = { ...scalar, values: Float32Array.of(1) };
        const forward = { op: 'crossEntropy', inputs: [logits, labels], outputs: [scalar, scalar, { ...lse }] };
        const y: Operand = { dtype: 'f32', shape: [6, vocabulary] };
        const backward = { op: 'crossEntropyBackward', inputs: [one, logits, labels, lse, one], outputs: [y] };
        for (const call of [forward, backward]) {
          const { cpu, cuda } = await pair.errors(call);
          t.match(cpu, new RegExp(`${call.op}: labels\\[3\\] is ${wrong};`));
          t.equal(cuda, cpu);
        }
      }
    }
  });

  await t.test('what there is no kernel for is refused as on the CPU', async (t) => {
    const [x, integers] = [noisy('f32', [4, 3], 1), noisy('i32', [4, 3], 1, 0, 9)];
    const y: Operand = { dtype: 'bf16', shape: [4, 3] };
    for (const call of [
      { op: 'softmax', attrs: { log: false }, inputs: [x], outputs: [y] },
      { op: 'softmax', attrs: { log: false }, inputs: [integers], outputs: [{ ...y, dtype: 'i32' } as const] },
      { op: 'softmaxBackward', attrs: { log: false }, inputs: [x, x], outputs: [y] },
    ]) {
      const { cpu, cuda } = await pair.errors(call);
      t.match(cpu, /^NO_KERNEL/);
      t.equal(cuda, cpu.replace('on cpu', 'on cuda'));
    }
  });
});

/** reduce.cu beyond the op cases: rows and columns of every length, one pass and two, against the CPU. */
import t from 'tap';
import { noCuda, noisy, type Operand, Pair, runOp } from './op-pair.js';

type Dtype = 'f32' | 'bf16' | 'i32';
const floats = ['f32', 'bf16'] as const;
// Both sides round sums of some ten thousand terms, in different orders.
const sums = { tolerance: 4e-6 };
const exact = { tolerance: 0, bf16: 0 };

const kept = (shape: readonly number[], axes: readonly number[]) => shape.filter((_, axis) => !axes.includes(axis));

t.test('reductions', { skip: noCuda }, async (t) => {
  const pair = await Pair.open();
  t.teardown(() => pair.close());

  const reduce = async (t: object, kind: string, shape: readonly number[], axes: readonly number[], dtype: Dtype) => {
    const attrs = { kind, axes };
    const outputs = [{ dtype, shape: kept(shape, axes) }];
    const call = { op: 'reduce', attrs, inputs: [noisy(dtype, shape, 1, -9, 9)], outputs };
    const options = kind === 'sum' || kind === 'mean' ? sums : exact;
    await pair.agree(t, `${kind} ${dtype} [${shape}] over ${axes}`, call, options);
  };

  // Rows: a thread or a few for each, a warp, a block, blocks for parts of it; at addresses of packs and at others.
  const rows = [
    [100, 3],
    [70, 24],
    [33, 200],
    [9, 1501],
    [3, 2056],
    [3, 5003],
    [1, 70001],
    [2, 65536],
  ];
  // Columns: packs or single ones, from one pack to more than a block's, few rows and many, in parts.
  const columns = [
    [2, 2056],
    [5, 100],
    [40, 1032],
    [700, 8],
    [2500, 16],
    [1100, 264],
    [300, 7],
    [3000, 5],
    [1030, 259],
  ];
  await t.test('along rows and down columns', async (t) => {
    for (const dtype of floats) {
      for (const shape of rows) await reduce(t, 'sum', shape, [1], dtype);
      for (const shape of columns) await reduce(t, 'sum', shape, [0], dtype);
    }
    for (const shape of [...rows.slice(1, 5), rows[6]!]) await reduce(t, 'min', shape, [1], 'i32');
    for (const shape of columns.slice(2, 7)) await reduce(t, 'sum', shape, [0], 'i32');
  });

  await t.test('the other kinds', async (t) => {
    for (const kind of ['mean', 'max', 'min']) {
      for (const dtype of floats) {
        for (const shape of [rows[2]!, rows[4]!, rows[7]!]) await reduce(t, kind, shape, [1], dtype);
        for (const shape of [columns[1]!, columns[4]!, columns[7]!]) await reduce(t, kind, shape, [0], dtype);
      }
    }
    await reduce(t, 'max', rows[5]!, [1], 'i32');
    await reduce(t, 'max', columns[8]!, [0], 'i32');
  });

  await t.test('over several axes', async (t) => {
    const shape = [6, 5, 4, 40];
    for (const axes of [[], [0], [1], [0, 2], [1, 3], [0, 1, 3], [0, 3], [0, 1, 2], [0, 1, 2, 3]]) {
      await reduce(t, 'sum', shape, axes, 'bf16');
      await reduce(t, 'mean', shape, axes, 'f32');
    }
    await reduce(t, 'sum', [700, 2, 3], [1], 'f32'); // many outer slices, few columns
    await reduce(t, 'sum', [60, 9, 16], [1], 'bf16');
  });

  await t.test('results that are added to, or wider than what they come from', async (t) => {
    for (const shape of [
      [33, 200],
      [3, 70001],
      [700, 8],
      [2500, 20],
      [1030, 259],
    ]) {
      for (const dtype of floats) {
        for (const axis of [0, 1]) {
          const attrs = { kind: 'sum', axes: [axis], accumulate: [0] };
          const target = noisy('f32', [shape[1 - axis]!], 2);
          const call = { op: 'reduce', attrs, inputs: [noisy(dtype, shape, 1)], outputs: [target] };
          await pair.agree(t, `${dtype} [${shape}] over ${axis}`, call, { runs: 3, ...sums });
        }
      }
    }
  });

  await t.test('columnSum, written and added', async (t) => {
    for (const shape of [
      [2500, 768],
      [7, 30, 264],
      [50, 3],
      [1100, 1025],
    ]) {
      for (const dtype of floats) {
        const inputs = [noisy(dtype, shape, 1)];
        const y: Operand = { dtype: 'f32', shape: [shape.at(-1)!] };
        await pair.agree(t, `${dtype} [${shape}]`, { op: 'columnSum', inputs, outputs: [y] }, sums);
        const added = { op: 'columnSum', attrs: { accumulate: [0] }, inputs, outputs: [noisy('f32', y.shape, 2)] };
        await pair.agree(t, `${dtype} [${shape}], added`, added, { runs: 3, ...sums });
      }
    }
  });

  await t.test('a NaN wins, and infinities are extremes', async (t) => {
    for (const columns of [5, 300, 3000]) {
      const values = noisy('f32', [3, columns], 1).values as Float32Array;
      values[columns - 2] = NaN;
      values.fill(-Infinity, columns, 2 * columns);
      values[2 * columns + 1] = Infinity;
      for (const axis of [0, 1]) {
        for (const kind of ['max', 'min', 'sum']) {
          const shape = [3, columns];
          const outputs: Operand[] = [{ dtype: 'f32', shape: kept(shape, [axis]) }];
          const call = {
            op: 'reduce',
            attrs: { kind, axes: [axis] },
            inputs: [{ dtype: 'f32', shape, values } as const],
            outputs,
          };
          const [[cpu], [cuda]] = await Promise.all([runOp(pair.cpu, call), runOp(pair.cuda, call)]);
          const differing = [...cpu!].filter((value, i) => {
            const other = cuda![i]!;
            return !(Object.is(value, other) || Math.abs(value - other) < 1e-5);
          });
          t.same(differing, [], `${kind} of ${columns} over ${axis}`);
        }
      }
    }
  });

  await t.test('argmax: the first of equals, a NaN before all', async (t) => {
    for (const shape of [
      [50, 3],
      [9, 40],
      [5, 1001],
      [3, 2048],
      [2, 5003],
    ]) {
      for (const dtype of ['f32', 'bf16', 'i32'] as const) {
        const x = noisy(dtype, shape, 1, 0, 9); // of integers and bf16 many are equal
        const columns = shape[1]!;
        if (dtype !== 'i32') {
          x.values!.fill(-Infinity, 0, columns);
          x.values![columns + 2] = NaN;
          x.values![2 * columns - 1] = NaN;
        }
        const call = { op: 'argmax', inputs: [x], outputs: [{ dtype: 'i32', shape: [shape[0]!] } as const] };
        const [y] = await pair.agree(t, `${dtype} [${shape}]`, call, exact);
        if (dtype !== 'i32') t.same([y![0], y![1]], [0, 2]);
      }
    }
  });

  await t.test('what there is no kernel for is refused as on the CPU', async (t) => {
    const integers = noisy('i32', [4, 3], 1, 0, 9);
    const one = (dtype: Dtype): Operand => ({ dtype, shape: [4] });
    const sum = { kind: 'sum', axes: [1] };
    for (const call of [
      { op: 'reduce', attrs: { kind: 'mean', axes: [1] }, inputs: [integers], outputs: [one('i32')] },
      { op: 'reduce', attrs: sum, inputs: [integers], outputs: [one('f32')] },
      { op: 'reduce', attrs: { ...sum, accumulate: [0] }, inputs: [noisy('bf16', [4, 3], 1)], outputs: [one('bf16')] },
      { op: 'columnSum', inputs: [noisy('bf16', [3, 4], 1)], outputs: [one('bf16')] },
      { op: 'argmax', inputs: [noisy('f32', [4, 3], 1)], outputs: [one('f32')] },
    ]) {
      const { cpu, cuda } = await pair.errors(call);
      t.match(cpu, /^NO_KERNEL/);
      t.equal(cuda, cpu.replace('on cpu', 'on cuda'));
    }
  });
});

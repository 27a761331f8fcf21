/** elementwise.cu, binary.cu and dropout.cu beyond the op cases: every path of theirs, against the CPU. */
import t from 'tap';
import { noCuda, noisy, type Operand, Pair, runOp } from './op-pair.js';

type Dtype = 'f32' | 'bf16' | 'i32';
const dtypes = ['f32', 'bf16', 'i32'] as const;
const floats = ['f32', 'bf16'] as const;
const exact = { tolerance: 0, bf16: 0 };
const infinity = Number.POSITIVE_INFINITY;

/** One element short of two blocks of packs, and a few elements. */
const counts = [4095, 5];

const unary = 'neg abs square sqrt rsqrt reciprocal exp log tanh sigmoid relu silu erf sin cos sign'.split(' ');
const binary = 'add sub mul div pow max min less lessEqual equal greater greaterEqual notEqual'.split(' ');
const compares = (kind: string) => /less|qual|greater/i.test(kind);

/** Operands of these values, f32 or rounded to bf16. */
const given = (dtype: Dtype, values: readonly number[]): Operand => ({
  dtype,
  shape: [values.length],
  values: dtype === 'i32' ? Int32Array.from(values) : Float32Array.from(values),
});

t.test('elementwise kernels', { skip: noCuda }, async (t) => {
  const pair = await Pair.open();
  t.teardown(() => pair.close());

  await t.test('unary functions of any number of elements', async (t) => {
    for (const dtype of floats) {
      for (const [i, kind] of unary.entries()) {
        const low = /sqrt|log|reciprocal/.test(kind) ? 0.1 : -6;
        const shape = [counts[i % 2]!];
        const call = {
          op: 'unary',
          attrs: { kind },
          inputs: [noisy(dtype, shape, i, low, 6)],
          outputs: [{ dtype, shape }],
        };
        await pair.agree(t, `${kind} ${dtype} ${shape}`, call);
      }
    }
  });

  await t.test('unary functions where f32 ends', async (t) => {
    const values = [0, -0, 1e-45, -3e-39, 200, -200, 1e30, -1e30, 3e38, 40000, infinity, -infinity, NaN];
    const shape = [values.length];
    for (const kind of unary) {
      const call = {
        op: 'unary',
        attrs: { kind },
        inputs: [given('f32', values)],
        outputs: [{ dtype: 'f32', shape } as const],
      };
      const [[cpu], [cuda]] = await Promise.all([runOp(pair.cpu, call), runOp(pair.cuda, call)]);
      const differing = values.filter((_, i) => {
        const [a, b] = [cpu![i]!, cuda![i]!];
        return !(Object.is(a, b) || Math.abs(a - b) <= 2e-6 * Math.abs(a) + 1e-37);
      });
      t.same(differing, [], kind);
    }
  });

  await t.test('casts between all dtypes, beyond the range of integers too', async (t) => {
    for (const from of dtypes) {
      for (const to of dtypes) {
        for (const count of counts) {
          const shape = [count];
          const call = {
            op: 'cast',
            inputs: [noisy(from, shape, count, -1000, 1000)],
            outputs: [{ dtype: to, shape }],
          };
          await pair.agree(t, `${from} to ${to}, ${count}`, call, exact);
        }
      }
    }
    const big = given('f32', [2147483520, 2147483648, 3e9, infinity, -2147483648, -3e9, -infinity, -0.9]);
    await pair.agree(t, 'too large', { op: 'cast', inputs: [big], outputs: [{ dtype: 'i32', shape: [8] }] }, exact);
    const odd = given('i32', [16777217, -16777219, 2147483647, 8388609]);
    for (const dtype of floats) {
      await pair.agree(t, 'rounded', { op: 'cast', inputs: [odd], outputs: [{ dtype, shape: [4] }] }, exact);
    }
  });

  await t.test('copy, fill, select, scale and accumulate', async (t) => {
    for (const dtype of dtypes) {
      for (const count of counts) {
        const shape = [count];
        const y: Operand = { dtype, shape };
        const x = noisy(dtype, shape, 1, -9, 9);
        const name = `${dtype} ${count}`;
        await pair.agree(t, `copy ${name}`, { op: 'copy', inputs: [x], outputs: [y] }, exact);
        await pair.agree(t, `fill ${name}`, { op: 'fill', attrs: { value: -7.3 }, inputs: [], outputs: [y] }, exact);
        const condition = noisy('i32', shape, 2, -1, 2);
        const chosen = [condition, x, noisy(dtype, shape, 3, -9, 9)];
        await pair.agree(t, `select ${name}`, { op: 'select', inputs: chosen, outputs: [y] }, exact);
        if (dtype === 'i32') continue;
        const attrs = { alpha: 1.25, beta: -0.7 };
        await pair.agree(t, `scale ${name}`, { op: 'scale', attrs, inputs: [x], outputs: [y] });
        const sum = noisy('f32', shape, 4);
        await pair.agree(
          t,
          `accumulate ${name}`,
          { op: 'accumulate', inputs: [x], outputs: [sum] },
          { runs: 3, ...exact },
        );
      }
    }
  });

  // Shapes of a and b: as packs (one loop, cut at the end or not; rows, columns, single elements repeated) and element by
  // element (rows of 9; packs that begin anywhere in an operand; several axes repeated).
  const shapes: readonly (readonly [readonly number[], readonly number[]])[] = [
    [
      [3, 341],
      [3, 341],
    ],
    [[4096], []],
    [[], [77]],
    [
      [3, 5, 16],
      [5, 16],
    ],
    [
      [6, 64],
      [6, 1],
    ],
    [
      [1, 24],
      [5, 1],
    ],
    [[7, 9], [9]],
    [
      [7, 9],
      [7, 1],
    ],
    [
      [4, 1, 8],
      [4, 3, 8],
    ],
    [
      [4, 3, 1],
      [4, 1, 40],
    ],
    [
      [5, 1, 6, 1],
      [1, 3, 1, 16],
    ],
    [
      [2, 3, 1, 5],
      [3, 4, 1],
    ],
    [
      [300, 7],
      [300, 1],
    ],
  ];
  const broadcast = (a: readonly number[], b: readonly number[]) => {
    const rank = Math.max(a.length, b.length);
    const at = (shape: readonly number[], axis: number) => shape[axis - rank + shape.length] ?? 1;
    return Array.from({ length: rank }, (_, axis) => Math.max(at(a, axis), at(b, axis)));
  };

  await t.test('binary functions with every way of broadcasting', async (t) => {
    for (const [i, [a, b]] of shapes.entries()) {
      for (const dtype of dtypes) {
        // All functions on the first shapes, one on each of the others.
        const kinds = i < 2 || i === 7 ? binary : [binary[i % 3]!];
        for (const kind of kinds) {
          if (dtype === 'i32' && (kind === 'div' || kind === 'pow')) continue;
          const [low, high] = kind === 'pow' ? [0.3, 2] : kind === 'div' ? [1, 4] : [-3, 3];
          const inputs = [noisy(dtype, a, i, low, high), noisy(dtype, b, 50 + i, low, high)];
          const y: Operand = { dtype: compares(kind) ? 'i32' : dtype, shape: broadcast(a, b) };
          const call = { op: 'binary', attrs: { kind }, inputs, outputs: [y] };
          await pair.agree(t, `${kind} ${dtype} [${a}] [${b}]`, call, kind === 'pow' ? {} : { tolerance: 2e-7 });
        }
      }
    }
  });

  await t.test('binary functions of NaNs, infinities and integers that wrap', async (t) => {
    const special = [NaN, infinity, -infinity, 0, -0, 1];
    const pairs = special.flatMap((a) => special.map((b) => [a, b] as const));
    const [a, b] = [pairs.map(([p]) => p), pairs.map(([, q]) => q)];
    const wide = given('i32', [2147483647, -2147483648, 65536, 46341]);
    for (const kind of binary) {
      const y: Operand = { dtype: compares(kind) ? 'i32' : 'f32', shape: [pairs.length] };
      const call = { op: 'binary', attrs: { kind }, inputs: [given('f32', a), given('f32', b)], outputs: [y] };
      const [[cpu], [cuda]] = await Promise.all([runOp(pair.cpu, call), runOp(pair.cuda, call)]);
      t.same([...cuda!], [...cpu!], kind);
      if (kind === 'div' || kind === 'pow') continue;
      const integers = {
        op: 'binary',
        attrs: { kind },
        inputs: [wide, wide],
        outputs: [{ dtype: 'i32', shape: [4] } as const],
      };
      await pair.agree(t, `${kind} of integers`, integers, exact);
    }
  });

  await t.test('dropout of rows that are whole blocks of 8 and of others', async (t) => {
    const rng: Operand = { dtype: 'i32', shape: [4], values: Int32Array.of(-12345, 678, 9, 1) };
    for (const dtype of floats) {
      for (const shape of [[3, 344], [7, 21], [5, 4], [2, 3, 1], [600]]) {
        const attrs = { p: 0.3, stream: 11 };
        const inputs = [noisy(dtype, shape, 1, 1, 2), rng];
        const call = { op: 'dropout', attrs, inputs, outputs: [{ dtype, shape }] };
        const [y] = await pair.agree(t, `${dtype} [${shape}]`, call, exact);
        if (shape[0] === 3) t.ok(y!.includes(0) && y!.some((value) => value !== 0), 'some are dropped, some kept');
      }
    }
  });

  await t.test('what there is no kernel for is refused as on the CPU', async (t) => {
    const x = noisy('f32', [4], 1);
    const integers = noisy('i32', [4], 1, 0, 9);
    const y: Operand = { dtype: 'f32', shape: [4] };
    const whole: Operand = { dtype: 'i32', shape: [4] };
    const rng: Operand = { dtype: 'i32', shape: [4], values: Int32Array.of(1, 2, 3, 4) };
    for (const call of [
      { op: 'unary', attrs: { kind: 'exp' }, inputs: [integers], outputs: [whole] },
      { op: 'unary', attrs: { kind: 'gamma' }, inputs: [x], outputs: [y] },
      { op: 'unary', attrs: { kind: 'exp' }, inputs: [x], outputs: [whole] },
      { op: 'binary', attrs: { kind: 'div' }, inputs: [integers, integers], outputs: [whole] },
      { op: 'binary', attrs: { kind: 'less' }, inputs: [x, x], outputs: [y] },
      { op: 'binary', attrs: { kind: 'add' }, inputs: [x, integers], outputs: [y] },
      { op: 'scale', attrs: { alpha: 2, beta: 0 }, inputs: [integers], outputs: [whole] },
      { op: 'accumulate', inputs: [integers], outputs: [y] },
      { op: 'copy', inputs: [x], outputs: [whole] },
      { op: 'select', inputs: [x, x, x], outputs: [y] },
      { op: 'dropout', attrs: { p: 0.1, stream: 0 }, inputs: [integers, rng], outputs: [whole] },
    ]) {
      const { cpu, cuda } = await pair.errors(call);
      t.match(cpu, /^NO_KERNEL/);
      t.equal(cuda, cpu.replace('on cpu', 'on cuda'));
    }
  });

  await t.test('axes that do not merge can be too many', async (t) => {
    const a = [2, 1, 2, 1, 2, 1, 2, 1, 2];
    const b = [1, 2, 1, 2, 1, 2, 1, 2, 1];
    const y: Operand = { dtype: 'f32', shape: Array(9).fill(2) };
    const call = {
      op: 'binary',
      attrs: { kind: 'add' },
      inputs: [noisy('f32', a, 1), noisy('f32', b, 2)],
      outputs: [y],
    };
    t.match((await pair.errors(call)).cuda, /NO_KERNEL: op 'binary' on cuda takes tensors of up to 8 axes.*got 9/);
    const eight = { ...call, inputs: [noisy('f32', a.slice(1), 1), noisy('f32', b.slice(1), 2)] };
    await pair.agree(t, '8 axes', { ...eight, outputs: [{ dtype: 'f32', shape: y.shape.slice(1) }] }, exact);
  });
});

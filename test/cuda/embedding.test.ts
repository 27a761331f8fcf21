/** The paths of embedding.cu that the op cases are too small for, against the CPU. */
import t from 'tap';
import { noCuda, noise, noisy, type Operand, Pair } from './op-pair.js';

const indices = (values: ArrayLike<number>): Operand => ({
  dtype: 'i32',
  shape: [values.length],
  values: Int32Array.from(values),
});
/** Ids in [0, limit) with few frequent and many rare ones, as in text. */
const skewed = (count: number, limit: number, seed: number) =>
  indices(noise(count, seed, 0, 1).map((u) => Math.floor(limit * u ** 4)));

t.test('rows are copied in words of 16, 4 and 2 bytes', { skip: noCuda }, async (t) => {
  const pair = await Pair.open();
  t.teardown(() => pair.close());
  for (const width of [8, 6, 5, 1, 1100, 2300]) {
    for (const dtype of ['f32', 'bf16'] as const) {
      for (const op of ['embedding', 'gatherRows']) {
        const inputs = [noisy(dtype, [13, width], 1), noisy('i32', [29], 2, 0, 13)];
        const call = { op, inputs, outputs: [{ dtype, shape: [29, width] }] };
        await pair.agree(t, `${op} ${dtype}, width ${width}`, call, { tolerance: 0, bf16: 0 });
      }
    }
  }
});

t.test('rows are added by id, however skewed the ids are', { skip: noCuda }, async (t) => {
  const pair = await Pair.open();
  t.teardown(() => pair.close());
  const lists: Record<string, [ids: Operand, rows: number]> = {
    'like text': [skewed(2500, 60, 3), 60],
    'few positions': [skewed(30, 9, 4), 9],
    'one id': [indices(new Int32Array(1500).fill(1)), 2],
    'each id once': [indices(Array.from({ length: 200 }, (_, i) => (i * 77) % 200)), 203],
    none: [indices([]), 5],
  };
  for (const [name, [ids, rows]] of Object.entries(lists)) {
    for (const width of [16, 5, 264]) {
      for (const from of ['f32', 'bf16'] as const) {
        for (const to of ['f32', 'bf16', 'added'] as const) {
          const dy = noisy(from, [ids.shape[0]!, width], 5);
          const table: Operand =
            to === 'added' ? noisy('f32', [rows, width], 6) : { dtype: to, shape: [rows, width] as const };
          const call = {
            op: to === 'bf16' ? 'scatterRows' : 'embeddingBackward',
            attrs: to === 'added' ? { accumulate: [0] } : {},
            inputs: [dy, ids],
            outputs: [table],
          };
          const runs = width === 16 ? 3 : 1;
          await pair.agree(t, `${name}: ${from} to ${to}, width ${width}`, call, { runs, tolerance: 5e-6 });
        }
      }
    }
  }
});

t.test('a run over a thousand pieces', { skip: noCuda }, async (t) => {
  const pair = await Pair.open();
  t.teardown(() => pair.close());
  const ids = indices(Int32Array.from({ length: 70_000 }, (_, i) => (i < 100 ? 0 : i % 97 === 0 ? 2 : 1)));
  const call = {
    op: 'embeddingBackward',
    inputs: [noisy('f32', [70_000, 1], 1), ids],
    outputs: [{ dtype: 'f32' as const, shape: [4, 1] }],
  };
  await pair.agree(t, 'sums', call, { tolerance: 1e-5 });
});

t.test('a wrong id is named as on the CPU, and the device still works', { skip: noCuda }, async (t) => {
  const pair = await Pair.open();
  t.teardown(() => pair.close());
  // A table of 8 x 8 ends where its memory does: in the emulator, a row behind it is a fault.
  const wrong = indices([0, 3, 8, 2, -1, 2_000_000_000, -2_000_000_000, 7, ...new Array<number>(40).fill(9)]);
  for (const [op, inputs, shape] of [
    ['embedding', [noisy('f32', [8, 8], 1), wrong], [48, 8]],
    ['gatherRows', [noisy('f32', [8, 8], 1), wrong], [48, 8]],
    ['embeddingBackward', [noisy('f32', [48, 8], 1), wrong], [8, 8]],
    ['scatterRows', [noisy('f32', [48, 8], 1), wrong], [8, 8]],
  ] as const) {
    const call = { op, inputs, outputs: [{ dtype: 'f32' as const, shape }] };
    const { cpu, cuda } = await pair.errors(call);
    t.match(cpu, /BAD_ARGUMENT: .*\[2\] is 8; expected 0 <= value < 8/);
    t.equal(cuda, cpu);
  }
  const right = {
    op: 'embedding',
    inputs: [noisy('f32', [8, 8], 1), indices([1, 7])],
    outputs: [noisy('f32', [2, 8], 2)],
  };
  await pair.agree(t, 'after the errors', right, { tolerance: 0 });
});

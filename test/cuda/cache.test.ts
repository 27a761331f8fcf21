// The cache of keys and values: tokens of a sequence at one position, far apart and next to each other.
import t from 'tap';
import { noCuda, noisy, Pair } from './op-pair.js';

t.test('of tokens at one position the last one stays', { skip: noCuda }, async (t) => {
  const pair = await Pair.open();
  t.teardown(() => pair.close());
  const [batch, tokens, length] = [3, 70, 9];
  for (const dtype of ['f32', 'bf16'] as const) {
    for (const [width, rows] of [
      [8, batch],
      [5, batch],
      [6, 1],
    ] as const) {
      const inputs = [
        noisy(dtype, [rows, tokens, 3 * width], 1),
        noisy(dtype, [batch, length, width], 2),
        noisy(dtype, [batch, length, width], 3),
        noisy('i32', [rows, tokens], 4, 0, length),
      ];
      const call = { op: 'appendToCache', inputs, outputs: inputs.slice(1, 3) };
      const name = `${dtype}, ${width} elements a row, ${rows} sequences into ${batch}`;
      await pair.agree(t, name, call, { tolerance: 0, bf16: 0 });
    }
  }
});

/** Batches are functions of (seed, step, micro); every block once per epoch; masks have BERT's statistics. */
import t from 'tap';
import {
  blockCount,
  causalBatch,
  heldOutCausalBatches,
  heldOutMlmBatches,
  type MlmOptions,
  mlmBatch,
  mlmCapacity,
} from '../../../lib/data/batches/batches.js';
import { maskedRow, mlmIds } from '../../../lib/data/batches/masking.js';
import { arraySource } from '../../../lib/data/batches/token-source.js';
import { philox4x32, seedWords } from '../../../lib/random/philox.js';
import { bert, failure, gpt2 } from '../support.js';

/** 0, 1, 2, ...: a token tells its place. */
const counting = (tokens: number) =>
  arraySource(
    Array.from({ length: tokens }, (_, i) => i),
    tokens,
  );

t.test('rows are blocks of the source, labels the next token, the last one none', async (t) => {
  const { tokens, labels } = causalBatch(counting(100), { batch: 3, seq: 8, seed: 1, step: 0 });
  for (let row = 0; row < 3; row++) {
    const ids = [...tokens.subarray(row * 8, row * 8 + 8)];
    t.equal(ids[0]! % 8, 0, 'starts at a block');
    t.strictSame(
      ids,
      Array.from({ length: 8 }, (_, i) => ids[0]! + i),
    );
    t.strictSame([...labels.subarray(row * 8, row * 8 + 8)], [...ids.slice(1), -100]);
  }
});

t.test('an epoch visits every block once, in another order each time', async (t) => {
  const source = counting(1003); // 125 blocks of 8, 3 tokens left over
  t.equal(blockCount(source, 8), 125);
  const firsts = (from: number, to: number): number[] => {
    const result: number[] = [];
    for (let row = from; row < to; row++)
      result.push(causalBatch(source, { batch: 1, seq: 8, seed: 3, step: row }).tokens[0]! / 8);
    return result;
  };
  const all = Array.from({ length: 125 }, (_, i) => i);
  const epochs = [firsts(0, 125), firsts(125, 250), firsts(250, 375)];
  for (const epoch of epochs)
    t.strictSame(
      [...epoch].sort((a, b) => a - b),
      all,
    );
  t.notSame(epochs[0], epochs[1]);
  t.notSame(epochs[1], epochs[2]);
  // Batches that do not divide the epoch still go through it row by row.
  const rows: number[] = [];
  for (let step = 0; step < 40; step++) {
    const { tokens } = causalBatch(source, { batch: 7, seq: 8, seed: 3, step });
    for (let row = 0; row < 7; row++) rows.push(tokens[row * 8]! / 8);
  }
  t.strictSame(rows, [...epochs[0]!, ...epochs[1]!, ...epochs[2]!].slice(0, 280));
});

t.test('micro-batches are parts of the step: 4 of 2 rows hold the rows of 1 of 8', async (t) => {
  const source = counting(4000);
  const whole = causalBatch(source, { batch: 8, seq: 16, seed: 5, step: 9 });
  const parts = [0, 1, 2, 3].map((micro) =>
    causalBatch(source, { batch: 2, seq: 16, seed: 5, step: 9, micro, accumulation: 4 }),
  );
  t.strictSame(
    parts.flatMap(({ tokens }) => [...tokens]),
    [...whole.tokens],
  );
  t.strictSame(
    parts.flatMap(({ labels }) => [...labels]),
    [...whole.labels],
  );
});

const vocabSize = 1000;
const specialIds = [0, 1, 2, 3, 4, 500];
const text = arraySource(
  Array.from({ length: 64_000 }, (_, i) => (i % 50 === 7 ? 500 : i % 31 === 5 ? 1 : 5 + ((i * 7919) % 490))),
  vocabSize,
);
const mlm = (step: number, more: Partial<MlmOptions> = {}): MlmOptions => ({
  batch: 16,
  seq: 66,
  seed: 11,
  step,
  clsId: 2,
  sepId: 3,
  maskId: 4,
  vocabSize,
  specialIds,
  targets: mlmCapacity(16 * 66),
  ...more,
});

t.test('the same step gives the same batch after any other', async (t) => {
  const forward = [0, 1, 2, 3, 70].map((step) => mlmBatch(text, mlm(step)));
  const backward = [70, 3, 2, 1, 0].map((step) => mlmBatch(text, mlm(step))).reverse();
  t.strictSame(backward, forward);
  t.notSame(mlmBatch(text, mlm(0, { seed: 12 })), forward[0]);
});

t.test('rows are [CLS] block [SEP]; putting the labels back gives the text', async (t) => {
  for (const step of [0, 5, 200]) {
    const { tokens, positions, labels } = mlmBatch(text, mlm(step));
    const restored = tokens.slice();
    positions.forEach((position, i) => {
      if (labels[i] !== -100) restored[position] = labels[i]!;
    });
    for (let row = 0; row < 16; row++) {
      const ids = restored.subarray(row * 66, row * 66 + 66);
      t.equal(ids[0], 2);
      t.equal(ids[65], 3);
      const block = Array.from({ length: 1000 }, (_, b) => b).some(
        (b) => text.read(b * 64, 64).join() === ids.subarray(1, 65).join(),
      );
      t.ok(block, 'the inside is a block of the source');
    }
    const used = labels.indexOf(-100);
    t.ok(
      labels.subarray(used).every((label) => label === -100) && positions.subarray(used).every((p) => p === 0),
      'the rest is padding',
    );
    t.ok(
      positions.subarray(0, used).every((p, i) => i === 0 || p > positions[i - 1]!),
      'ascending',
    );
  }
});

t.test('15 % of ordinary positions, 80/10/10, special tokens never', async (t) => {
  const seen = { ordinary: 0, masked: 0, mask: 0, random: 0, kept: 0, special: 0 };
  const drawn = new Set<number>();
  const perRow: number[] = [];
  for (let step = 0; step < 400; step++) {
    const { tokens, positions, labels } = mlmBatch(text, mlm(step));
    const rowCounts = new Array<number>(16).fill(0);
    for (const id of tokens) if (!specialIds.includes(id)) seen.ordinary++;
    labels.forEach((label, i) => {
      if (label === -100) return;
      seen.masked++;
      rowCounts[Math.floor(positions[i]! / 66)]!++;
      if (specialIds.includes(label)) seen.special++;
      const now = tokens[positions[i]!]!;
      if (now === 4) {
        seen.mask++;
        seen.ordinary++; // it was counted as special above
      } else if (now === label) seen.kept++;
      else {
        seen.random++;
        drawn.add(now);
      }
    });
    perRow.push(...rowCounts);
  }
  t.equal(seen.special, 0, 'no special token is masked');
  // About 58,000 masks of 387,000 positions: five standard deviations around each share.
  const near = (count: number, total: number, share: number): boolean =>
    Math.abs(count - total * share) < 5 * Math.sqrt(total * share * (1 - share));
  t.ok(near(seen.masked, seen.ordinary, 0.15), `${seen.masked / seen.ordinary}`);
  t.ok(near(seen.mask, seen.masked, 0.8), `${seen.mask / seen.masked}`);
  t.ok(near(seen.random, seen.masked, 0.1 * (993 / 994)), `${seen.random / seen.masked}`);
  t.ok(near(seen.kept, seen.masked, 0.1), `${seen.kept / seen.masked}`);
  t.ok(
    [...drawn].every((id) => id < vocabSize && !specialIds.includes(id)),
    'random tokens are ordinary',
  );
  t.ok(drawn.size > 980, `and come from all of the vocabulary (${drawn.size} of 994)`);
  const mean = perRow.reduce((sum, n) => sum + n, 0) / perRow.length;
  const variance = perRow.reduce((sum, n) => sum + (n - mean) ** 2, 0) / perRow.length;
  t.ok(
    Math.abs(variance / (mean * 0.85) - 1) < 0.1,
    `positions are chosen one by one: variance ${variance} of mean ${mean}`,
  );
});

t.test('masks change from epoch to epoch and do not depend on the batch size', async (t) => {
  const source = arraySource(text.read(0, 640), vocabSize); // 10 blocks of 64
  const masksByBlock = (epoch: number, batch: number): string[] => {
    const result: string[] = [];
    for (let step = (epoch * 10) / batch; step < ((epoch + 1) * 10) / batch; step++) {
      const { tokens } = mlmBatch(source, mlm(step, { batch }));
      for (let row = 0; row < batch; row++) result.push(tokens.slice(row * 66, row * 66 + 66).join());
    }
    return result;
  };
  t.strictSame(masksByBlock(3, 5), masksByBlock(3, 1));
  t.notSame(masksByBlock(0, 1).sort(), masksByBlock(1, 1).sort());
});

t.test('masks beyond the room are left out, the first ones stay', async (t) => {
  const full = mlmBatch(text, mlm(4));
  const small = mlmBatch(text, mlm(4, { targets: 32 }));
  t.strictSame(small.positions, full.positions.slice(0, 32));
  t.strictSame(small.labels, full.labels.slice(0, 32));
  const unmasked = mlmBatch(text, mlm(4)).tokens;
  full.positions.slice(32).forEach((position, i) => {
    if (full.labels[32 + i] !== -100) unmasked[position] = full.labels[32 + i]!;
  });
  t.strictSame(small.tokens, unmasked, 'and their tokens are as in the text');
});

t.test('the room is the mean and six deviations, in sixteens', async (t) => {
  // 4096: 614.4 + 6 * 22.852 = 751.5 -> 752. 512: 76.8 + 6 * 8.080 = 125.3 -> 128. 8: no more than the positions, 16.
  t.strictSame(
    [4096, 512, 8].map((positions) => mlmCapacity(positions)),
    [752, 128, 16],
  );
});

t.test('each row has a mask at least: the one that a larger share would have reached first', async (t) => {
  for (const seq of [3, 4, 8]) {
    for (let step = 0; step < 50; step++) {
      const batch = 7;
      const targets = mlmCapacity(batch * seq, batch);
      const { positions, labels } = mlmBatch(text, mlm(step, { batch, seq, targets }));
      const rows = new Set(
        [...labels].flatMap((label, i) => (label === -100 ? [] : [Math.floor(positions[i]! / seq)])),
      );
      for (let row = 0; row < batch; row++) {
        const first = mlmBatch(text, mlm(step, { batch, seq, targets })).tokens.subarray(
          row * seq + 1,
          row * seq + seq - 1,
        );
        const onlySpecial = [...first].every((id) => specialIds.includes(id) && id !== 4);
        t.ok(rows.has(row) || onlySpecial, `row ${row} of step ${step}, ${seq} tokens`);
      }
    }
  }
  const ids = Int32Array.of(1, 500, 1, 2);
  t.strictSame(maskedRow(ids, { maskId: 4, vocabSize, specialIds }, 1, 0, 0), [], 'none where all are special');
});

t.test('rows that had masks have the same ones, the others one more', async (t) => {
  // The draws themselves (Philox4x32-10 of the place, keyed by the seed): below 15 % of 2^32 is a mask.
  const key = seedWords(11);
  let without = 0;
  for (let block = 0; block < 500; block++) {
    const ids = Int32Array.from({ length: 6 }, (_, i) => 10 + ((block * 7 + i) % 400));
    const draws = [0, 4].flatMap((start) => [...philox4x32([start, block, 0, 0x6d6c6d63], key)]).slice(0, 6);
    const chosen = draws.flatMap((draw, i) => (draw < 0.15 * 2 ** 32 ? [i] : []));
    if (chosen.length === 0) {
      without++;
      chosen.push(draws.indexOf(Math.min(...draws)));
    }
    const found = maskedRow(ids, { maskId: 4, vocabSize, specialIds }, 11, 0, block).map(({ position }) => position);
    t.strictSame(found, chosen);
  }
  // 0.85^6 = 38 % of the rows: 188.6 of 500, five deviations of 10.8 around it.
  t.ok(Math.abs(without - 188.6) < 54, `${without}`);
});

t.test('room for a mask in each of many short rows; as before from ten tokens on', async (t) => {
  t.equal(mlmCapacity(3 * 1000, 1000), 1008, 'one token a row: all of them');
  for (const [seq, batch] of [
    [10, 64],
    [16, 2],
    [64, 32],
    [128, 16],
    [512, 256],
  ] as const)
    t.equal(mlmCapacity(seq * batch, batch), mlmCapacity(seq * batch), `${seq} x ${batch}`);
});

t.test('held-out batches are all of the text, fixed, the last one filled without labels', async (t) => {
  const source = counting(8 * 10 + 5);
  const batches = heldOutCausalBatches(source, { batch: 4, seq: 8 });
  t.equal(batches.length, 3);
  const firsts = batches.flatMap(({ tokens }) => [0, 8, 16, 24].map((at) => tokens[at]! / 8));
  t.strictSame(firsts, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 0]);
  t.ok(batches[2]!.labels.subarray(16).every((label) => label === -100));
  t.equal(
    batches.reduce((sum, { labels }) => sum + labels.filter((label) => label !== -100).length, 0),
    10 * 7,
  );
  const few = heldOutCausalBatches(counting(800), { batch: 4, seq: 8, evaluationBatches: 5 });
  t.strictSame(
    few.flatMap(({ tokens }) => [0, 8, 16, 24].map((at) => tokens[at]! / 8)),
    Array.from({ length: 20 }, (_, i) => 5 * i),
  );
});

t.test('held-out masks are the same each time, and only on real rows', async (t) => {
  const { step: _step, ...options } = mlm(0, { batch: 3 });
  const source = arraySource(text.read(0, 64 * 4), vocabSize);
  const batches = heldOutMlmBatches(source, options);
  t.equal(batches.length, 2);
  t.strictSame(heldOutMlmBatches(source, options), batches);
  t.ok(
    batches[1]!.positions.every((position) => position < 66),
    'one real row in the second',
  );
  t.ok(batches[1]!.labels.some((label) => label !== -100));
});

t.test('the ids for masks come from the tokenizer, and one without a mask is refused', async (t) => {
  t.strictSame(mlmIds(bert()), {
    maskId: 103,
    clsId: 101,
    sepId: 102,
    vocabSize: 30522,
    specialIds: [0, 100, 101, 102, 103],
  });
  t.match(await failure(() => mlmIds(gpt2())), /^BAD_TOKENIZER: .*has no \[MASK\], \[CLS\], \[SEP\]/);
});

t.test('sizes out of range say what is wrong', async (t) => {
  const options = { batch: 2, seq: 8, seed: 1, step: 0 };
  const expected: [() => unknown, RegExp][] = [
    [() => causalBatch(counting(7), options), /^BAD_CORPUS: The source has 7 tokens, too few for one row of 8/],
    [
      () => causalBatch(counting(70), { ...options, batch: 0 }),
      /^BAD_ARGUMENT: causalBatch: options\.batch must be a whole number >= 1; got 0/,
    ],
    [() => causalBatch(counting(70), { ...options, step: -1 }), /^BAD_ARGUMENT: causalBatch: options\.step must be/],
    [
      () => causalBatch(counting(70), { ...options, micro: 2, accumulation: 2 }),
      /^BAD_ARGUMENT: micro must be from 0 to accumulation - 1 \(1\); got 2/,
    ],
    [
      () => causalBatch(counting(70), { ...options, seed: 0.5 }),
      /^BAD_ARGUMENT: causalBatch: options\.seed must be a safe integer/,
    ],
    [() => mlmBatch(text, mlm(0, { seq: 2 })), /^BAD_ARGUMENT: A row must hold at least one token/],
    [() => mlmBatch(text, mlm(0, { targets: 0 })), /^BAD_ARGUMENT: mlmBatch: options\.targets must be/],
    [
      () => heldOutCausalBatches(counting(70), { batch: 2, seq: 8, evaluationBatches: 0 }),
      /^BAD_ARGUMENT: heldOutCausalBatches: options\.evaluationBatches/,
    ],
  ];
  for (const [call, message] of expected) t.match(await failure(call), message);
});

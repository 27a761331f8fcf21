import t from 'tap';
import { philox4x32, seedWords, uniform } from '../../lib/random/philox.js';

t.test('philox4x32 gives the known answers published with Random123', (t) => {
  t.same(philox4x32([0, 0, 0, 0], [0, 0]), [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8]);
  const ones = 0xffffffff;
  t.same(philox4x32([ones, ones, ones, ones], [ones, ones]), [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd]);
  t.same(
    philox4x32([0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344], [0xa4093822, 0x299f31d0]),
    [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1],
  );
  t.end();
});

t.test('a seed becomes two words without losing bits', (t) => {
  t.same(seedWords(0), [0, 0]);
  t.same(seedWords(5), [5, 0]);
  t.same(seedWords(2 ** 32), [0, 1]);
  t.same(seedWords(Number.MAX_SAFE_INTEGER), [0xffffffff, 0x1fffff]);
  t.same(seedWords(-1), [0xffffffff, 0xffffffff]);
  t.not(uniform(1, 0, 0), uniform(1 + 2 ** 32, 0, 0));
  t.throws(() => seedWords(2 ** 53), { code: 'BAD_ARGUMENT', message: /safe integer/ });
  t.throws(() => seedWords(0.5), { code: 'BAD_ARGUMENT' });
  t.end();
});

t.test('uniform numbers depend on seed, stream and step alone and lie in [0, 1)', (t) => {
  t.equal(uniform(7, 3, 11), uniform(7, 3, 11));
  const values = new Set([
    uniform(7, 3, 11),
    uniform(8, 3, 11),
    uniform(7, 4, 11),
    uniform(7, 3, 12),
    uniform(7, 3, 11 + 2 ** 32),
  ]);
  t.equal(values.size, 5);
  let sum = 0;
  let squares = 0;
  const count = 20000;
  for (let step = 0; step < count; step++) {
    const x = uniform(1234, 1, step);
    if (!(x >= 0 && x < 1)) t.fail(`out of range at step ${step}: ${x}`);
    sum += x;
    squares += x * x;
  }
  // Mean 1/2 with standard error 0.289 / sqrt(n) and mean square 1/3 with 0.298 / sqrt(n); four of each are allowed.
  t.ok(Math.abs(sum / count - 1 / 2) < (4 * 0.289) / Math.sqrt(count));
  t.ok(Math.abs(squares / count - 1 / 3) < (4 * 0.299) / Math.sqrt(count));
  t.throws(() => uniform(1, -1, 0), { code: 'BAD_ARGUMENT', message: /stream/ });
  t.throws(() => uniform(1, 0, -1), { code: 'BAD_ARGUMENT', message: /step/ });
  t.end();
});

/** What is held out: how much, from where, and that training never sees it. */
import t from 'tap';
import { type Ranges, splitDocuments } from '../../../lib/data/batches/split.js';
import { failure } from '../support.js';

const endsOf = (lengths: readonly number[]): Float64Array => {
  let end = 0;
  return Float64Array.from(lengths, (length) => (end += length));
};
const listed = ({ starts, ends }: Ranges): [number, number][] => [...starts].map((start, i) => [start, ends[i]!]);

/** Train and held-out ranges together are every token exactly once. */
function covers(train: Ranges, heldOut: Ranges, total: number): boolean {
  const all = [...listed(train), ...listed(heldOut)].sort((a, b) => a[0] - b[0]);
  let place = 0;
  for (const [start, end] of all) {
    if (start !== place || end <= start) return false;
    place = end;
  }
  return place === total && train.tokenCount + heldOut.tokenCount === total;
}

t.test('of many documents, whole ones are held out, close to the fraction', async (t) => {
  const ends = endsOf(Array.from({ length: 5000 }, (_, i) => 50 + ((i * 7919) % 1500)));
  const total = ends.at(-1)!;
  for (const fraction of [0.005, 0.02, 0.1, 0.5]) {
    const { unit, train, heldOut, heldOutUnits } = splitDocuments(ends, fraction, 42);
    t.equal(unit, 'document');
    t.ok(covers(train, heldOut, total));
    t.ok(
      Math.abs(heldOut.tokenCount / total - fraction) < 0.15 * fraction,
      `${heldOut.tokenCount / total} for ${fraction}`,
    );
    t.equal(heldOutUnits, heldOut.starts.length);
    const boundaries = new Set([0, ...ends]);
    t.ok(listed(heldOut).every(([start, end]) => boundaries.has(start) && boundaries.has(end)));
  }
});

t.test('of few documents, sections are held out, contiguous and from several places', async (t) => {
  const ends = endsOf([180_000, 170_000, 40_000, 100_000, 120_000, 90_000]);
  const { unit, train, heldOut, heldOutUnits } = splitDocuments(ends, 0.02, 42);
  t.equal(unit, 'section');
  t.ok(heldOutUnits >= 4);
  t.ok(covers(train, heldOut, 700_000));
  t.ok(Math.abs(heldOut.tokenCount / 700_000 - 0.02) < 0.006);
  t.ok(listed(heldOut).every(([start, end]) => end - start >= 800 && end - start <= 4096 * 1.5));
  t.ok(
    new Set(listed(heldOut).map(([start]) => ends.findIndex((end) => start < end))).size >= 3,
    'from at least three documents',
  );
});

t.test('one document is enough, if it is long enough', async (t) => {
  const { heldOut, train } = splitDocuments(endsOf([2000]), 0.02, 1);
  t.ok(heldOut.tokenCount >= 200 && heldOut.tokenCount <= 300);
  t.equal(heldOut.tokenCount + train.tokenCount, 2000);
});

t.test('the same seed holds the same out, another seed something else', async (t) => {
  const ends = endsOf(Array.from({ length: 2000 }, () => 300));
  const held = (seed: number): string => listed(splitDocuments(ends, 0.02, seed).heldOut).join();
  t.equal(held(1), held(1));
  t.not(held(1), held(2));
  t.not(held(1), held(1 + 2 ** 32), 'all bits of the seed count');
});

t.test('a document far longer than the part does not become the part', async (t) => {
  const ends = endsOf([...Array.from({ length: 999 }, () => 100), 500_000]);
  for (let seed = 0; seed < 50; seed++) t.ok(splitDocuments(ends, 0.02, seed).heldOut.tokenCount < 0.05 * 599_900);
});

t.test('fraction 0 holds nothing out', async (t) => {
  const { train, heldOut } = splitDocuments(endsOf([10, 20]), 0, 1);
  t.strictSame([train.tokenCount, heldOut.tokenCount], [30, 0]);
});

t.test('too little text and bad fractions say so', async (t) => {
  t.match(
    await failure(() => splitDocuments(endsOf([500, 400]), 0.02, 1)),
    /^BAD_CORPUS: The corpus has 900 tokens in 2 documents, too few to hold a part out \(at least 1024\)/,
  );
  for (const fraction of [-0.1, 0.6, Number.NaN])
    t.match(
      await failure(() => splitDocuments(endsOf([9999]), fraction, 1)),
      /^BAD_ARGUMENT: heldOut must be a fraction/,
    );
});

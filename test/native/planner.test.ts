import t from 'tap';
import { loadAddon } from '../../lib/engine/native.js';

const addon = loadAddon();
type Item = { bytes: number; first: number; last: number };

/** Every pair that lives at the same time must not share a byte. */
function overlaps(items: Item[], offsets: number[]): string | undefined {
  for (let a = 0; a < items.length; ++a) {
    for (let b = a + 1; b < items.length; ++b) {
      const [x, y] = [items[a]!, items[b]!];
      if (x.last < y.first || y.last < x.first) continue;
      if (offsets[a]! < offsets[b]! + y.bytes && offsets[b]! < offsets[a]! + x.bytes) return `${a} and ${b}`;
    }
  }
  return undefined;
}

t.test('a chain of values needs the memory of its two largest neighbours', async (t) => {
  const items = [64, 128, 256, 128].map((bytes, i) => ({ bytes, first: i, last: i + 1 }));
  const plan = addon.planMemory(items);
  t.equal(plan.arenaBytes, 384);
  t.equal(overlaps(items, plan.offsets), undefined);
});

t.test('values of disjoint lifetimes share one place', async (t) => {
  const items = Array.from({ length: 10 }, (_, i) => ({ bytes: 1000, first: 2 * i, last: 2 * i + 1 }));
  t.equal(addon.planMemory(items).arenaBytes, 1024);
});

t.test('no two live values overlap and the arena is at least the peak of live bytes', async (t) => {
  let state = 1;
  const next = (limit: number) => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return (state >>> 8) % limit;
  };
  const wrong: string[] = [];
  for (let round = 0; round < 50; ++round) {
    const items = Array.from({ length: 60 }, () => {
      const first = next(100);
      return { bytes: 1 + next(5000), first, last: first + next(20) };
    });
    const plan = addon.planMemory(items);
    const overlap = overlaps(items, plan.offsets);
    if (overlap) wrong.push(`round ${round}: ${overlap} overlap`);
    if (!plan.offsets.every((offset) => offset % 64 === 0)) wrong.push(`round ${round}: unaligned offset`);
    let peak = 0;
    for (let step = 0; step < 120; ++step) {
      peak = Math.max(
        peak,
        items.filter((i) => i.first <= step && step <= i.last).reduce((sum, i) => sum + i.bytes, 0),
      );
    }
    if (plan.arenaBytes < peak || plan.arenaBytes > 1.5 * peak) {
      wrong.push(`round ${round}: arena ${plan.arenaBytes} for a peak of ${peak}`);
    }
  }
  t.same(wrong, []);
});

t.test('Philox4x32-10 gives the known answers of its authors', async (t) => {
  const hex = (words: number[]) => words.map((w) => w.toString(16).padStart(8, '0')).join(' ');
  const ones = 0xffffffff;
  t.equal(hex(addon.philox([0, 0, 0, 0], [0, 0])), '6627e8d5 e169c58d bc57ac4c 9b00dbd8');
  t.equal(hex(addon.philox([ones, ones, ones, ones], [ones, ones])), '408f276d 41c83b0e a20bc7c6 6d5451fd');
  t.equal(
    hex(addon.philox([0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344], [0xa4093822, 0x299f31d0])),
    'd16cfe09 94fdcceb 5001e420 24126ea1',
  );
});

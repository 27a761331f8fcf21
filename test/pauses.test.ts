import t from 'tap';
import { inPieces, resting, scaledValues } from '../lib/pauses.js';

t.test('the first call reports and pauses, so that the event loop runs', async (t) => {
  const seen: number[] = [];
  const rest = resting(
    (done) => seen.push(done),
    () => seen.push(-1),
  );
  let turned = false;
  setImmediate(() => {
    turned = true;
  });
  const pause = rest(7);
  t.ok(pause instanceof Promise);
  t.notOk(turned);
  await pause;
  t.ok(turned);
  t.same(seen, [7, -1]);
});

t.test('what the check throws after the pause ends the work', async (t) => {
  const controller = new AbortController();
  const rest = resting(
    () => controller.abort(new Error('enough')),
    () => controller.signal.throwIfAborted(),
  );
  await t.rejects(async () => rest(1), { message: 'enough' });
});

t.test('work in pieces covers all of it, in order, and lets the event loop run', async (t) => {
  const pieces: [number, number][] = [];
  let ticks = 0;
  const timer = setInterval(() => ticks++, 1);
  await inPieces(100_000, (from, to) => {
    pieces.push([from, to]);
    const until = performance.now() + 3;
    while (performance.now() < until);
  });
  clearInterval(timer);
  t.same(pieces[0], [0, 16_384]);
  t.ok(pieces.every(([from], i) => from === (pieces[i - 1]?.[1] ?? 0)));
  t.equal(pieces.at(-1)?.[1], 100_000);
  t.ok(ticks > 0, 'a timer fired in between');
  await inPieces(0, () => t.fail('there is nothing to do'));
});

t.test('scaled values', async (t) => {
  const values = Float32Array.from({ length: 40_000 }, (_, i) => i);
  t.same(
    await scaledValues(values, 0.1),
    values.map((x) => x * 0.1),
  );
});

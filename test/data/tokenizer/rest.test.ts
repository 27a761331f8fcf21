import t from 'tap';
import { resting } from '../../../lib/data/tokenizer/rest.js';

t.test('the first call reports and pauses, so that the event loop goes on', async (t) => {
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

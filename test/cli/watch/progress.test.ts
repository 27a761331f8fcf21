import t from 'tap';
import { interruptible } from '../../../lib/cli/interrupt.js';
import { Progress, progressLine, timeLeft } from '../../../lib/cli/watch/progress.js';
import { memoryIo } from '../support.js';

t.test('a line says what is under way, how far, how fast, how long', async (t) => {
  const state = {
    label: 'apollo',
    detail: 'step 5/10, depth 3',
    done: 0.5,
    loss: 3.25,
    tokensPerSecond: 21_300,
    etaMs: 190_000,
  };
  t.equal(
    progressLine(state, true),
    '[############............] 50 %  apollo  step 5/10, depth 3  loss 3.2500  21.3k tok/s  3 min 10 s left',
  );
  t.equal(progressLine({ label: 'text', done: 2 }, false), '100 %  text');
});

t.test('on a terminal the line is rewritten and messages stay above it', async (t) => {
  let time = 0;
  const io = { ...memoryIo({ isTTY: true }), now: () => (time += 60) };
  const memory = memoryIo({ isTTY: true });
  const progress = new Progress({ ...io, stderr: memory.stderr });
  for (let step = 0; step < 4; step++) progress.update({ label: `step ${step}`, done: 0 });
  t.equal(memory.err().split('\r').length - 1, 2, 'at most every 100 ms');
  progress.message('hello');
  t.ok(memory.err().endsWith('\r\u001b[Khello\n'));
  progress.clear();
  t.match(memory.err(), /hello\n$/, 'nothing to take away twice');
});

t.test('in a log there is a line every five seconds', async (t) => {
  let time = 0;
  const memory = memoryIo();
  const progress = new Progress({ ...memory, now: () => (time += 1000) });
  for (let step = 0; step < 12; step++) progress.update({ label: `step ${step}`, done: 0 });
  t.equal(memory.err(), '0 %  step 0\n0 %  step 5\n0 %  step 10\n');
  const quiet = memoryIo();
  const silent = new Progress(quiet, { quiet: true });
  silent.update({ label: 'x', done: 0 });
  silent.message('y');
  t.equal(quiet.err(), '');
});

t.test('time left is that of the share not done, from where this session began', async (t) => {
  t.equal(timeLeft(1000, 0.25), 3000);
  t.equal(timeLeft(1000, 0.75, 0.5), 1000);
  t.equal(timeLeft(1000, 0), undefined);
  t.equal(timeLeft(1000, 1.05), 0, 'never less than none');
});

t.test('the first Ctrl-C aborts, the second leaves, and none is listened to afterwards', async (t) => {
  let time = 1000;
  const io = Object.assign(memoryIo(), { now: () => time });
  let told = 0;
  const result = await interruptible(
    io,
    () => (told += 1),
    async (signal) => {
      t.notOk(signal.aborted);
      io.interrupt();
      t.ok(signal.aborted);
      time += 100;
      io.interrupt();
      t.same(io.exits, [], 'the echo of the first, as through npm, is not a second');
      time += 1000;
      io.interrupt();
      return 'done';
    },
  );
  t.equal(result, 'done');
  t.equal(told, 1);
  t.same(io.exits, [130]);
  io.interrupt();
  t.same(io.exits, [130]);
});

import t from 'tap';
import { CheckpointClock } from '../../../lib/train/checkpoint/checkpoint-clock.js';

t.test('a checkpoint is due N minutes of training after the last one', async (t) => {
  const clock = new CheckpointClock(2, 0);
  t.equal(clock.due(119_999), false);
  t.equal(clock.due(120_000), true);
  clock.wrote(150_000);
  t.equal(clock.due(269_999), false);
  t.equal(clock.due(270_000), true);
  t.equal(new CheckpointClock(2, 100_000).due(219_999), false, 'from the training time of a resumed run');
  t.equal(new CheckpointClock(0, 0).due(1e9), false, 'none by time');
});

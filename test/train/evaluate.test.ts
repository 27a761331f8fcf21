/** The held-out loss: which batches count, and by how much. */
import t from 'tap';
import type { TrainingCorpus } from '../../lib/train/index.js';
import { countingCorpus, openTinyDevice, runTiny } from './tiny.js';

const device = await openTinyDevice();
t.teardown(() => device.close());

/** Labels that each of the two held-out batches keeps. */
const labels = [60, 5];

/** The counting corpus with these held-out batches, which keep their first labels alone. */
const heldOutOf = (...batches: number[]): TrainingCorpus => ({
  ...countingCorpus,
  heldOutCount: () => batches.length,
  async heldOut(request) {
    const index = batches[request.index] as number;
    const all = await countingCorpus.heldOut({ ...request, index });
    let left = labels[index] as number;
    return { ...all, labels: (all.labels as Int32Array).map((label) => (label >= 0 && left-- > 0 ? label : -100)) };
  },
});

t.test('the held-out loss is the mean over labels, not over batches', async (t) => {
  const lossOf = async (...batches: number[]) => {
    const events = await runTiny(device, { stopAfter: { steps: 8 } }, { corpus: heldOutOf(...batches) });
    const last = events.findLast((event) => event.type === 'evaluation');
    return [last?.lossFull, last?.lossStage] as [number, number];
  };
  const [first, second, both] = [await lossOf(0), await lossOf(1), await lossOf(0, 1)];
  for (const [i, loss] of both.entries()) {
    const [a, b] = [first[i] as number, second[i] as number];
    t.ok(Math.abs(a - b) > 0.02, `the batches differ: ${a}, ${b}`);
    const mean = (labels[0]! * a + labels[1]! * b) / (labels[0]! + labels[1]!);
    t.ok(Math.abs(loss - mean) < 1e-5 * mean, `${loss} for ${mean}`);
  }
});

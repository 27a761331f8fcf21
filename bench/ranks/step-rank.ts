/** One rank of bench:ranks step: `step-rank.ts TASK`. Speaks as bench/step/torch_step.py does; the first rank reads commands. */
import { createInterface } from 'node:readline';
import { openGroup } from '../../lib/dist/index.js';
import { openDevice } from '../../lib/engine/index.js';
import { createModel, preset } from '../../lib/models/index.js';
import { uniform } from '../../lib/random/philox.js';
import { createTrainer } from '../../lib/train/index.js';

export interface RankTask {
  readonly layers: number;
  readonly hidden: number;
  readonly heads: number;
  readonly seq: number;
  /** Sequences per step and rank. */
  readonly batch: number;
  readonly vocabSize: number;
  readonly precision: 'f32' | 'bf16';
}

const { layers, hidden, heads, seq, batch, vocabSize, precision } = JSON.parse(process.argv[2]!) as RankTask;
const device = await openDevice({ threads: 1 });
const group = await openGroup(device);
const model = createModel(preset('gpt-mini', { layers, hidden, heads, vocabSize, maxPositions: seq, dropout: 0.1 }));
const options = { steps: 1_000_000, batch, seq, precision, learningRate: 1e-4, evaluateEvery: 0, weightDecay: 0.01 };
const trainer = await createTrainer(options, { device, model, group });
const tokens = Int32Array.from({ length: batch * seq }, (_, i) => Math.floor(uniform(7, group.rank, i) * vocabSize));
const labels = tokens.map((_, i) => ((i + 1) % seq === 0 ? -100 : tokens[i + 1]!));

const lines = createInterface(process.stdin)[Symbol.asyncIterator]();
for (;;) {
  const own = group.rank === 0 ? ((await lines.next()).value ?? 'end') : '';
  const [command, count] = (await group.broadcast(own, 0)).split(' ');
  if (command === 'end') break;
  const stepMs: number[] = [];
  for (let i = 0; i < Number(count); i++) {
    const start = performance.now();
    await trainer.step({ tokens, labels });
    stepMs.push(performance.now() - start);
  }
  if (group.rank === 0) console.log(JSON.stringify({ stepMs }));
}
if (group.rank === 0) console.log(JSON.stringify({ peakBytes: process.resourceUsage().maxRSS * 1024, version: '' }));
await trainer.close();
await group.close();
await device.close();
process.exit();

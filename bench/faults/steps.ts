/** A long run: resident memory, device memory, open files and handles stay level. */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { createMethod, createModel, openDevice, preset, type TrainingCorpus, train } from '../../lib/index.js';
import { collectGarbage } from './garbage.js';
import { count, type Part, tally } from './outcome.js';

/** A model so small that a step takes well under a millisecond. */
const shape = { layers: 4, hidden: 16, heads: 2, ffn: 32, vocabSize: 64, maxPositions: 8, dropout: 0.1 };

const numbers: TrainingCorpus = {
  key: 'numbers',
  shape: ({ batch, seq }) => ({ batch, seq, padding: false }),
  batch({ batch, seq, step, micro }) {
    const tokens = Int32Array.from({ length: batch * seq }, (_, i) => (i * 5 + step + micro) % shape.vocabSize);
    return { tokens, labels: tokens };
  },
  heldOutCount: () => 1,
  heldOut: (size) => numbers.batch({ ...size, seed: 0, step: 0, micro: 0, accumulation: 1 }),
};

export const steps: Part = {
  name: 'steps',
  about: 'a run of very many steps with growth, evaluations and checkpoints',
  size: 10_000,
  unit: 'steps',
  async run({ work, signal, say }, size) {
    const row = tally('steps', `one run of ${size} steps`);
    const model = createModel(preset('gpt-nano', shape));
    const method = createMethod('apollo', { layers: shape.layers, totalSteps: size, seed: 1 });
    const device = await openDevice({ threads: 1 });
    const seen: { step: number; rss: number; device: number; files: number; handles: number }[] = [];
    const every = Math.max(1, Math.floor(size / 20));
    const end = new AbortController();
    const options = { steps: size, batch: 2, seq: 8, learningRate: 1e-3, checkpointEvery: every, evaluateEvery: every };
    const deps = { device, model, method, corpus: numbers, checkpointDir: join(work, 'steps'), signal: end.signal };
    for await (const event of train(options, deps)) {
      if (event.type !== 'checkpoint') continue;
      collectGarbage();
      const { arenaBytes, bufferBytes } = device.info();
      seen.push({
        step: event.step,
        rss: process.memoryUsage.rss(),
        device: arenaBytes + bufferBytes,
        files: openFiles(),
        handles: process.getActiveResourcesInfo().length,
      });
      // Not before both moments that are compared lie behind the growth.
      if (signal.aborted && seen.length > 11) end.abort();
      say(`steps: ${event.step}, ${(process.memoryUsage.rss() / 2 ** 20).toFixed(1)} MiB resident`);
    }
    await device.close();
    // All stages are reached after a quarter of the run; from its middle on nothing may grow.
    const [middle, last] = [seen[seen.length >> 1], seen.at(-1)];
    if (!middle || !last || middle === last) return [row];
    row.note =
      `from step ${middle.step} to ${last.step}: resident ${(middle.rss / 2 ** 20).toFixed(1)} to ${(last.rss / 2 ** 20).toFixed(1)} MiB, ` +
      `device ${middle.device} to ${last.device} bytes, files ${middle.files} to ${last.files}, handles ${middle.handles} to ${last.handles}`;
    const perStep = (last.rss - middle.rss) / (last.step - middle.step);
    if (last.device > middle.device) count(row, 'left', `device memory grew: ${row.note}`);
    else if (last.files > middle.files || last.handles > middle.handles + 2)
      count(row, 'left', `handles grew: ${row.note}`);
    else if (size >= 50_000 && perStep > 200)
      count(row, 'left', `${perStep.toFixed(0)} bytes stay per step: ${row.note}`);
    else row.counts.right++;
    return [row];
  },
};

function openFiles(): number {
  return process.platform === 'linux' ? readdirSync('/proc/self/fd').length : 0;
}

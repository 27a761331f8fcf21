/** Worker threads that train at once and are terminated in the middle of a step: resident and device memory stay level. */
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { Worker } from 'node:worker_threads';
import { uniformNumber } from '../../lib/growth/index.js';
import { collectGarbage } from './garbage.js';
import { count, type Part, tally } from './outcome.js';

/** Workers that train at the same time. */
const atOnce = 4;
/** Rounds of workers in which allocators and threads warm up. */
const warmUp = 4;
/** Bytes by which the least resident memory of two halves differs without a leak. */
const noise = 16 * 2 ** 20;
/** Bytes per worker that are a leak in a long run. What one worker's device holds is 3 MiB, beyond `noise` in any run. */
const perWorker = 256 * 1024;

/** Trains endlessly, each step in two micro-batches, so that a job is always queued. `library`: the built package. */
const source = `
  const { workerData, parentPort } = require('node:worker_threads');
  (async () => {
    const { openDevice, createModel, preset, createMethod, train } = await import(workerData.library);
    const device = await openDevice({ threads: 1 });
    const model = createModel(preset('gpt-nano', { layers: 2, hidden: 64, heads: 2, ffn: 128, vocabSize: 300, maxPositions: 32 }));
    const batch = ({ batch, seq, step, micro }) => {
      const tokens = Int32Array.from({ length: batch * seq }, (_, i) => (i * 7 + step + micro) % 300);
      return { tokens, labels: tokens };
    };
    const corpus = {
      key: 'numbers',
      shape: ({ batch, seq }) => ({ batch, seq, padding: false }),
      batch,
      heldOutCount: () => 1,
      heldOut: (request) => batch({ ...request, step: 0, micro: 0 }),
    };
    const steps = 1e6;
    const method = createMethod('apollo', { layers: 2, totalSteps: steps, seed: 1 });
    const options = { steps, batch: 4, seq: 32, accumulation: 2, evaluateEvery: 0 };
    for await (const event of train(options, { device, model, method, corpus })) {
      if (event.type === 'step' && event.step === 3) parentPort.postMessage('trains');
    }
  })();
`;

export const workers: Part = {
  name: 'workers',
  about: `${atOnce} worker threads train at once and are terminated in the middle of a step`,
  size: 40,
  unit: 'terminations',
  async run({ cli, seed, signal, say }, size) {
    const row = tally('workers', `${atOnce} workers terminated while they train`);
    const library = pathToFileURL(join(cli, '..', '..', 'index.js')).href;
    const resident: number[] = [];
    for (let done = 0; done < size && !(signal.aborted && done > 0); done += atOnce) {
      await Promise.all(
        Array.from({ length: Math.min(atOnce, size - done) }, async (_, index) => {
          const worker = new Worker(source, { eval: true, workerData: { library } });
          try {
            await new Promise<void>((resolve, reject) => {
              worker.once('message', () => resolve());
              worker.once('error', reject);
              worker.once('exit', (code) => reject(new Error(`ended by itself with code ${code}`)));
            });
            worker.removeAllListeners('exit');
            await delay(50 * uniformNumber(seed, 50, done + index));
            await worker.terminate();
            row.counts.right++;
          } catch (error) {
            count(row, 'crash', `worker ${done + index}: ${(error as Error).message}`);
          }
        }),
      );
      await delay(20); // the device's thread frees what the worker held
      collectGarbage();
      resident.push(process.memoryUsage.rss());
      if (done % 40 === 0) say(`workers: ${done + atOnce} of ${size}, ${mib(resident.at(-1) as number)} MiB resident`);
    }
    // Between halves and not between two samples: allocators keep and return up to 15 MiB at a time.
    const warm = resident.slice(warmUp);
    const half = warm.length >> 1;
    if (half >= 3) {
      const [before, after] = [Math.min(...warm.slice(0, half)), Math.min(...warm.slice(half))];
      row.note = `least resident ${mib(before)} MiB in the first half, ${mib(after)} MiB in the second`;
      const left = (after - before) / ((warm.length - half) * atOnce);
      if (after - before > noise && left > perWorker) count(row, 'left', `${mib(left)} MiB stay per worker`);
    }
    return [row];
  },
};

function mib(bytes: number): string {
  return (bytes / 2 ** 20).toFixed(1);
}

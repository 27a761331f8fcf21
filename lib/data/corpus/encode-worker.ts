/** Entry of the worker threads that worker-pool.ts starts: does the work it is sent, one piece after the other. */
import { parentPort, workerData } from 'node:worker_threads';
import { createJob, type Work, type WorkSetup } from './tasks.js';

const job = createJob(workerData as WorkSetup);
parentPort!.on('message', (work: Work) => {
  const result = job(work);
  parentPort!.postMessage(result, ['ids' in result ? result.ids.buffer : result.counts.buffer] as ArrayBuffer[]);
});

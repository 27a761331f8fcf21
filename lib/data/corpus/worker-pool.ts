/**
 * Does work on pieces of text in worker threads and gives the results back in the order of the pieces, so that they do
 * not depend on the number of workers. With 0 workers it runs in this thread.
 */
import { extname } from 'node:path';
import { Worker } from 'node:worker_threads';
import { ApolloError } from '../../errors.js';
import { moduleInPackage } from '../../package-folder.js';
import { createJob, type Work, type WorkResult, type WorkSetup } from './tasks.js';

/** Pieces that may wait per worker: enough that none is idle, few enough that memory stays small. */
const waitingPerWorker = 3;

/**
 * Results of `job` on each piece of work, in order. Workers are ended when the iteration ends, however it ends.
 * @throws ApolloError INTERNAL when a worker dies; what the source of work throws.
 */
export async function* mapInOrder(
  setup: WorkSetup,
  source: AsyncIterable<Work>,
  workers: number,
): AsyncGenerator<WorkResult> {
  if (workers === 0) {
    const job = createJob(setup);
    for await (const work of source) yield job(work);
    return;
  }
  const pool = Array.from({ length: workers }, () => new PoolWorker(setup));
  try {
    const results: Promise<WorkResult>[] = [];
    let next = 0;
    for await (const work of source) {
      const result = pool[next]!.run(work);
      next = (next + 1) % workers;
      result.catch(() => {}); // seen when its turn comes, unless an earlier one fails first
      results.push(result);
      if (results.length >= waitingPerWorker * workers) yield await results.shift()!;
    }
    while (results.length > 0) yield await results.shift()!;
  } finally {
    await Promise.all(pool.map((worker) => worker.end()));
  }
}

/** One thread; answers come in the order of the questions. */
class PoolWorker {
  readonly #thread: Worker;
  readonly #waiting: { resolve(result: WorkResult): void; reject(error: Error): void }[] = [];
  #failure: Error | undefined;

  constructor(setup: WorkSetup) {
    // The entry is next to this file with the same extension: .js when built, .ts when a loader runs the sources
    // (tests); threads inherit that loader through process.execArgv.
    const here = moduleInPackage(import.meta.url, 'what runs in its worker threads');
    const entry = new URL(`./encode-worker${extname(here)}`, here);
    this.#thread = new Worker(entry, { workerData: setup });
    this.#thread.on('message', (result: WorkResult) => this.#waiting.shift()!.resolve(result));
    this.#thread.on('error', (error) => this.#fail(error));
    this.#thread.on('messageerror', (error) => this.#fail(error));
    this.#thread.on('exit', (code) => this.#fail(new Error(`it exited with code ${code}`)));
  }

  run(work: Work): Promise<WorkResult> {
    return new Promise((resolve, reject) => {
      if (this.#failure !== undefined) return reject(this.#failure);
      this.#waiting.push({ resolve, reject });
      this.#thread.postMessage(work);
    });
  }

  async end(): Promise<void> {
    await this.#thread.terminate();
  }

  #fail(cause: Error): void {
    this.#failure ??=
      cause instanceof ApolloError
        ? cause
        : new ApolloError('INTERNAL', `A tokenising worker thread failed: ${cause.message}.`, { cause });
    for (const { reject } of this.#waiting.splice(0)) reject(this.#failure);
  }
}

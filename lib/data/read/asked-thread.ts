/**
 * A worker thread that answers one question after the other, each within a time. For work that a damaged file can make
 * endless or make too large: the thread is ended, and the process continues.
 */
import { extname } from 'node:path';
import { parentPort, Worker } from 'node:worker_threads';
import { ApolloError, type ErrorCode } from '../../errors.js';
import { moduleInPackage } from '../../package-folder.js';
import { throwIfAborted } from '../corpus/abort.js';

type Message =
  | { readonly value: unknown }
  | { readonly error: { readonly code: string | undefined; readonly message: string } };

/** `late`: no answer in time; `ended`: the thread died, for example of too little memory. */
export type Answer =
  | { readonly kind: 'value'; readonly value: unknown }
  | { readonly kind: 'late' }
  | { readonly kind: 'ended'; readonly reason: string };

export class AskedThread<Question> {
  readonly #thread: Worker;
  #settle: ((answer: Answer | Error) => void) | undefined;
  #ended: Answer | undefined;

  /** `entry` is below lib/data, next to its caller; it calls `answerQuestions`. `data` is its `workerData`. */
  constructor(entry: string, data: unknown) {
    // With this file's own extension: .js when built, .ts when a loader runs the sources.
    const here = moduleInPackage(import.meta.url, 'what runs in its worker threads');
    this.#thread = new Worker(new URL(`./${entry}${extname(here)}`, here), { workerData: data });
    this.#thread.on('message', (message: Message) => {
      if ('value' in message) this.#settle?.({ kind: 'value', value: message.value });
      else this.#settle?.(asError(message.error));
    });
    this.#thread.on('error', (error) => this.#end(error.message));
    this.#thread.on('messageerror', (error) => this.#end(error.message));
    this.#thread.on('exit', (code) => this.#end(`exit code ${code}`));
  }

  /** @throws ApolloError what the thread throws; ABORT_ERR when the signal fires. */
  ask(question: Question, { limitMs, signal }: { limitMs: number; signal?: AbortSignal | undefined }): Promise<Answer> {
    throwIfAborted(signal);
    return new Promise<Answer>((resolve, reject) => {
      const settle = (answer: Answer | Error) => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', onAbort);
        this.#settle = undefined;
        if (answer instanceof Error) reject(answer);
        else resolve(answer);
      };
      const timer = setTimeout(settle, limitMs, { kind: 'late' });
      const onAbort = () => {
        try {
          throwIfAborted(signal);
        } catch (error) {
          settle(error as Error);
        }
      };
      signal?.addEventListener('abort', onAbort);
      if (this.#ended) return settle(this.#ended);
      this.#settle = settle;
      this.#thread.postMessage(question);
    });
  }

  async end(): Promise<void> {
    await this.#thread.terminate();
  }

  #end(reason: string): void {
    this.#ended ??= { kind: 'ended', reason };
    this.#settle?.(this.#ended);
  }
}

/** An error of the thread: ours as it was, another with its message. */
function asError({ code, message }: { readonly code: string | undefined; readonly message: string }): Error {
  return code === undefined ? new ApolloError('INTERNAL', message) : new ApolloError(code as ErrorCode, message);
}

/** In the thread: `answer` is called with each question. */
export function answerQuestions<Question>(answer: (question: Question) => Promise<unknown>): void {
  parentPort?.on('message', async (question: Question) => {
    let message: Message;
    try {
      message = { value: await answer(question) };
    } catch (error) {
      const code = error instanceof ApolloError ? error.code : undefined;
      message = { error: { code, message: (error as Error).message } };
    }
    parentPort?.postMessage(message);
  });
}

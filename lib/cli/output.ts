/** The streams of the process as outputs that outlive their readers: an error of writing is kept and never thrown. */
import { inWords, isSystemError } from '../fs/error.js';
import type { Output } from './io.js';

export class ProcessOutput implements Output {
  readonly #stream: NodeJS.WriteStream;
  readonly #listeners = new Set<(error: Error) => void>();
  #lost: Error | undefined;

  /** `stream` gets a listener for its errors that stays for the life of the process. */
  constructor(stream: NodeJS.WriteStream) {
    this.#stream = stream;
    stream.on('error', (error: Error) => this.#lose(error));
  }

  get isTTY(): boolean | undefined {
    return this.#stream.isTTY;
  }

  get columns(): number | undefined {
    return this.#stream.columns;
  }

  get lost(): Error | undefined {
    return this.#lost;
  }

  write(text: string): void {
    if (this.#lost) return;
    try {
      this.#stream.write(text);
    } catch (error) {
      this.#lose(error as Error); // files are written at once, so that some errors are thrown
    }
  }

  flush(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#lost) resolve();
      else this.#stream.write('', () => resolve());
    });
  }

  onLost(callback: (error: Error) => void): () => void {
    this.#listeners.add(callback);
    return () => this.#listeners.delete(callback);
  }

  #lose(error: Error): void {
    if (this.#lost) return;
    this.#lost = error;
    for (const listener of [...this.#listeners]) listener(error);
  }
}

/** Whether what reads an output has closed it, which is no error: `apollo-lm --help | head -1`. */
export function isClosed({ lost }: Output): boolean {
  return isSystemError(lost) && (lost.code === 'EPIPE' || lost.code === 'ECONNRESET');
}

/** Has a run that continues without its stdout say so when that happens: a full disk, not a reader that has closed it. */
export function warnOfLostOutput(stdout: Output, warn: (text: string) => void): void {
  stdout.onLost?.((error) => {
    if (!isClosed(stdout)) warn(`stdout can no longer be written: ${inWords(error)}. The run continues without it.`);
  });
}

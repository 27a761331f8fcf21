/** Traffic of the ranks of a run, by stage. */
import type { StageTraffic } from './events.js';

export class Traffic {
  #steps = 0;
  #bytes = 0;
  #tokens = 0;

  /** Adds a step of `tokens` tokens in which all ranks together sent `bytes` bytes. */
  add(bytes: number, tokens: number): void {
    this.#steps++;
    this.#bytes += bytes;
    this.#tokens += tokens;
  }

  /** Traffic since the last call of `begin`; undefined if there was no step. */
  get stage(): StageTraffic | undefined {
    if (this.#steps === 0) return undefined;
    const [steps, bytes] = [this.#steps, this.#bytes];
    return { steps, bytes, bytesPerStep: bytes / steps, bytesPerToken: bytes / this.#tokens };
  }

  /** Resets the counts at the start of a stage. */
  begin(): void {
    [this.#steps, this.#bytes, this.#tokens] = [0, 0, 0];
  }
}

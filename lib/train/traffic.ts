/** What the ranks of a run send, by stage. */
import type { StageTraffic } from './events.js';

export class Traffic {
  #steps = 0;
  #bytes = 0;
  #tokens = 0;

  /** A step of `tokens` tokens in which all ranks together have sent so many bytes. */
  add(bytes: number, tokens: number): void {
    this.#steps++;
    this.#bytes += bytes;
    this.#tokens += tokens;
  }

  /** Since the last call of `begin`; undefined where there was no step. */
  get stage(): StageTraffic | undefined {
    if (this.#steps === 0) return undefined;
    const [steps, bytes] = [this.#steps, this.#bytes];
    return { steps, bytes, bytesPerStep: bytes / steps, bytesPerToken: bytes / this.#tokens };
  }

  /** A stage begins. */
  begin(): void {
    [this.#steps, this.#bytes, this.#tokens] = [0, 0, 0];
  }
}

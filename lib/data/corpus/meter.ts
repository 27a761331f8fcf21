/** How far the preparation of a corpus is. */

export interface CorpusProgress {
  /**
   * The work in progress. A mixture passes through `check` and `tokenise` once per source; a phase without work is
   * left out.
   */
  readonly phase: 'read' | 'count words' | 'train tokenizer' | 'wait for another process' | 'check' | 'tokenise';
  /** The source that is checked or tokenised, if the corpus is a mixture. */
  readonly source?: string | undefined;
  /** Bytes of the files on disk; in 'check', of what was prepared earlier; in 'train tokenizer', tokens of the vocabulary. */
  readonly done: number;
  /** The value of `done` at which the phase ends, in the same unit. */
  readonly total: number;
  /** Documents of the current source tokenised so far, by earlier calls too; 0 in phases other than `tokenise`. */
  readonly documents: number;
  /** Tokens of the current source so far, by earlier calls too; 0 in phases other than `tokenise`. */
  readonly tokens: number;
  /** Tokens of this call divided by the seconds since the phase started; 0 in phases other than `tokenise`. */
  readonly tokensPerSecond: number;
}

/** Collects progress and reports it at most ten times a second, and at the end of each phase's bytes. */
export class Meter {
  phase: CorpusProgress['phase'] = 'read';
  #source: string | undefined;
  #done = 0;
  #total: number;
  #documents = 0;
  #tokens = 0;
  #tokensBefore = 0; // found from an earlier start
  #startedMs = performance.now();
  #reportedMs = 0;

  constructor(
    readonly sizeBytes: number,
    readonly report: ((progress: CorpusProgress) => void) | undefined,
  ) {
    this.#total = sizeBytes;
  }

  start(phase: CorpusProgress['phase'], total = this.sizeBytes, source?: string): void {
    this.phase = phase;
    this.#source = source;
    this.#total = total;
    this.#documents = 0;
    this.#tokens = 0;
    this.#tokensBefore = 0;
    this.#startedMs = performance.now();
    this.#reportedMs = 0;
    this.set(0);
  }

  /** Counts work that an earlier start has done. */
  goOn(bytes: number, tokens: number, documents: number): void {
    this.#tokens = tokens;
    this.#tokensBefore = tokens;
    this.#documents = documents;
    this.#done = bytes;
    this.#tell();
  }

  addBytes(count: number): void {
    this.set(this.#done + count);
  }

  addTokens(tokens: number, documents: number): void {
    this.#tokens += tokens;
    this.#documents += documents;
    this.set(this.#done);
  }

  set(done: number): void {
    this.#done = done;
    if (performance.now() - this.#reportedMs >= 100 || done >= this.#total) this.#tell();
  }

  /** A last report, with all that came. */
  finish(): void {
    this.#done = this.#total;
    this.#tell();
  }

  #tell(): void {
    const nowMs = performance.now();
    this.#reportedMs = nowMs;
    this.report?.({
      phase: this.phase,
      source: this.#source,
      done: this.#done,
      total: this.#total,
      documents: this.#documents,
      tokens: this.#tokens,
      tokensPerSecond: (1000 * (this.#tokens - this.#tokensBefore)) / Math.max(1, nowMs - this.#startedMs),
    });
  }
}

/**
 * One line of progress on stderr: rewritten in place on a terminal, else printed every few seconds so that a log stays
 * short.
 */
import { formatCount, formatDuration, formatPercent } from '../../report/format.js';
import type { CommandIo } from '../io.js';

/** Milliseconds between two lines, on a terminal and in a log. */
const redrawMs = 100;
const logMs = 5000;
const barWidth = 24;

export interface ProgressState {
  /** The current task, e.g. "seed 1 of 3, apollo". */
  readonly label: string;
  /** Share done, 0 to 1. */
  readonly done: number;
  readonly loss?: number | undefined;
  readonly tokensPerSecond?: number | undefined;
  readonly etaMs?: number | undefined;
  /** Anything more, e.g. "step 20/600, depth 3". */
  readonly detail?: string | undefined;
}

export class Progress {
  readonly #io: CommandIo;
  readonly #quiet: boolean;
  readonly #follow: (state: ProgressState) => void;
  #last = Number.NEGATIVE_INFINITY;
  #drawn = false;

  /** `follow` receives every state, including those that are not shown. */
  constructor(io: CommandIo, options: { readonly quiet?: boolean; follow?: (state: ProgressState) => void } = {}) {
    this.#io = io;
    this.#quiet = options.quiet ?? false;
    this.#follow = options.follow ?? (() => {});
  }

  /** Shows the state, if it is time to. */
  update(state: ProgressState): void {
    this.#follow(state);
    if (this.#quiet) return;
    const { stderr, now } = this.#io;
    const time = now();
    if (time - this.#last < (stderr.isTTY ? redrawMs : logMs)) return;
    this.#last = time;
    const line = progressLine(state, stderr.isTTY === true);
    if (stderr.isTTY) {
      stderr.write(`\r\x1b[K${line.slice(0, Math.max(20, (stderr.columns ?? 100) - 1))}`);
      this.#drawn = true;
    } else {
      stderr.write(`${line}\n`);
    }
  }

  /** A message that stays, above the line. */
  message(text: string): void {
    if (this.#quiet) return;
    this.clear();
    this.#io.stderr.write(`${text}\n`);
    this.#last = Number.NEGATIVE_INFINITY;
  }

  /** A warning that must be seen, also where progress is not shown. */
  warn(text: string): void {
    this.clear();
    this.#io.stderr.write(`warning: ${text}\n`);
    this.#last = Number.NEGATIVE_INFINITY;
  }

  /** Reports that a run is being stopped, and what is done before it ends. A reader that has gone is named, also to a log. */
  stopping(what: string, byReader: boolean): void {
    if (byReader) this.warn(`The reader of stdout has closed it, so the run stops: ${what}`);
    else this.message(`Stopping: ${what} Ctrl-C again leaves at once.`);
  }

  /** Reports that a run was stopped. */
  stopped(text: string, byReader: boolean): void {
    if (byReader) this.warn(text);
    else this.message(text);
  }

  /** Takes the line away. */
  clear(): void {
    if (this.#drawn) this.#io.stderr.write('\r\x1b[K');
    this.#drawn = false;
  }
}

/** The line of a state, with a bar where there is a terminal. */
export function progressLine(state: ProgressState, bar: boolean): string {
  const done = Math.min(1, Math.max(0, state.done));
  const filled = Math.round(done * barWidth);
  return [
    bar ? `[${'#'.repeat(filled)}${'.'.repeat(barWidth - filled)}] ${formatPercent(done, 0)}` : formatPercent(done, 0),
    state.label,
    state.detail,
    state.loss === undefined ? undefined : `loss ${state.loss.toFixed(4)}`,
    state.tokensPerSecond === undefined ? undefined : `${formatCount(state.tokensPerSecond).replace(' ', '')} tok/s`,
    state.etaMs === undefined ? undefined : `${formatDuration(state.etaMs)} left`,
  ]
    .filter((part) => part !== undefined)
    .join('  ');
}

/**
 * Time left from the share done since `startShare`, and the time that took; undefined before the first per mille. A share
 * above 1, of a run whose growths cost more than planned, leaves none.
 */
export function timeLeft(elapsedMs: number, share: number, startShare = 0): number | undefined {
  const gained = share - startShare;
  return gained < 1e-3 ? undefined : (elapsedMs * Math.max(0, 1 - share)) / gained;
}

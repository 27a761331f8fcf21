/** Interface of a figure or table of the paper: a name, and a function that makes it at a scale. */
import type { SettingsInput } from '../../lib/cli/settings/schema.js';

/**
 * `nano`: one machine without an accelerator, at most 40 minutes a figure. `small`: one GPU, at most nine minutes a call,
 * resumable across calls. `paper`: the paper's own recipe, for whoever has the GPUs.
 */
export const scaleNames = ['nano', 'small', 'paper'] as const;
export type ScaleName = (typeof scaleNames)[number];

export interface FigureContext {
  readonly scale: ScaleName;
  /** Text files, folders or patterns. */
  readonly data: readonly string[];
  /** Folder of this figure at this scale; exists. Existing work in it is resumed. */
  readonly out: string;
  /** Settings of every run of the bench: device, threads, cache, seeds. */
  readonly run: Pick<SettingsInput, 'device' | 'threads' | 'cache' | 'seeds' | 'precision'>;
  readonly signal: AbortSignal;
  say(line: string): void;
}

export interface Figure {
  /** As on the command line: `fig6-gpt`, `table2`. */
  readonly name: string;
  readonly title: string;
  /**
   * Makes or resumes the figure: writes `result.json`, at least one `.svg` and `figure.md` into the folder; the
   * last starts with a heading of level 2 and has the paper's numbers next to those of this run. False when there is
   * more to do than this call may.
   */
  make(context: FigureContext): Promise<boolean>;
}

/** Possible outcomes of a fault, and the tally of each part of the programme. */

/**
 * `right`: the result of an undisturbed run; `refused`: one clear error; all others are faults of the package: `wrong` (another
 * result), `crash` (a native crash, a stack trace, a hang), `left` (something half-written stayed behind).
 */
export type Outcome = 'right' | 'refused' | 'wrong' | 'crash' | 'left';

export interface Tally {
  readonly part: string;
  /** The fault and its target: a row of the table. */
  readonly fault: string;
  readonly counts: Record<Outcome, number>;
  /** The first faults that were found: what was done, and what happened. */
  readonly findings: string[];
  /** Figures that belong to the row, such as memory before and after. */
  note?: string | undefined;
  /** What the note is made from, where calls can be added up: sums, and what is called `most...`, of which the greatest counts. */
  figures?: Record<string, number>;
}

export function tally(part: string, fault: string): Tally {
  return { part, fault, counts: { right: 0, refused: 0, wrong: 0, crash: 0, left: 0 }, findings: [] };
}

/** Counts an outcome; `what` is kept when it is a fault of the package. */
export function count(row: Tally, outcome: Outcome, what: string): void {
  row.counts[outcome]++;
  if (isFault(outcome) && row.findings.length < 20) row.findings.push(`${outcome}: ${what}`);
}

export function isFault(outcome: Outcome): boolean {
  return outcome === 'wrong' || outcome === 'crash' || outcome === 'left';
}

export function faultsOf({ counts }: Tally): number {
  return counts.wrong + counts.crash + counts.left;
}

/** How many faults were tried. */
export function triesOf(rows: readonly Tally[]): number {
  return rows.flatMap(({ counts }) => Object.values(counts)).reduce((a, b) => a + b, 0);
}

/** The row of an earlier call with that of this one added. */
export function added(before: Tally, now: Tally): Tally {
  const sum = (name: string, a = 0, b = 0) => (name.startsWith('most') ? Math.max(a, b) : a + b);
  const keys = Object.keys(now.counts) as Outcome[];
  const figures = { ...now.figures };
  for (const [name, value] of Object.entries(before.figures ?? {})) figures[name] = sum(name, figures[name], value);
  return {
    ...now,
    counts: Object.fromEntries(keys.map((key) => [key, before.counts[key] + now.counts[key]])) as Tally['counts'],
    findings: [...before.findings, ...now.findings],
    figures,
  };
}

/** Options shared by the parts. */
export interface Programme {
  /** An empty folder for their files. */
  readonly work: string;
  /** The built command line, `dist/cli/main.js`. */
  readonly cli: string;
  /** Seed of all that is drawn at random. */
  readonly seed: number;
  /** Ends the part. Its first try is made even when the time is over: a part that tries nothing finds nothing. */
  readonly signal: AbortSignal;
  say(line: string): void;
}

/** A part of the programme: `size` is how much of it to do. */
export interface Part {
  readonly name: string;
  readonly about: string;
  /** Default size, and what one of it is. */
  readonly size: number;
  readonly unit: string;
  /** The rows, or why nothing can be tried on this machine. */
  run(programme: Programme, size: number): Promise<readonly Tally[] | string>;
  /** The note of a row, from its figures. A part that has it can be made in several calls (--add). */
  noteOf?(row: Tally): string;
}

/**
 * Rows of numbers kept small: beyond a limit, neighbours are merged in pairs, so that the rows of 100,000 steps stay as
 * light as those of a thousand and still show the whole run.
 */

export type Cell = number | null;
export type Row = readonly Cell[];
/** How a column is merged: the later value, the mean, or the greatest. */
export type Column = 'last' | 'mean' | 'max';

export interface SeriesChange {
  /** Rows before this one are as they were; the others are replaced by `rows`. */
  readonly from: number;
  readonly rows: readonly Row[];
}

export class ThinnedSeries {
  readonly #columns: readonly Column[];
  readonly #limit: number;
  #rows: { cells: Row; count: number }[] = [];
  /** Rows as added that one kept row stands for. */
  #stride = 1;
  #changedFrom = 0;

  /** Keeps at most `limit` rows, an even number. */
  constructor(columns: readonly Column[], limit = 1000) {
    this.#columns = columns;
    this.#limit = limit;
  }

  get rows(): readonly Row[] {
    return this.#rows.map(({ cells }) => cells);
  }

  add(cells: Row): void {
    const last = this.#rows.at(-1);
    if (last && last.count < this.#stride) {
      this.#rows[this.#rows.length - 1] = this.#merge(last, { cells, count: 1 });
      this.#changedFrom = Math.min(this.#changedFrom, this.#rows.length - 1);
      return;
    }
    if (this.#rows.length === this.#limit) this.#halve();
    this.#changedFrom = Math.min(this.#changedFrom, this.#rows.length);
    this.#rows.push({ cells, count: 1 });
  }

  /** Changes since the last call. */
  takeChange(): SeriesChange {
    const from = this.#changedFrom;
    this.#changedFrom = this.#rows.length;
    return { from, rows: this.rows.slice(from) };
  }

  /** Merges all pairs; every row is full when this is called. */
  #halve(): void {
    this.#rows = Array.from({ length: this.#limit / 2 }, (_, index) =>
      this.#merge(this.#rows[2 * index]!, this.#rows[2 * index + 1]!),
    );
    this.#stride *= 2;
    this.#changedFrom = 0;
  }

  #merge(first: { cells: Row; count: number }, second: { cells: Row; count: number }) {
    const count = first.count + second.count;
    const cells = this.#columns.map((column, index): Cell => {
      const [a, b] = [first.cells[index] ?? null, second.cells[index] ?? null];
      if (a === null || b === null) return b ?? a;
      if (column === 'last') return b;
      return column === 'max' ? Math.max(a, b) : (a * first.count + b * second.count) / count;
    });
    return { cells, count };
  }
}

/**
 * Mixtures: batches of which fixed shares come from each of several sources. Rows are dealt out in rounds of 1000; each
 * round holds each source's share of them exactly, in an order of its own. So which source a row comes from, and how
 * many of that source came before, follows from (seed, row) alone. A source whose rows are used up starts again in
 * another order, while the others go on.
 */
import { check } from '../../errors.js';
import { epochOrder } from './permutation.js';
import type { TokenSource } from './token-source.js';

/** Rows of a round: shares are kept to one in a thousand. */
export const roundRows = 1000;

/** Number of the order of rounds among the orders of a seed; sources have their place in the list. */
const roundOrder = 2 ** 20;

/** A part of a mixture. */
export interface SourcePart {
  /** Names the source in messages. */
  readonly name: string;
  /** Offset of its first token in the mixed source. */
  readonly start: number;
  /** Number of its tokens. */
  readonly tokenCount: number;
  /** Rows of each round. */
  readonly rows: number;
}

/**
 * Rows that each weight gets of a round: at least one, by largest remainder.
 * @throws ApolloError BAD_ARGUMENT for no weights, more than 100, or one that is not above 0.
 */
export function rowsOfRound(weights: readonly number[]): number[] {
  check(weights.length >= 1 && weights.length <= 100, `A mixture has 1 to 100 sources; got ${weights.length}.`);
  for (const weight of weights)
    check(weight > 0 && Number.isFinite(weight), `A weight must be a number above 0; got ${weight}.`);
  const sum = weights.reduce((total, weight) => total + weight, 0);
  const exact = weights.map((weight) => (roundRows * weight) / sum);
  const rows = exact.map((share) => Math.max(1, Math.floor(share)));
  const byNeed = weights.map((_, i) => i).sort((a, b) => exact[b]! - rows[b]! - (exact[a]! - rows[a]!) || a - b);
  let left = roundRows - rows.reduce((total, count) => total + count, 0);
  for (let i = 0; left > 0; i++, left--) rows[byNeed[i % rows.length]!]! += 1;
  // Sources that got one row for almost no weight take it from the largest.
  for (; left < 0; left++) rows[rows.indexOf(Math.max(...rows))]! -= 1;
  return rows;
}

/** Several sources as one: their tokens one after the other, with the range of each. */
export function mixedSource(
  sources: readonly { readonly name: string; readonly source: TokenSource; readonly weight: number }[],
): TokenSource {
  const rows = rowsOfRound(sources.map(({ weight }) => weight));
  let tokenCount = 0;
  const parts = sources.map(({ name, source }, i): SourcePart => {
    const start = tokenCount;
    tokenCount += source.tokenCount;
    return { name, start, tokenCount: source.tokenCount, rows: rows[i]! };
  });
  return {
    tokenCount,
    vocabSize: Math.max(...sources.map(({ source }) => source.vocabSize)),
    parts,
    read(offset, length) {
      const inside = parts.findIndex(
        ({ start, tokenCount: count }) => offset >= start && offset + length <= start + count,
      );
      check(inside >= 0, `Tokens [${offset}, ${offset + length}) are not inside one source of the mixture.`);
      return sources[inside]!.source.read(offset - parts[inside]!.start, length);
    },
  };
}

/** For each row: which part it comes from, and how many rows of that part came before it. */
export function createDealer(
  rows: readonly number[],
  seed: number,
): (row: number) => { readonly part: number; readonly index: number } {
  if (rows.length === 1) return (row) => ({ part: 0, index: row });
  const partOf = new Uint8Array(roundRows); // of each card that is dealt
  let card = 0;
  rows.forEach((count, part) => {
    partOf.fill(part, card, card + count);
    card += count;
  });
  let dealt = -1; // the round that parts and before are of
  const parts = new Uint8Array(roundRows);
  const before = new Uint16Array(roundRows);
  const deal = (round: number): void => {
    const order = epochOrder(roundRows, seed, round + roundOrder * 2 ** 32);
    const counts = rows.map(() => 0);
    for (let place = 0; place < roundRows; place++) {
      const part = partOf[order(place)]!;
      parts[place] = part;
      before[place] = counts[part]!++;
    }
    dealt = round;
  };
  return (row) => {
    const round = Math.floor(row / roundRows);
    if (round !== dealt) deal(round);
    const place = row % roundRows;
    const part = parts[place]!;
    return { part, index: round * rows[part]! + before[place]! };
  };
}

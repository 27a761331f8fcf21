/** Expected results of collectives on engine buffers: the task of rank-child.ts, and the check of its results. */
import { createHash } from 'node:crypto';
import type { Test } from 'tap';
import { fromBfloat16, toBfloat16 } from '../../lib/engine/index.js';

export type OfBuffers = Readonly<Record<string, unknown>>;

interface Choice {
  readonly lengths?: readonly number[];
  /** Ranks have equal parts, else each one more than the one before. */
  readonly even?: boolean;
  /** What travels is rounded at each rank on the way, not only at its beginning and end. */
  readonly roundsSums?: boolean;
}

/** More elements than one bucket in host memory has, and few. */
const defaultLengths = [2 ** 20 + 2 ** 18 + 5, 70, 1];

export const buffersTask = ({ lengths = defaultLengths, even = false }: Choice = {}) => ({
  what: 'ofBuffers',
  lengths,
  even,
});

/** `results`: of all ranks. */
export function checkBuffers(
  t: Test,
  results: readonly OfBuffers[],
  { lengths = defaultLengths, even = false, roundsSums = false }: Choice = {},
): void {
  const ranks = results.length;
  const total = lengths.reduce((sum, length) => sum + length, 0);
  const { fround } = Math;
  const rounded = (values: Float32Array) => fromBfloat16(toBfloat16(values));
  const every = Array.from({ length: ranks }, (_, rank) => rank);
  const own = every.map((rank) =>
    Float32Array.from({ length: Math.max(...lengths) }, (_, i) => (1 + rank * 0.37) * Math.sin(i + rank)),
  );
  const elementOf = (rank: number, i: number) => own[rank]![i]!;
  const sumOf = (all: readonly Float32Array[], onTheWay = (values: Float32Array) => values) =>
    all.reduce((a, b) => onTheWay(a.map((value, i) => fround(value + b[i]!))));
  const exact = sumOf(own);
  const ofRounded = rounded(sumOf(own.map(rounded), roundsSums ? rounded : undefined));
  const sum = (i: number) => exact[i]!;
  const borderOf = (length: number, rank: number) => Math.floor(length * (rank / ranks) ** (even ? 1 : 2));
  const ownerOf = (length: number, i: number) => every.findLastIndex((rank) => i >= borderOf(length, rank));
  const holds = (name: string, rank: number, value: (i: number, length: number) => number) => {
    const expected = lengths.map((length) => Float32Array.from({ length }, (_, i) => value(i, length)));
    const digests = expected.map((values) => createHash('sha256').update(values).digest('hex'));
    t.same(results[rank]![name], digests, `${name} on rank ${rank}`);
  };
  for (const rank of every) {
    holds('all', rank, sum);
    holds('rounded', rank, (i) => ofRounded[i]!);
    holds('scattered', rank, (i, length) => (ownerOf(length, i) === rank ? sum(i) : elementOf(rank, i)));
    holds('gathered', rank, (i, length) => elementOf(ownerOf(length, i), i));
    holds('sent', rank, (i) => elementOf(ranks - 1, i));
    const collected = every.flatMap((from) => Array.from({ length: 3 * from }, (_, i) => elementOf(from, i)));
    t.same(results[rank]!['collected'], [collected, rank === ranks - 1 ? collected : []]);
    t.same(results[rank]!['doubles'], [(ranks * (ranks - 1)) / 2 + ranks * 2 ** -40, ranks]);
    t.equal(results[rank]!['refused'], 'APOLLO_ABORTED');
    const other = (ranks - 1) * total;
    t.same(results[rank]!['bytes'], [8 * other, 4 * other, 4 * other, 4 * other]);
  }
}

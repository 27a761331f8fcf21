/** Bytes that a rank sends, by the algorithms of `lib/dist/cost.ts`. */

/**
 * Of an all-reduce of `bytes` by a ring, or by recursive halving and doubling: each rank sends every part but one twice.
 * What an MPI library sends depends on the algorithm that it picks; no algorithm sends less (Patarasuk and Yuan 2009).
 */
export function allReduceBytes(bytes: number, ranks: number): number {
  return (2 * (ranks - 1) * bytes) / ranks;
}

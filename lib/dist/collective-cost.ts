/**
 * The cost of collectives by Hockney's model: a message of n bytes takes alpha + n beta. The formulas are those of Thakur,
 * Rabenseifner and Gropp, "Optimization of Collective Communication Operations in MPICH", 2005, sections 3 and 4, for ranks
 * that send and receive at once over their own links; lg p is rounded up where p is no power of two. Pure functions.
 */

export interface Network {
  /** Seconds from one rank to another for a message of no length, alpha. */
  readonly latency: number;
  /** Bytes per second of payload that a rank sends, 1 / beta. */
  readonly bandwidth: number;
  /** Bytes per second at which a rank reads, adds and writes in its memory. */
  readonly memory: number;
}

export interface Cost {
  readonly seconds: number;
  /** That a rank sends. */
  readonly bytes: number;
}

/** Passes of an all-reduce over its bytes in memory besides those over the network: out of the device, scale, add, back. */
const passes = 5;

const nothing: Cost = { seconds: 0, bytes: 0 };
const lg = (ranks: number) => Math.ceil(Math.log2(ranks));

/** The number of messages, sent one after the other, and of bytes in total. */
const messages = (count: number, bytes: number, { latency, bandwidth }: Network): Cost => ({
  seconds: count * latency + bytes / bandwidth,
  bytes,
});

const cheapest = (costs: readonly Cost[]): Cost =>
  costs.reduce((best, cost) => (cost.seconds < best.seconds ? cost : best));

export const sum = (costs: readonly Cost[]): Cost => ({
  seconds: costs.reduce((total, { seconds }) => total + seconds, 0),
  bytes: costs.reduce((total, { bytes }) => total + bytes, 0),
});

/** Fraction of the bytes at the end of a collective that a rank receives from others. */
const share = (ranks: number) => (ranks - 1) / ranks;

/** Ring: p - 1 steps with one part each. */
export const ringReduceScatter = (bytes: number, ranks: number, network: Network): Cost =>
  messages(ranks - 1, share(ranks) * bytes, network);

/** Recursive halving: lg p steps with half as much each time. */
export const halvingReduceScatter = (bytes: number, ranks: number, network: Network): Cost =>
  messages(lg(ranks), share(ranks) * bytes, network);

/** Ring all-gather and recursive doubling send what the two reduce-scatters do, the other way round. */
export const ringAllGather = ringReduceScatter;
export const doublingAllGather = halvingReduceScatter;

/** Ring reduce-scatter and ring all-gather. */
export const ringAllReduce = (bytes: number, ranks: number, network: Network): Cost =>
  sum([ringReduceScatter(bytes, ranks, network), ringAllGather(bytes, ranks, network)]);

/** Rabenseifner's: recursive halving and recursive doubling. */
export const halvingAllReduce = (bytes: number, ranks: number, network: Network): Cost =>
  sum([halvingReduceScatter(bytes, ranks, network), doublingAllGather(bytes, ranks, network)]);

/** Recursive doubling: all bytes in each of lg p steps. The cheapest for few bytes. */
export const treeAllReduce = (bytes: number, ranks: number, network: Network): Cost =>
  messages(lg(ranks), lg(ranks) * bytes, network);

/** Dissemination: lg p empty messages. */
export const barrier = (ranks: number, network: Network): Cost => messages(lg(ranks), 0, network);

const inMemory = (cost: Cost, bytes: number, count: number, { memory }: Network): Cost => ({
  ...cost,
  seconds: cost.seconds + (count * bytes) / memory,
});

/** The cheapest of the algorithms, with the work in memory. A group of one has nothing to do. */
export function allReduce(bytes: number, ranks: number, network: Network): Cost {
  if (ranks === 1) return nothing;
  const algorithms = [ringAllReduce, halvingAllReduce, treeAllReduce];
  return inMemory(cheapest(algorithms.map((cost) => cost(bytes, ranks, network))), bytes, passes, network);
}

export function reduceScatter(bytes: number, ranks: number, network: Network): Cost {
  if (ranks === 1) return nothing;
  const algorithms = [ringReduceScatter, halvingReduceScatter];
  return inMemory(cheapest(algorithms.map((cost) => cost(bytes, ranks, network))), bytes, passes - 1, network);
}

export function allGather(bytes: number, ranks: number, network: Network): Cost {
  if (ranks === 1) return nothing;
  const algorithms = [ringAllGather, doublingAllGather];
  return inMemory(cheapest(algorithms.map((cost) => cost(bytes, ranks, network))), bytes, 1, network);
}

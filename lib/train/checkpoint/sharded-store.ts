/**
 * How the first rank reads a store of which each rank keeps a share of the optimizer's state: it asks for one parameter after
 * the other, and the others give their parts of it.
 */
import type { ParameterStore } from '../../engine/parameters.js';

/** The state of a parameter, on the first rank, which asks for it where ranks share it. */
export function collectedMoments(store: ParameterStore, name: string): ReturnType<ParameterStore['moments']> {
  if (!store.shards) return store.moments(name);
  store.shards.ask(name).catch(() => {}); // collections after it fail in the same way
  return store.moments(name, 0);
}

/** Ends what the other ranks do in `giveState`; undefined where ranks share nothing. */
export const askNoMore = (store: ParameterStore): Promise<void> | undefined => store.shards?.ask('');

/** On a rank but the first, while that reads the store: gives what it asks for. */
export async function giveState(store: ParameterStore): Promise<void> {
  await store.shards?.give((name) => store.moments(name, 0));
}

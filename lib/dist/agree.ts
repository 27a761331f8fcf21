/** Work in which the ranks of a group succeed or fail together, so that none waits for one that has failed. */
import { ApolloError } from '../errors.js';
import type { Group } from './group.js';

/** The error of a rank that ends because another one has failed; that one reports why. */
export function rankFailed(rank?: number): ApolloError {
  return new ApolloError(
    'RANK_FAILED',
    `${rank === undefined ? 'Another rank' : `Rank ${rank}`} has failed, so this rank ends too; the message of that rank gives the reason.`,
  );
}

/**
 * Does `work` on every rank and waits for all of them. Where it fails, the first rank of those throws what it threw, and
 * all others RANK_FAILED.
 */
export async function agreed<Value>(group: Group, work: () => Promise<Value>): Promise<Value> {
  if (group.size === 1) return work();
  const outcome = await work().then(
    (value) => ({ value }),
    (error: unknown) => ({ error }),
  );
  const failed = await group.sum(
    Array.from({ length: group.size }, (_, rank) => Number(rank === group.rank && 'error' in outcome)),
  );
  const first = failed.findIndex((count) => count > 0);
  if (first >= 0 && first !== group.rank) throw rankFailed(first);
  if ('error' in outcome) throw outcome.error;
  return outcome.value;
}

/** Does `work` on the first rank; its result, plain data, on all. @throws as `agreed`. */
export async function fromFirst<Value>(group: Group, work: () => Promise<Value>): Promise<Value> {
  if (group.size === 1) return work();
  const own = await agreed(group, async () => JSON.stringify(group.rank === 0 ? ((await work()) ?? null) : null));
  return JSON.parse(await group.broadcast(own, 0)) as Value;
}

/** Does `work` on the first rank and then on the others, which find what that has left. @throws as `agreed`. */
export async function firstThenOthers<Value>(group: Group, work: () => Promise<Value>): Promise<Value> {
  const first = await agreed(group, async () => (group.rank === 0 ? work() : undefined));
  if (group.size === 1) return first as Value;
  return agreed(group, async () => (group.rank === 0 ? (first as Value) : work()));
}

/**
 * Compares a text of every rank with that of the first.
 * @throws what `differs` makes of the first rank's, on the first rank that has another; RANK_FAILED on the others.
 */
export async function checkSame(group: Group, own: string, differs: (first: string) => ApolloError): Promise<void> {
  if (group.size === 1) return;
  const first = await group.broadcast(own, 0);
  await agreed(group, async () => {
    if (own !== first) throw differs(first);
  });
}

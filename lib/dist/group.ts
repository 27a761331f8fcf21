/** A group of processes (ranks) that train one model together, and how this process joins it. */
import { hostname } from 'node:os';
import { type Device, nativeOf } from '../engine/device.js';
import { loadAddon, type NativeGroup } from '../engine/native.js';
import { translated } from '../engine/native-error.js';
import { ApolloError } from '../errors.js';
import * as is from '../is.js';
import { packageVersion } from '../package-folder.js';
import { checkSame } from './agree.js';
import { type Environment, type RankPlace, rankOf, startedByMpi } from './rank.js';
import { textOfFirst } from './rendezvous.js';

/**
 * The ranks, seen from one of them. Calls are collective: all ranks make the same ones in the same order. They run on the
 * device's thread, in the order in which they and programs are queued.
 */
export interface Group {
  /** Number of this process in the group, from 0 to size - 1. */
  readonly rank: number;
  /** Number of ranks; 1 for a process that trains by itself. */
  readonly size: number;
  /** Number among the ranks of this host, where the launcher provides it. */
  readonly localRank?: number | undefined;
  /** Host name of this machine. */
  readonly host: string;
  /** The sums of these values over all ranks. @throws ApolloError GROUP_FAILED, CLOSED. */
  sum(values: readonly number[]): Promise<readonly number[]>;
  /** The text of rank `root`. @throws ApolloError GROUP_FAILED, CLOSED. */
  broadcast(text: string, root: number): Promise<string>;
  /**
   * Ends the group when all ranks have come here; nothing of it works afterwards. A process that ends without it ends the
   * others, by way of their launcher. @throws ApolloError GROUP_FAILED, CLOSED.
   */
  close(): Promise<void>;
}

const natives = new WeakMap<Group, NativeGroup>();

/** The engine's side of a group, for this package alone; a group of one has none. */
export const nativeGroupOf = (group: Group): NativeGroup | undefined => natives.get(group);

/**
 * The group of a process that trains by itself: it costs nothing.
 * @example
 * alone.size // 1
 */
export const alone: Group = {
  rank: 0,
  size: 1,
  localRank: 0,
  host: hostname(),
  sum: async (values) => values,
  broadcast: async (text) => text,
  close: async () => {},
};

const takesOpenGroup = is.takes('openGroup', {
  device: is.device,
  env: is.optional(is.record),
});

/**
 * Joins the group that the launcher of this process has started; a process without a launcher is a group of one. Ranks on CPUs
 * exchange over MPI. Ranks on GPUs, each on its own, exchange over NCCL; they meet over MPI where its launcher has started them,
 * else at MASTER_ADDR and MASTER_PORT. A process joins once, and leaves with `close`, before it closes the device.
 * @param device The device of this rank, which trains on it.
 * @param env Environment variables, by which the launcher says rank, size and place to meet. Default: `process.env`.
 * @example
 * ```ts
 * const group = await openGroup(device);
 * for await (const event of train(options, { device, model, method, corpus, group })) console.log(event.type);
 * await group.close();
 * ```
 * @throws ApolloError BAD_CONFIG where the environment contradicts itself or lacks the place to meet, or ranks run other versions;
 * NO_GROUP where there is no MPI or NCCL library, or ranks do not meet, GROUP_FAILED when a call of it fails; BAD_ARGUMENT.
 */
export async function openGroup(device: Device, env: Environment = process.env): Promise<Group> {
  takesOpenGroup(device, env);
  const place = rankOf(env);
  const { rank, size, localRank } = place;
  if (size === 1) return alone;
  const onGpu = device.info().kind === 'cuda';
  const id = onGpu ? await ncclIdOf(place, env) : undefined;
  const native = await translated(() => loadAddon().joinGroup(nativeOf(device), { rank, size, id }));
  if (native.rank !== rank || native.size !== size) {
    throw new ApolloError(
      'NO_GROUP',
      `The launcher says that this is rank ${rank} of ${size}, MPI says rank ${native.rank} of ${native.size}. ` +
        `Start the ranks with the launcher of the MPI library that the engine was built with: ${loadAddon().mpiInfo().library}. ` +
        'See docs/troubleshooting.md#ranks-do-not-start-together.',
    );
  }
  const group: Group = {
    rank,
    size,
    localRank,
    host: hostname(),
    sum: (values) => translated(() => native.sum(values)),
    broadcast: (text, root) => translated(() => native.broadcast(text, root)),
    close: () => translated(() => native.close()),
  };
  natives.set(group, native);
  await checkSameVersion(group);
  return group;
}

/** @throws ApolloError BAD_CONFIG on the first rank with another version than rank 0; RANK_FAILED on the others. */
async function checkSameVersion(group: Group): Promise<void> {
  const own = `apollo-lm ${packageVersion()} with the engine of ${loadAddon().info().version}`;
  await checkSame(
    group,
    own,
    (first) =>
      new ApolloError(
        'BAD_CONFIG',
        `This rank runs ${own}, rank 0 runs ${first}. Install and build the same version on every host.`,
      ),
  );
}

/** NCCL's name of the group; undefined where it travels over MPI. */
async function ncclIdOf(place: RankPlace, env: Environment): Promise<string | undefined> {
  const addon = loadAddon();
  const { missing } = addon.ncclInfo();
  if (missing) throw new ApolloError('NO_GROUP', `Ranks on GPUs need NCCL. ${missing}.`);
  const named = env['APOLLO_MASTER'] !== undefined;
  if (!named && startedByMpi(env) && !addon.mpiInfo().missing) return undefined;
  return textOfFirst(place, env, () => addon.ncclUniqueId());
}

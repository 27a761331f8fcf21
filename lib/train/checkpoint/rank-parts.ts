/**
 * Checkpoints of which each rank writes a part into its own folder. A part is of use only together with those of the other
 * ranks, and ranks write at different speeds, so none is removed before all ranks have written a newer checkpoint.
 */
import { fromFirst, type Group } from '../../dist/index.js';
import { readCheckpointState } from './checkpoint.js';
import {
  type CheckpointFolder,
  type Kept,
  listCheckpoints,
  removeCheckpoint,
  setDamagedAside,
  superseded,
} from './checkpoint-folder.js';

/**
 * Removes from this rank's folder the parts that are older than the newest checkpoint of which every part is there, except
 * those that `kept` names. Incomplete checkpoints do not count as kept ones. All ranks call it, each when it has written.
 * @throws ApolloError FILE_SYSTEM on a rank whose folder cannot be read, where nothing is removed then, or that could not
 * remove a part; what `group` throws.
 */
export async function removeOlderParts(group: Group, directory: string, kept: Kept): Promise<void> {
  let failure: unknown;
  const own = await listCheckpoints(directory).catch((error: unknown) => {
    failure = error; // the others wait for this rank, which takes part with no checkpoint
    return [] as CheckpointFolder[];
  });
  const written = await fromFirst(group, () => Promise.all(own.map((part) => partsOf(part, group.size))));
  const found = await group.sum(
    written.map(({ step, ranks }) => Number(group.rank < ranks && own.some((part) => part.step === step))),
  );
  if (failure !== undefined) throw failure;
  // Parts of ranks that this group does not have are taken to be there: nobody has removed them.
  const complete = written.filter(({ ranks }, i) => found[i] === Math.min(ranks, group.size)).map(({ step }) => step);
  const newest = complete.at(-1) ?? 0;
  const outdated = superseded(complete, kept);
  const stays = (step: number) => kept.keepAt?.includes(step) || (complete.includes(step) && !outdated.includes(step));
  for (const part of own) if (part.step < newest && !stays(part.step)) await removeCheckpoint(part);
}

/** The step of a checkpoint and the number of ranks that wrote it; `ranks` where it cannot be read. */
async function partsOf({ path, step }: CheckpointFolder, ranks: number): Promise<{ step: number; ranks: number }> {
  const state = await readCheckpointState(path).catch(() => undefined);
  return { step, ranks: state ? (state.local?.ranks ?? 1) : ranks };
}

/**
 * Sets the parts of a rank aside that are newer than the step at which the run continues: another rank did not complete that
 * checkpoint, or lost it. One that stayed would count as newer than those that this run writes.
 */
export async function setNewerPartsAside(directory: string, step: number): Promise<void> {
  for (const part of await listCheckpoints(directory)) if (part.step > step) await setDamagedAside(part);
}

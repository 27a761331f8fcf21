/**
 * Where ranks that update their own weights keep them: the first in the run's folder for checkpoints, as a run of one
 * rank does, each other one in a folder next to those, as checkpoints of the same steps.
 */
import { basename, dirname, join } from 'node:path';

/** Folder for the checkpoints of a rank, in that of the run. */
export function checkpointsOfRank(directory: string, rank: number): string {
  return rank === 0 ? directory : join(directory, `rank-${rank}`);
}

/** Folder of the state that `rank` keeps next to the first rank's checkpoint `folder`. */
export function checkpointOfRank(folder: string, rank: number): string {
  return rank === 0 ? folder : join(checkpointsOfRank(dirname(folder), rank), basename(folder));
}

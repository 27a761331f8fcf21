/** Where a run starts: at its first step, at a checkpoint of its own, or at one of the run that it branches off. */
import { fromFirst, type Group } from '../dist/index.js';
import { ApolloError } from '../errors.js';
import { type CheckpointState, readCheckpointState } from './checkpoint/checkpoint.js';
import { latestCheckpoint } from './checkpoint/checkpoint-folder.js';
import { newestWholeCheckpoint } from './checkpoint/whole-checkpoint.js';
import { beginningOf, checkBranch, differences, type RunIdentity, type TrainConfig, withBeginning } from './config.js';
import type { TrainDependencies } from './dependencies.js';
import { type BeginningOptions, digestOfBeginning } from './initial.js';

/** The checkpoint that a run continues from. */
export interface Start {
  readonly folder: string;
  /** Whether it is of another run, which this one branches off. */
  readonly isBranch: boolean;
  /** Moves damaged checkpoints that are newer aside and returns a warning for each. */
  readonly setAside: () => Promise<readonly string[]>;
}

/**
 * The checkpoint to continue from; undefined for a run that starts with its first step.
 * @throws ApolloError BAD_ARGUMENT for a folder that holds another run, BAD_CHECKPOINT when there is nothing to resume from.
 */
async function findStart({
  checkpointDir,
  resume = false,
  branchFrom,
}: Pick<TrainDependencies, 'checkpointDir' | 'resume' | 'branchFrom'>): Promise<Start | undefined> {
  if (resume && checkpointDir === undefined) {
    throw new ApolloError(
      'BAD_ARGUMENT',
      'resume needs checkpointDir, the folder with the checkpoints to continue from.',
    );
  }
  const newest = checkpointDir === undefined ? undefined : await ownCheckpoint(checkpointDir, resume);
  if (newest) return { folder: newest.path, isBranch: false, setAside: () => newest.setAside() };
  if (branchFrom !== undefined) return { folder: branchFrom, isBranch: true, setAside: async () => [] };
  if (resume !== true) return undefined;
  throw new ApolloError(
    'BAD_CHECKPOINT',
    `There is no checkpoint in ${checkpointDir} to resume from. Give the folder of an earlier run, or start one without resume. See docs/troubleshooting.md#no-checkpoint.`,
  );
}

/** The start that the first rank finds, on all ranks; it alone moves damaged checkpoints aside. @throws as `findStart`. */
export async function findCommonStart(group: Group, deps: TrainDependencies): Promise<Start | undefined> {
  let own: Start | undefined;
  const found = await fromFirst(group, async () => {
    own = await findStart(deps);
    return own && { folder: own.folder, isBranch: own.isBranch };
  });
  return own ?? (found ? { ...found, setAside: async () => [] } : undefined);
}

/** The newest checkpoint of the run in its folder that is whole. */
async function ownCheckpoint(checkpointDir: string, resume: boolean | 'auto') {
  if (resume !== false) return newestWholeCheckpoint(checkpointDir);
  const other = await latestCheckpoint(checkpointDir);
  if (!other) return undefined;
  throw new ApolloError(
    'BAD_ARGUMENT',
    `${checkpointDir} holds the checkpoints of another run (step ${other.step}). ` +
      'Resume it, or give another folder for a new run.',
  );
}

export interface StartSite {
  readonly config: TrainConfig;
  readonly beginning: BeginningOptions;
  /** Identity of the run, without its initial model. */
  readonly identity: RunIdentity;
}

/**
 * The state of the checkpoint at which a run starts, and the run's identity.
 * @throws ApolloError BAD_CONFIG when the checkpoint is of a run with other settings.
 */
export async function checkedStart(
  { folder, isBranch }: Start,
  { config, beginning, identity: own }: StartSite,
): Promise<{ state: CheckpointState; identity: RunIdentity }> {
  const state = await readCheckpointState(folder);
  if (isBranch) checkBranch(config, state.step, folder);
  const digest = await digestOfBeginning(beginning, beginningOf(state.identity));
  const identity = withBeginning(own, digest);
  const { anneal, ...trunk } = identity;
  const changed = differences(state.identity, isBranch ? trunk : identity);
  if (changed.length === 0) return { state, identity };
  throw new ApolloError(
    'BAD_CONFIG',
    `The checkpoint ${folder} belongs to a run with other settings:\n  ${changed.join('\n  ')}\n` +
      'Resume with the settings it was started with, or start a new run in another folder. ' +
      'See docs/troubleshooting.md#checkpoint-with-other-settings.',
  );
}

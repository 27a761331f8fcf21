/** The newest checkpoint that is whole: a damaged one does not end a run that has an older one. */
import { ApolloError } from '../../errors.js';
import { damageOf } from './checkpoint.js';
import { type CheckpointFolder, listCheckpoints, recover, setDamagedAside } from './checkpoint-folder.js';

export interface WholeCheckpoint extends CheckpointFolder {
  /** Gives the damaged newer ones another name (see setDamagedAside); a sentence on each. */
  setAside(): Promise<string[]>;
}

/**
 * The newest checkpoint in `directory` whose files are as they were written; undefined when there is none at all.
 * @throws ApolloError BAD_CHECKPOINT when all are damaged, naming each.
 */
export async function newestWholeCheckpoint(directory: string): Promise<WholeCheckpoint | undefined> {
  await recover(directory);
  const damaged: { readonly folder: CheckpointFolder; readonly error: ApolloError }[] = [];
  for (const folder of (await listCheckpoints(directory)).reverse()) {
    const error = await damageOf(folder.path);
    if (error) damaged.push({ folder, error });
    else return { ...folder, setAside: () => setAside(damaged, folder) };
  }
  const [newest, ...older] = damaged;
  if (newest === undefined) return undefined;
  if (older.length === 0) throw newest.error;
  const others = older.map(({ folder }) => folder.path).join(', ');
  throw new ApolloError(
    'BAD_CHECKPOINT',
    `All checkpoints in ${directory} are damaged. ${newest.error.message} The earlier ones are damaged too: ${others}.`,
    { cause: newest.error },
  );
}

async function setAside(
  damaged: readonly { readonly folder: CheckpointFolder; readonly error: ApolloError }[],
  found: CheckpointFolder,
): Promise<string[]> {
  const sentences: string[] = [];
  for (const { folder, error } of damaged) {
    const path = await setDamagedAside(folder);
    const reason = error.message.slice(0, error.message.indexOf('. ') + 1) || error.message;
    sentences.push(`${reason} It was renamed to ${path}; the run resumes from step ${found.step} (${found.path}).`);
  }
  return sentences;
}

/** Whether the ranks of a group do the same run: its settings before the first step, its weights at growths and checkpoints. */
import { createHash } from 'node:crypto';
import { checkSame, type Group } from '../dist/index.js';
import type { ParameterStore } from '../engine/parameters.js';
import { ApolloError } from '../errors.js';
import { differences, type RunIdentity } from './config.js';

/** @throws ApolloError BAD_CONFIG listing what differs, on the first rank with other settings; RANK_FAILED on the others. */
export async function checkSameSettings(group: Group, settings: RunIdentity): Promise<void> {
  await checkSame(group, JSON.stringify(settings), (first) => {
    const changed = differences(JSON.parse(first) as RunIdentity, settings).map((line) =>
      line.replace(', was ', ', on rank 0 '),
    );
    return new ApolloError(
      'BAD_CONFIG',
      `This rank was started with other settings than rank 0:\n  ${changed.join('\n  ')}\nStart all ranks with the same ones.`,
    );
  });
}

/** @throws ApolloError GROUP_FAILED on the first rank whose weights are not bit by bit those of rank 0; RANK_FAILED on the others. */
export async function checkSameWeights(group: Group, store: ParameterStore, step: number): Promise<void> {
  if (group.size === 1) return;
  await checkSame(group, await digestOfWeights(store), () => {
    return new ApolloError(
      'GROUP_FAILED',
      `This rank has other weights than rank 0 after step ${step}. All ranks need the same build of the package, ` +
        'processors with the same instructions and the same number of threads. Resume from the last checkpoint.',
    );
  });
}

async function digestOfWeights(store: ParameterStore): Promise<string> {
  const hash = createHash('sha256');
  for (const name of store.names()) {
    const { buffer, byteOffset, byteLength } = await store.read(name);
    hash.update(name).update(new Uint8Array(buffer, byteOffset, byteLength));
  }
  return hash.digest('hex');
}

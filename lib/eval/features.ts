/** All examples of a split as features, made in pieces so that the event loop stays free. */
import { createHash } from 'node:crypto';
import { setImmediate } from 'node:timers/promises';
import { ApolloError } from '../errors.js';
import type { SequenceEncoder } from './encode.js';
import type { Feature, FineTuneTask } from './task.js';

/** Milliseconds of work between two breaks. */
const pieceMs = 20;

/**
 * The features of each example.
 * @throws ApolloError ABORT_ERR when the signal fires.
 */
export async function encodeAll<Example>(
  task: Pick<FineTuneTask<Example>, 'features'>,
  examples: readonly Example[],
  encoder: SequenceEncoder,
  signal?: AbortSignal,
): Promise<Feature[][]> {
  const features: Feature[][] = [];
  let started = performance.now();
  for (const example of examples) {
    features.push(task.features(example, encoder));
    if (performance.now() - started < pieceMs) continue;
    await setImmediate();
    if (signal?.aborted) throw new ApolloError('ABORT_ERR', 'Stopped while examples were read.');
    started = performance.now();
  }
  return features;
}

/** A digest of features: all that a run's bits depend on of its data. */
export function digestOf(lists: readonly (readonly Feature[])[]): string {
  const hash = createHash('sha256');
  for (const features of lists) {
    hash.update(`${features.length}\n`);
    for (const { tokens, types, targets } of features) hash.update(JSON.stringify([tokens, types, targets ?? null]));
  }
  return hash.digest('hex');
}

/** All examples of a split as features, made in pieces so that the event loop stays free. */
import { createHash } from 'node:crypto';
import { setImmediate } from 'node:timers/promises';
import { ApolloError } from '../../errors.js';
import * as is from '../../is.js';
import type { SequenceEncoder } from './encode.js';
import type { Feature, FineTuneTask } from './task.js';

/** Milliseconds of work between two breaks. */
const pieceMs = 20;

const takesEncodeAll = is.takes('encodeAll', {
  task: is.object('a task (from taskByName)', { features: is.func }),
  examples: is.list(is.kind('an example of the task', (value) => value !== undefined)),
  encoder: is.having('a SequenceEncoder (from sequenceEncoder)', ['encode', 'join']),
  signal: is.optional(is.signal),
});

/**
 * The features of each example.
 * @throws ApolloError ABORT_ERR when the signal fires.
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export async function encodeAll<Example>(
  task: Pick<FineTuneTask<Example>, 'features'>,
  examples: readonly Example[],
  encoder: SequenceEncoder,
  signal?: AbortSignal,
): Promise<Feature[][]> {
  takesEncodeAll(task, examples, encoder, signal);

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

const takesDigestOf = is.takes('digestOf', { lists: is.list(is.list(is.feature)) });

/**
 * A digest of features: all that a run's bits depend on of its data.
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function digestOf(lists: readonly (readonly Feature[])[]): string {
  takesDigestOf(lists);

  const hash = createHash('sha256');
  for (const features of lists) {
    hash.update(`${features.length}\n`);
    for (const { tokens, types, targets } of features) hash.update(JSON.stringify([tokens, types, targets ?? null]));
  }
  return hash.digest('hex');
}

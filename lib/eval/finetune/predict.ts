/** Predictions of a network for examples: features of similar length share batches, and each batch runs the program of its length. */

import * as is from '../../is.js';
import { bucketOf, buckets, featureBatch } from './batches.js';
import type { Head } from './head.js';
import { inputsOf, type NetworkPrograms } from './network.js';
import type { Feature, Outputs } from './task.js';

/** Options of {@link predict}. */
export interface PredictOptions {
  /** The head of the network, whose targets are inputs of a batch. */
  readonly head: Pick<Head, 'targets'>;
  /** Sequences per run, as many as the programs were made for. */
  readonly batch: number;
  /** Tokens of a sequence at most: the length of the longest program. */
  readonly maxLength: number;
  /** Token id that fills rows after their last token, from the SequenceEncoder. */
  readonly padId: number;
  /** Ends the predictions with ABORT_ERR. */
  readonly signal?: AbortSignal | undefined;
  /** Called after each batch with the share that is done. */
  readonly onProgress?: ((done: number) => void) | undefined;
}

const takesPredict = is.takes('predict', {
  programs: is.having('a NetworkPrograms', ['prediction', 'training']),
  features: is.list(is.list(is.feature)),
  options: is.options({
    head: is.object('a Head', { targets: is.record }),
    batch: is.count,
    maxLength: is.count,
    padId: is.index,
    signal: is.optional(is.signal),
    onProgress: is.optional(is.func),
  }),
});

/**
 * The head's row for each feature of each example, in their order.
 * @example
 * const { tokenizer, model, maxLength, frame } = await loadFineTuned(device, 'runs/sst2/pre-trained/seed-42/model', task);
 * const encoder = sequenceEncoder(tokenizer, model.config, maxLength, frame);
 * const features = ['Good.', 'Bad.'].map((text) => [encoder.encode(text)]);
 * const rows = await predict(programs, features, { head: task.head, batch: 16, maxLength, padId: encoder.padId });
 * @throws ApolloError ABORT_ERR when the signal fires.
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export async function predict(
  programs: NetworkPrograms,
  features: readonly (readonly Feature[])[],
  options: PredictOptions,
): Promise<Outputs> {
  takesPredict(programs, features, options);
  const { head, batch, maxLength, padId, signal, onProgress } = options;
  const outputs: Float32Array[][] = features.map(() => []);
  const queue = features.flatMap((list, example) => list.map((feature, part) => ({ feature, example, part })));
  queue.sort((x, y) => x.feature.tokens.length - y.feature.tokens.length); // stable: equal ones keep their order
  const all = buckets(maxLength);
  for (let start = 0; start < queue.length; start += batch) {
    const entries = queue.slice(start, start + batch);
    const list = entries.map(({ feature }) => feature);
    const seq = bucketOf(list, all);
    const program = await programs.prediction(seq);
    const inputs = inputsOf(program, featureBatch(list, { batch, seq, padId }, head));
    const result = (await program.run(inputs, signal ? { signal } : {})).outputs['output'] as Float32Array;
    const width = result.length / batch;
    entries.forEach(({ example, part }, row) => {
      (outputs[example] as Float32Array[])[part] = result.slice(row * width, (row + 1) * width);
    });
    onProgress?.(Math.min(1, (start + batch) / queue.length));
  }
  return outputs;
}

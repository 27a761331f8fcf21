/** A prepared corpus as the training loop wants it: next tokens for GPT, masked tokens for BERT. */
import {
  type Corpus,
  causalBatch,
  heldOutCausalBatches,
  heldOutMlmBatches,
  mlmBatch,
  mlmCapacity,
  type SpecialTokens,
} from '../data/index.js';
import { ApolloError } from '../errors.js';
import * as is from '../is.js';
import type { BatchInputs, TrainingCorpus } from './corpus.js';

export interface TrainingCorpusOptions {
  readonly kind: 'bert' | 'gpt';
  /** Micro-batches of a step; the rows of a step do not depend on how it is cut. */
  readonly accumulation?: number;
  /** Held-out batches at most, spread evenly over the held-out text. */
  readonly heldOutBatches?: number;
}

/** Masks of held-out text are the same for every run. */
const heldOutSeed = 0;

const takesTrainingCorpus = is.takes('trainingCorpus', {
  corpus: is.object('a corpus (from prepareCorpus)', {
    train: is.tokenSource,
    heldOut: is.tokenSource,
    key: is.string,
    tokenizer: is.object('a Tokenizer', { specials: is.record, specialIds: is.array, vocabSize: is.count }),
  }),
  options: is.options({
    kind: is.oneOf('bert', 'gpt'),
    accumulation: is.optional(is.count),
    heldOutBatches: is.optional(is.count),
  }),
});

/**
 * Batches of `corpus` for a model of `kind`.
 * @throws ApolloError BAD_TOKENIZER when masked text is asked of a tokenizer without [MASK], [CLS] and [SEP].
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function trainingCorpus(
  corpus: Pick<Corpus, 'train' | 'heldOut' | 'key' | 'tokenizer'>,
  options: TrainingCorpusOptions,
): TrainingCorpus {
  takesTrainingCorpus(corpus, options);

  const { kind, accumulation = 1, heldOutBatches } = options;
  const limit = heldOutBatches === undefined ? {} : { maxBatches: heldOutBatches };
  const held = new Map<string, readonly BatchInputs[]>();
  const heldOut = (batch: number, seq: number, make: () => readonly BatchInputs[]) => {
    const key = `${batch} x ${seq}`;
    const list = held.get(key) ?? make();
    held.set(key, list);
    return list;
  };

  if (kind === 'gpt') {
    const causal = (batch: number, seq: number) =>
      heldOut(batch, seq, () =>
        heldOutCausalBatches(corpus.heldOut, { batch, seq, ...limit }).map((rows) => ({ ...rows })),
      );
    return {
      key: corpus.key,
      accumulation,
      shape: (batch, seq) => ({ batch, seq, padding: false }),
      batch: (request) => ({ ...causalBatch(corpus.train, { ...request, microBatches: accumulation }) }),
      heldOutCount: (batch, seq) => causal(batch, seq).length,
      heldOut: ({ batch, seq, index }) => causal(batch, seq)[index]!,
    };
  }

  const { tokenizer } = corpus;
  const rules = {
    maskId: special(tokenizer.specials, 'mask'),
    clsId: special(tokenizer.specials, 'cls'),
    sepId: special(tokenizer.specials, 'sep'),
    vocab: tokenizer.vocabSize,
    specialIds: tokenizer.specialIds,
  };
  const masked = (batch: number, seq: number) =>
    heldOut(batch, seq, () =>
      heldOutMlmBatches(corpus.heldOut, {
        ...rules,
        ...limit,
        batch,
        seq,
        seed: heldOutSeed,
        targets: mlmCapacity(batch * seq, batch),
      }).map((rows) => ({ ...rows })),
    );
  return {
    key: corpus.key,
    accumulation,
    shape: (batch, seq) => ({ batch, seq, targets: mlmCapacity(batch * seq, batch), padding: false }),
    batch: (request) => ({
      ...mlmBatch(corpus.train, {
        ...request,
        ...rules,
        microBatches: accumulation,
        targets: mlmCapacity(request.batch * request.seq, request.batch),
      }),
    }),
    heldOutCount: (batch, seq) => masked(batch, seq).length,
    heldOut: ({ batch, seq, index }) => masked(batch, seq)[index]!,
  };
}

function special(specials: SpecialTokens, name: 'mask' | 'cls' | 'sep'): number {
  const id = specials[name];
  if (id !== undefined) return id;
  throw new ApolloError(
    'BAD_TOKENIZER',
    `BERT needs a tokenizer with a ${name} token, and this one has none. Use a WordPiece tokenizer, or model gpt.`,
  );
}

/** A prepared corpus as the training loop wants it: next tokens for causal models, masked tokens for the others. */
import {
  type BatchList,
  type Corpus,
  causalBatch,
  checkHasRows,
  heldOutCausal,
  heldOutMlm,
  mlmBatch,
  mlmCapacity,
  type SpecialTokens,
} from '../data/index.js';
import { ApolloError, check } from '../errors.js';
import * as is from '../is.js';
import type { ObjectiveName } from '../models/index.js';
import { batchShape } from './batch-shape.js';
import type { BatchInputs, BatchRequest, BatchSize, TrainingCorpus } from './corpus.js';

/** Options of {@link trainingCorpus}. */
export interface TrainingCorpusOptions {
  /** Held-out batches at most, spread evenly over the held-out text. */
  readonly evaluationBatches?: number;
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
    evaluationBatches: is.optional(is.count),
  }),
});

const ofSize = { batch: is.count, seq: is.count, objective: is.oneOf('causal', 'masked') };
const takesShape = is.takes('TrainingCorpus', { size: is.object('{ batch, seq, objective }', ofSize) });
const takesBatch = is.takes('TrainingCorpus.batch', {
  request: is.object('{ batch, seq, objective, seed, step, micro, accumulation }', {
    ...ofSize,
    seed: is.integer,
    step: is.index,
    micro: is.index,
    accumulation: is.count,
  }),
});
const takesHeldOut = is.takes('TrainingCorpus.heldOut', {
  request: is.object('{ batch, seq, objective, index }', { ...ofSize, index: is.index }),
});

type Text = Pick<Corpus, 'train' | 'heldOut' | 'key' | 'tokenizer'>;

/** The batches of a text for one objective. */
interface ObjectiveBatches {
  /** Tokens of the text in a row of `seq`. */
  content(seq: number): number;
  batch(request: BatchRequest): BatchInputs;
  heldOut(batch: number, seq: number): BatchList<object>;
}

/**
 * Batches of `corpus` for any model: rows of whole text for causal ones, masked text for the others.
 * ```ts
 * for await (const event of train(options, { device, model, method, corpus: trainingCorpus(corpus) })) console.log(event.type);
 * ```
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong. A run throws BAD_TOKENIZER when
 * masked text is asked of a tokenizer without [MASK], [CLS] and [SEP], BAD_CORPUS when a text is too short for one row.
 */
export function trainingCorpus(corpus: Text, options: TrainingCorpusOptions = {}): TrainingCorpus {
  takesTrainingCorpus(corpus, options);

  const { evaluationBatches } = options;
  const limit = evaluationBatches === undefined ? {} : { evaluationBatches: evaluationBatches };
  const made = new Map<ObjectiveName, ObjectiveBatches>();
  const batchesFor = (objective: ObjectiveName): ObjectiveBatches => {
    const batches = made.get(objective) ?? makers[objective](corpus, limit);
    made.set(objective, batches);
    return batches;
  };
  const held = new Map<string, BatchList<BatchInputs>>();
  const heldOut = ({ batch, seq, objective }: BatchSize): BatchList<BatchInputs> => {
    const key = `${objective} ${batch} x ${seq}`;
    const isEmpty = corpus.heldOut.tokenCount === 0; // prepared with heldOut: 0
    const batches = held.get(key) ?? kept(isEmpty ? noBatches : batchesFor(objective).heldOut(batch, seq));
    held.set(key, batches);
    return batches;
  };
  return {
    key: corpus.key,
    vocabSize: corpus.tokenizer.vocabSize,
    shape(size) {
      takesShape(size);
      const content = batchesFor(size.objective).content(size.seq); // refuses a tokenizer that cannot make them
      checkHasRows(corpus.train, content, { isHeldOut: false });
      if (corpus.heldOut.tokenCount > 0) checkHasRows(corpus.heldOut, content, { isHeldOut: true });
      return batchShape(size);
    },
    batch(request) {
      takesBatch(request);
      return batchesFor(request.objective).batch(request);
    },
    heldOutCount(size) {
      takesShape(size);
      return heldOut(size).count;
    },
    heldOut(request) {
      takesHeldOut(request);
      const { index, ...size } = request;
      const { count, at } = heldOut(size);
      check(index < count, `TrainingCorpus.heldOut: there are ${count} held-out batches; got index ${index}`);
      return at(index);
    },
  };
}

const noBatches: BatchList<object> = { count: 0, at: () => ({}) };

/** Each batch is made once: an evaluation repeats those of the one before. */
function kept({ count, at }: BatchList<object>): BatchList<BatchInputs> {
  const made = new Map<number, BatchInputs>();
  return {
    count,
    at(index) {
      const batch = made.get(index) ?? { ...at(index) };
      made.set(index, batch);
      return batch;
    },
  };
}

type HeldOutLimit = { readonly evaluationBatches?: number };

const makers: Readonly<Record<ObjectiveName, (corpus: Text, limit: HeldOutLimit) => ObjectiveBatches>> = {
  causal: causalBatches,
  masked: maskedBatches,
};

function causalBatches(corpus: Text, limit: HeldOutLimit): ObjectiveBatches {
  return {
    content: (seq) => seq,
    batch: ({ accumulation, objective, ...request }) => ({
      ...causalBatch(corpus.train, { ...request, accumulation }),
    }),
    heldOut: (batch, seq) => heldOutCausal(corpus.heldOut, { batch, seq, ...limit }),
  };
}

function maskedBatches({ train, heldOut, tokenizer }: Text, limit: HeldOutLimit): ObjectiveBatches {
  const rules = {
    maskId: special(tokenizer.specials, 'mask'),
    clsId: special(tokenizer.specials, 'cls'),
    sepId: special(tokenizer.specials, 'sep'),
    vocabSize: tokenizer.vocabSize,
    specialIds: tokenizer.specialIds,
  };
  const targets = (batch: number, seq: number) => mlmCapacity(batch * seq, batch);
  return {
    content: (seq) => seq - 2,
    batch: ({ accumulation, objective, ...request }) => ({
      ...mlmBatch(train, {
        ...request,
        ...rules,
        accumulation,
        targets: targets(request.batch, request.seq),
      }),
    }),
    heldOut: (batch, seq) =>
      heldOutMlm(heldOut, {
        ...rules,
        ...limit,
        batch,
        seq,
        seed: heldOutSeed,
        targets: targets(batch, seq),
      }),
  };
}

function special(specials: SpecialTokens, name: 'mask' | 'cls' | 'sep'): number {
  const id = specials[name];
  if (id !== undefined) return id;
  throw new ApolloError(
    'BAD_TOKENIZER',
    `A masked language model (BERT) needs a tokenizer with a ${name} token, and this one has none. Use a WordPiece tokenizer, or a causal model (gpt).`,
  );
}

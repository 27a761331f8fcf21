/** A tiny BERT and masked text for it whose batches have different numbers of labels. */
import { arraySource, type Corpus } from '../../lib/data/index.js';
import { uniformNumber } from '../../lib/growth/index.js';
import { createModel, withDefaults } from '../../lib/models/index.js';
import { trainingCorpus } from '../../lib/train/text-corpus.js';

const vocabSize = 40;

export const bertModel = createModel(
  withDefaults({ kind: 'bert', layers: 4, hidden: 32, heads: 2, vocabSize, maxPositions: 16, dropout: 0.1 }),
);

const ids = Array.from({ length: 9000 }, (_, i) => 5 + Math.floor(uniformNumber(3, 1, i) * (vocabSize - 5)));

export const bertCorpus = trainingCorpus({
  train: arraySource(ids.slice(0, 8000), vocabSize),
  heldOut: arraySource(ids.slice(8000), vocabSize),
  key: 'ids',
  tokenizer: {
    specials: { mask: 4, pad: 0, cls: 2, sep: 3, unk: 1, eot: undefined },
    specialIds: [0, 1, 2, 3, 4],
    vocabSize,
  },
} as unknown as Corpus);

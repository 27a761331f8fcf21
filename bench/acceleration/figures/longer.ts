/**
 * Runs several times as long as those of the other figures, in which BERT has left its early plateau: where growing pays
 * and where it does not. Not in the paper, whose runs are all longer than these.
 */
import { comparedFigure } from '../compared.js';

const common = { method: 'apollo' as const, moments: 'reset' };
const fromThree = { ...common, units: [3, 6, 12], boundaries: { fractions: [0.1, 0.25] } };

const bert = {
  model: 'bert-base' as const,
  settings: {
    methods: ['scratch', 'apollo', 'from-3', 'from-3-none', 'stackbert'],
    variants: { apollo: common, 'from-3': fromThree, 'from-3-none': { ...fromThree, sampler: 'none' } },
  },
  paper: { apollo: { flops: 41.6, time: 41.1 }, stackbert: { flops: 29.5, time: 28.9 } },
};
// At the other scales the recipe is long enough as it is.
const nanoBert = { steps: 3000, batch: 64, seq: 16, evalEvery: 50 };

export const longerBert = comparedFigure({
  ...bert,
  name: 'longer-bert',
  title: 'Longer runs on short sequences, BERT',
  about:
    'Sequences of 16 tokens, with which a post-norm BERT leaves its early plateau soon, and eight times as many steps as in the other comparisons. Apollo begins with one layer, with three, and with three and no sampling; its optimizer state begins anew at a switch.',
  scales: { nano: { ...nanoBert, lr: 1e-3 } },
});

export const longerBertFaster = comparedFigure({
  ...bert,
  name: 'longer-bert-faster',
  title: 'Longer runs on short sequences at twice the learning rate, BERT',
  about: 'The runs of longer-bert with a peak learning rate twice as high.',
  scales: { nano: { ...nanoBert, lr: 2e-3 }, small: { lr: 1.2e-3 }, paper: { lr: 2e-4 } },
});

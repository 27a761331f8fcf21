/** The number of layers at the start: Apollo from one, three and six layers, on GPT. Not in the paper, which starts with one. */
import { comparedFigure } from '../compared.js';

/** Apollo with its optimizer state reset at a growth. */
export const withReset = { method: 'apollo' as const, moments: 'reset' };
/** The same from three layers on, with full depth from a quarter of the steps on as by default. */
export const fromThree = { ...withReset, stageLayers: [3, 6, 12], boundaries: { fractions: [0.1, 0.25] } };

export const starts = comparedFigure({
  name: 'starts',
  title: 'Layers at the start, GPT',
  about:
    'Apollo that starts with one layer (1, 3, 6, 12), with three (3, 6, 12; also without sampling) or with six (6, 12), full depth from a quarter of the steps on in all of them, its optimizer state reset at each growth. Four times as many steps as in the other comparisons, of half the sequences.',
  model: 'gpt-base',
  settings: {
    methods: ['scratch', 'from-1', 'from-3', 'from-3-none', 'from-6'],
    variants: {
      'from-1': withReset,
      'from-3': fromThree,
      'from-3-none': { ...fromThree, sampler: 'none' },
      'from-6': { ...withReset, stageLayers: [6, 12], boundaries: { fractions: [0.25] } },
    },
  },
  // At the other scales the recipe is long enough as it is.
  scales: { nano: { steps: 1600, batch: 8, evaluateEvery: 40 } },
  paper: { 'from-1': { flops: 47.9 } },
});

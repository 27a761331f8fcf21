/** Beyond the paper: what the field has learned since about growing, as settings of Apollo, on GPT. */
import { comparedFigure } from '../compared.js';

export const beyond = comparedFigure({
  name: 'beyond',
  title: 'Beyond the paper, GPT',
  about:
    'Apollo with its optimizer state copied, scaled or reset at each growth; with the learning rate rising again after a growth; with six stages in place of four (gradual); with stages twice as long (late) or half as long (early); without sampling (none); with stage boundaries chosen from the loss curve (curve); and with depths sampled by what they cost (cost).',
  model: 'gpt-base',
  settings: {
    methods: [
      'scratch',
      'apollo',
      'scaled',
      'reset',
      'reset+rewarm',
      'reset+gradual',
      'reset+late',
      'reset+early',
      'reset+none',
      'reset+curve',
      'reset+cost',
    ],
    variants: {
      scaled: { method: 'apollo', moments: 'copyScaled' },
      reset: { method: 'apollo', moments: 'reset' },
      'reset+rewarm': { method: 'apollo', moments: 'reset', rewarmSteps: 10 },
      'reset+gradual': {
        method: 'apollo',
        moments: 'reset',
        stageLayers: [1, 2, 3, 4, 6, 12],
        boundaries: { fractions: [0.03, 0.06, 0.1, 0.15, 0.25] },
      },
      'reset+late': { method: 'apollo', moments: 'reset', boundaries: { fractions: [0.1, 0.2, 0.5] } },
      'reset+early': { method: 'apollo', moments: 'reset', boundaries: { fractions: [0.025, 0.05, 0.125] } },
      'reset+none': { method: 'apollo', moments: 'reset', sampler: 'none' },
      'reset+curve': { method: 'apollo', moments: 'reset', curve: {} },
      'reset+cost': { method: 'apollo', moments: 'reset', sampler: 'cost' },
    },
  },
  paper: { apollo: { flops: 47.9 } },
});

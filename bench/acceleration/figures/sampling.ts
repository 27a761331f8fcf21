/** Fig. 7: the depth samplers; Fig. 9: how steep edge sampling is. Both on BERT. */
import { comparedFigure } from '../compared.js';

export const fig7 = comparedFigure({
  name: 'fig7',
  title: 'Figure 7, depth samplers',
  about:
    'Apollo with its sampler (LVPS), edge sampling (ES), uniform sampling (US), full depth always (FS) and without sampling. The paper gives numbers for LVPS and for none; of the others it shows the order LVPS > ES > US > FS.',
  model: 'bert-base',
  settings: {
    methods: ['scratch', 'LVPS', 'ES', 'US', 'FS', 'none'],
    variants: {
      LVPS: { method: 'apollo', sampler: 'lvps' },
      ES: { method: 'apollo', sampler: 'edge' },
      US: { method: 'apollo', sampler: 'uniform' },
      FS: { method: 'apollo', sampler: 'full' },
      none: { method: 'apollo', sampler: 'none' },
    },
  },
  paper: { LVPS: { flops: 41.6 }, none: { flops: 32.3 } },
});

const slopes = [5, 10, 20, 40];

export const fig9 = comparedFigure({
  name: 'fig9',
  title: 'Figure 9, steepness of edge sampling',
  about:
    'Edge sampling with several slopes of its sigmoid: the steeper, the more steps are at the smallest or the full depth. The released code uses 20.',
  model: 'bert-base',
  settings: {
    methods: ['scratch', ...slopes.map((slope) => `ES-${slope}`)],
    variants: Object.fromEntries(
      slopes.map((slope) => [`ES-${slope}`, { method: 'apollo', sampler: 'edge', samplerShape: { slope } }]),
    ),
  },
  paper: {},
});

/** Fig. 8: BERT-Large, 24 layers. */
import { comparedFigure } from '../compared.js';

export const fig8 = comparedFigure({
  name: 'fig8',
  title: 'Figure 8, BERT-Large',
  about:
    'Twice the depth: 24 layers, grown from 1 over 3, 6 and 12. The paper trains BERT-Large for 5 epochs and does not state its stages; these are the same fractions of the run as for BERT-Base, the first halved once more.',
  model: 'bert-large',
  settings: {
    methods: ['scratch', 'apollo', 'apollo-reset', 'stackbert'],
    variants: { 'apollo-reset': { method: 'apollo', moments: 'reset' } },
  },
  paper: { apollo: { flops: 55.1 } },
});

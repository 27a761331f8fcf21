/** Fig. 6: loss against FLOPs of all methods, for BERT and GPT. */
import { comparedFigure } from '../compared.js';

const methods = [
  'scratch',
  'apollo',
  'apollo-reset',
  'stackbert',
  'bert2bert',
  'ligo',
  'mslt',
  'gstack',
  'staged',
  'net2net',
  'unshare',
  'pld',
];
const variants = { 'apollo-reset': { method: 'apollo', moments: 'reset' } };

const about =
  'Every method against training from scratch: the same model, batches and learning rates. "apollo" copies AdamW\'s state at each growth, "apollo-reset" resets it.';

export const fig6Bert = comparedFigure({
  name: 'fig6-bert',
  title: 'Figure 6, BERT',
  about,
  model: 'bert-base',
  settings: { methods, variants },
  paper: {
    apollo: { flops: 41.6, time: 41.1 },
    stackbert: { flops: 29.5, time: 28.9 },
    bert2bert: { flops: 35.6, time: 35.2 },
    ligo: { flops: 33.5, time: 33.2 },
  },
});

export const fig6Gpt = comparedFigure({
  name: 'fig6-gpt',
  title: 'Figure 6, GPT',
  about,
  model: 'gpt-base',
  settings: { methods, variants },
  paper: {
    apollo: { flops: 47.9 },
    stackbert: { flops: 36.0 },
    bert2bert: { flops: 41.1 },
    ligo: { flops: 38.0 },
  },
});

/** Round (b): the best of round (a), three seeds. */
import { budgets, type Round, rates, run, runsOf, seeds } from './round.js';

/** The best of round (a), what `auto` chooses first, the paper's Apollo, and what its claims rest on. */
const armsB = {
  gpt: [
    'scratch',
    'stack-mid-calibrated',
    'stack-later-calibrated',
    'stack-early',
    'apollo',
    'stack-mid-kept',
    'interp-mid-kept',
    'stack-mid-lvps',
    'stack-mid',
  ],
  bert: ['scratch', 'stack-latest-gated', 'stack-mid-gated', 'apollo', 'stack-early-gated'],
} as const;

/** The best at 32 M as its first seed and round (e) have shown them: growth late in the run, best at 8 M, is behind there. */
const longB = {
  gpt: ['scratch', 'stack-early-calibrated', 'stack-mid-calibrated', 'stackbert', 'apollo'],
  bert: ['scratch', 'stack-mid-gated', 'stackbert', 'apollo'],
} as const;

export const roundB: Round = {
  name: 'b',
  title: 'The best of round (a) and Apollo as in the paper, three seeds, 8 and 32 M tokens',
  runs: [
    ...runsOf('gpt', budgets['8M'], armsB.gpt.slice(0, 2), seeds),
    ...runsOf('bert', budgets['8M'], armsB.bert.slice(0, 2), seeds),
    ...runsOf('gpt', budgets['32M'], armsB.gpt.slice(0, 2), seeds.slice(0, 1)),
    ...runsOf('bert', budgets['32M'], ['scratch', 'stack-mid-gated'], seeds.slice(0, 1)),
    ...rates.gpt.map((rate) => run('gpt', 'scratch', budgets['32M'], { rate })),
    ...rates.bert.map((rate) => run('bert', 'scratch', budgets['32M'], { rate, warmup: 1600 })),
    ...runsOf('gpt', budgets['8M'], armsB.gpt.slice(2), seeds),
    ...runsOf('bert', budgets['8M'], armsB.bert.slice(2), seeds),
    ...runsOf('gpt', budgets['32M'], longB.gpt, seeds),
    ...runsOf('bert', budgets['32M'], longB.bert, seeds),
    run('bert', 'stack-latest-gated', budgets['32M']),
  ],
  predictions: [
    {
      id: 'b1',
      text: 'GPT, 8 M tokens: what auto chooses ends no worse than tuned Scratch, with 28 % fewer FLOPs.',
      ...{ kind: 'gpt', steps: budgets['8M'], arm: 'stack-mid-calibrated', against: 'scratch', atMost: 0 },
    },
    {
      id: 'b2',
      text: 'BERT, 8 M tokens: what auto chooses ends at least 0.2 ahead of tuned Scratch, with half of the FLOPs.',
      ...{ kind: 'bert', steps: budgets['8M'], arm: 'stack-latest-gated', against: 'scratch', atMost: -0.2 },
    },
    {
      id: 'b3',
      text: 'GPT, 32 M tokens: the lead grows with the length, as in the pilot: at least 0.02 ahead of tuned Scratch.',
      ...{ kind: 'gpt', steps: budgets['32M'], arm: 'stack-mid-calibrated', against: 'scratch', atMost: -0.02 },
    },
    {
      id: 'b4',
      text: 'BERT, 32 M tokens: the plateau is a smaller part of the run; what auto chooses still ends no worse than tuned Scratch.',
      ...{ kind: 'bert', steps: budgets['32M'], arm: 'stack-latest-gated', against: 'scratch', atMost: 0 },
    },
    {
      id: 'b5',
      text: 'GPT, 8 M tokens: LVPS is worse than no sampling by at least 0.01 (the paper prefers it).',
      ...{ kind: 'gpt', steps: budgets['8M'], arm: 'stack-mid-lvps', against: 'stack-mid', atLeast: 0.01 },
    },
    {
      id: 'b6',
      text: 'GPT, 8 M tokens: interpolation ends no better than stacking, moments kept (the paper prefers interpolation); at least 0.',
      ...{ kind: 'gpt', steps: budgets['8M'], arm: 'interp-mid-kept', against: 'stack-mid-kept', atLeast: 0 },
    },
    {
      id: 'b7',
      text: 'GPT, 32 M tokens: Apollo as in the paper ends at least 0.02 behind tuned Scratch over the same tokens.',
      ...{ kind: 'gpt', steps: budgets['32M'], arm: 'apollo', against: 'scratch', atLeast: 0.02 },
    },
  ],
};

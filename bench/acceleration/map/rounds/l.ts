/** Round (l): Llama. */
import { budgets, type Round, rates, run, runsOf, seeds } from './round.js';

export const roundL: Round = {
  name: 'l',
  title: 'Llama: Scratch, what auto chooses and Apollo as in the paper, three seeds, 8 M tokens',
  runs: [
    ...runsOf('llama', budgets['8M'], ['scratch', 'stack-mid-calibrated', 'apollo'], seeds),
    ...rates.llama.map((rate) => run('llama', 'scratch', budgets['8M'], { rate })),
    run('llama', 'stack-early', budgets['8M']),
    run('llama', 'scratch', budgets['8M'] / 2),
  ],
  predictions: [
    {
      id: 'l1',
      text: 'Llama, 8 M tokens: what auto chooses ends no worse than tuned Scratch, with 28 % fewer FLOPs, as for GPT.',
      ...{ kind: 'llama', steps: budgets['8M'], arm: 'stack-mid-calibrated', against: 'scratch', atMost: 0 },
    },
    {
      id: 'l2',
      text: 'Llama, 8 M tokens: Apollo as in the paper ends at least 0.05 behind tuned Scratch, as for GPT.',
      ...{ kind: 'llama', steps: budgets['8M'], arm: 'apollo', against: 'scratch', atLeast: 0.05 },
    },
    {
      id: 'l3',
      text: 'Llama, 8 M tokens: early stacking ends at least 0.01 ahead of tuned Scratch with 87 % of its FLOPs, as for GPT.',
      ...{ kind: 'llama', steps: budgets['8M'], arm: 'stack-early', against: 'scratch', atMost: -0.01 },
    },
  ],
};

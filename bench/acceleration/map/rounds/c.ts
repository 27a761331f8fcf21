/**
 * Round (c): Scratch, Apollo as in the paper and what `auto` chooses, with AdamW (round b) and with Muon, at length. Since round
 * (e) `auto` grows a GPT of this length at 5/10/25 %; the first runs with Muon are of growth at 10/25/50 %, its choice before.
 */
import { budgets, muon, type Round, run, runsOf, seeds } from './round.js';

const arms = {
  gpt: ['scratch', 'stack-early-calibrated', 'apollo'],
  bert: ['scratch', 'stack-mid-gated', 'apollo'],
} as const;
const two = seeds.slice(0, 2);
const first = seeds.slice(0, 1);

export const roundC: Round = {
  name: 'c',
  title: 'Scratch, what auto chooses and Apollo as in the paper, with AdamW and with Muon, 32 and 128 M tokens',
  runs: [
    ...runsOf('gpt', budgets['32M'], ['scratch', 'stack-mid-calibrated'], first, muon),
    ...runsOf('bert', budgets['32M'], arms.bert.slice(0, 2), first, muon),
    run('gpt', 'stack-mid-calibrated', budgets['32M'] / 2, muon),
    run('gpt', 'scratch', budgets['32M'] / 2, muon),
    ...runsOf('gpt', budgets['32M'], arms.gpt.slice(0, 2), seeds, muon),
    ...runsOf('bert', budgets['32M'], arms.bert.slice(0, 2), seeds, muon),
    ...runsOf('bert', budgets['32M'], arms.bert, seeds),
    ...runsOf('gpt', budgets['128M'], arms.gpt.slice(0, 2), first),
    ...runsOf('bert', budgets['128M'], arms.bert.slice(0, 2), first),
    ...runsOf('gpt', budgets['32M'], arms.gpt.slice(2), seeds, muon),
    ...runsOf('bert', budgets['32M'], arms.bert.slice(2), seeds, muon),
    ...runsOf('gpt', budgets['128M'], arms.gpt, two),
    ...runsOf('bert', budgets['128M'], arms.bert, two),
    ...runsOf('gpt', budgets['128M'], arms.gpt, two, muon),
    ...runsOf('bert', budgets['128M'], arms.bert, two, muon),
  ],
  predictions: [
    {
      id: 'c1',
      text: 'GPT, 32 M tokens: Scratch with Muon ends at least 0.05 ahead of tuned Scratch with AdamW.',
      ...{ kind: 'gpt', steps: budgets['32M'], arm: 'scratch', against: 'scratch', atMost: -0.05, ...muon },
    },
    {
      id: 'c2',
      text: 'GPT, 32 M tokens: what auto chooses, with Muon, ends at most 0.03 behind Scratch with Muon (0.07 at 8 M, one seed): the loss by growth shrinks with the length.',
      ...{ kind: 'gpt', steps: budgets['32M'], arm: 'stack-mid-calibrated', against: 'scratch', atMost: 0.03 },
      ...{ ...muon, againstOptimizer: 'muon' },
    },
    {
      id: 'c3',
      text: 'BERT, 32 M tokens: Scratch with Muon ends at least 0.1 ahead of tuned Scratch with AdamW (0.75 at 8 M, one seed): the plateau is a smaller part of the run.',
      ...{ kind: 'bert', steps: budgets['32M'], arm: 'scratch', against: 'scratch', atMost: -0.1, ...muon },
    },
    {
      id: 'c4',
      text: 'BERT, 32 M tokens: what auto chooses, with Muon, ends at most 0.03 behind Scratch with Muon.',
      ...{ kind: 'bert', steps: budgets['32M'], arm: 'stack-mid-gated', against: 'scratch', atMost: 0.03 },
      ...{ ...muon, againstOptimizer: 'muon' },
    },
    {
      id: 'c5',
      text: 'GPT: what auto chooses, with Muon, over 16 M tokens ends no worse than tuned Scratch with AdamW over 32 M, with 64 % fewer FLOPs.',
      ...{ kind: 'gpt', steps: budgets['32M'] / 2, arm: 'stack-mid-calibrated', against: 'scratch', atMost: 0 },
      ...{ ...muon, againstSteps: budgets['32M'] },
    },
    {
      id: 'c6',
      text: 'GPT, 128 M tokens: what auto chooses ends no worse than tuned Scratch, both with AdamW.',
      ...{ kind: 'gpt', steps: budgets['128M'], arm: 'stack-early-calibrated', against: 'scratch', atMost: 0 },
    },
    {
      id: 'c7',
      text: 'BERT, 128 M tokens: what auto chooses ends at most 0.02 behind tuned Scratch, both with AdamW.',
      ...{ kind: 'bert', steps: budgets['128M'], arm: 'stack-mid-gated', against: 'scratch', atMost: 0.02 },
    },
  ],
};

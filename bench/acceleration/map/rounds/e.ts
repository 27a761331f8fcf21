/**
 * Round (e): when to grow in a longer run. Declared after seed 42 of `auto` at 32 M tokens in round (b): GPT ended 0.046
 * behind tuned Scratch, BERT 0.145 ahead.
 */
import { budgets, type Round, run, runsOf, seeds } from './round.js';

const [first, ...others] = seeds;
const early = ['stack-early-calibrated'] as const;
const threeQuarters = (budgets['32M'] / 4) * 3;

export const roundE: Round = {
  name: 'e',
  title: 'When to grow in a longer run: GPT earlier than auto, BERT later',
  runs: [
    ...runsOf('gpt', budgets['32M'], early, [first as number]),
    ...runsOf('gpt', budgets['32M'], ['stack-earliest-calibrated'], [first as number]),
    run('bert', 'stack-mid-gated', threeQuarters),
    run('bert', 'stack-later-gated', budgets['32M']),
    ...runsOf('gpt', budgets['8M'], early, seeds),
    ...runsOf('gpt', budgets['32M'], early, others),
    ...others.map((seed) => run('bert', 'stack-mid-gated', threeQuarters, { seed })),
  ],
  predictions: [
    {
      id: 'e1',
      text: 'GPT, 32 M tokens: growth at 5/10/25 % ends at least 0.03 ahead of growth at 10/25/50 %.',
      ...{ kind: 'gpt', steps: budgets['32M'], arm: 'stack-early-calibrated', against: 'stack-mid-calibrated' },
      atMost: -0.03,
    },
    {
      id: 'e2',
      text: 'GPT, 32 M tokens: growth at 5/10/25 % ends at least 0.01 ahead of tuned Scratch, with 13 % fewer FLOPs.',
      ...{ kind: 'gpt', steps: budgets['32M'], arm: 'stack-early-calibrated', against: 'scratch', atMost: -0.01 },
    },
    {
      id: 'e3',
      text: 'GPT, 32 M tokens: growth at the tokens of auto in a run of 8 M (2.5/6.25/12.5 %) ends within 0.02 of tuned Scratch: growth saves an amount of FLOPs at the beginning, not a share of the run.',
      ...{ kind: 'gpt', steps: budgets['32M'], arm: 'stack-earliest-calibrated', against: 'scratch' },
      ...{ atMost: 0.02, atLeast: -0.02 },
    },
    {
      id: 'e4',
      text: 'GPT, 8 M tokens: growth at 5/10/25 %, calibrated, ends at least 0.02 ahead of tuned Scratch (not calibrated: 0.041, one seed).',
      ...{ kind: 'gpt', steps: budgets['8M'], arm: 'stack-early-calibrated', against: 'scratch', atMost: -0.02 },
    },
    {
      id: 'e5',
      text: 'BERT: auto over 24.6 M tokens ends no worse than tuned Scratch over 32.8 M, with 45 % fewer FLOPs.',
      ...{ kind: 'bert', steps: threeQuarters, arm: 'stack-mid-gated', against: 'scratch', atMost: 0 },
      againstSteps: budgets['32M'],
    },
    {
      id: 'e6',
      text: 'BERT, 32 M tokens: growth at 20/45/75 % behind gates ends no worse than tuned Scratch, with 43 % fewer FLOPs.',
      ...{ kind: 'bert', steps: budgets['32M'], arm: 'stack-later-gated', against: 'scratch', atMost: 0 },
    },
  ],
};

/**
 * Round (h): BERT over 128 M tokens, where growth without gates ended below what `auto` chooses in the first seed of round (f).
 * Second seeds, and growth without gates at the boundaries of `auto`.
 */
import { budgets, type Round, run, runsOf } from './round.js';

const bert = { kind: 'bert', steps: budgets['128M'] } as const;

export const roundH: Round = {
  name: 'h',
  title: 'BERT over 128 M tokens: growth without gates, second seeds and the boundaries of auto',
  runs: [
    ...runsOf('bert', budgets['128M'], ['apollo-none', 'stack-mid-gated'], [42]),
    run('bert', 'interp-mid-kept', budgets['128M']),
    ...runsOf('bert', budgets['128M'], ['apollo-none', 'stack-mid-gated', 'scratch', 'stackbert'], [43]),
  ],
  predictions: [
    {
      id: 'h1',
      text: 'BERT, 128 M tokens: Apollo without sampling ends at least 0.09 below what auto chooses, mean of seeds 42 (0.118, known) and 43.',
      ...{ ...bert, arm: 'apollo-none', against: 'stack-mid-gated', atMost: -0.09 },
    },
    {
      id: 'h2',
      text: 'BERT, 128 M tokens: at the boundaries of auto, interpolation without gates ends at least 0.03 below stacking behind gates.',
      ...{ ...bert, arm: 'interp-mid-kept', against: 'stack-mid-gated', atMost: -0.03 },
    },
  ],
};

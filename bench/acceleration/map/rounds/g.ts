/**
 * Round (g): the rule of `auto` for longer runs where round (e) has not measured it: Llama, Muon, and 128 M tokens. And Scratch
 * at the rate that was best for its first seed in round (a), with all seeds, and at half of its rate over 128 M tokens.
 */
import { budgets, muon, type Round, run, runsOf, seeds } from './round.js';

const first = [42];

export const roundG: Round = {
  name: 'g',
  title:
    'What auto chooses in longer runs (with Muon, for Llama, over 128 M tokens), and frontiers and rates of Scratch',
  runs: [
    run('gpt', 'stack-early-calibrated', budgets['32M'], muon),
    ...runsOf('llama', budgets['32M'], ['scratch', 'stack-early-calibrated'], first),
    ...seeds.map((seed) => run('gpt', 'scratch', budgets['8M'], { rate: 6e-3, seed })),
    ...seeds.map((seed) => run('gpt', 'stack-mid-calibrated', budgets['8M'], { rate: 6e-3, seed })),
    // The frontiers of the other seeds between 8 and 32 M.
    ...runsOf('gpt', budgets['32M'] / 2, ['scratch'], seeds),
    ...runsOf('bert', budgets['32M'] / 2, ['scratch'], seeds),
    ...runsOf('gpt', budgets['128M'], ['scratch', 'stack-early-calibrated'], first),
    // Frontiers between 32 and 128 M.
    ...(['gpt', 'bert'] as const).flatMap((kind) => runsOf(kind, budgets['128M'] / 2, ['scratch'], seeds.slice(0, 2))),
    // Longer runs want no higher rate: at 32 M twice the rate is worse for both.
    run('gpt', 'scratch', budgets['128M'], { rate: 2e-3 }),
    run('bert', 'scratch', budgets['128M'], { rate: 5e-4, warmup: 1600 }),
  ],
  predictions: [
    {
      id: 'g1',
      text: 'GPT, 32 M tokens: growth at 5/10/25 % with Muon ends at most 0.04 behind Scratch with Muon (growth at 10/25/50 %: 0.064).',
      ...{ kind: 'gpt', steps: budgets['32M'], arm: 'stack-early-calibrated', against: 'scratch', atMost: 0.04 },
      ...{ ...muon, againstOptimizer: 'muon' },
    },
    {
      id: 'g2',
      text: 'Llama, 32 M tokens: growth at 5/10/25 % ends within 0.03 of Scratch, as for GPT.',
      ...{ kind: 'llama', steps: budgets['32M'], arm: 'stack-early-calibrated', against: 'scratch' },
      ...{ atMost: 0.03, atLeast: -0.03 },
    },
    {
      id: 'g3',
      text: 'GPT, 128 M tokens: growth at 5/10/25 % ends 0.005 to 0.03 behind Scratch: it saves an amount of FLOPs, not a share.',
      ...{ kind: 'gpt', steps: budgets['128M'], arm: 'stack-early-calibrated', against: 'scratch' },
      ...{ atMost: 0.03, atLeast: 0.005 },
    },
    {
      id: 'g4',
      text: 'GPT, 8 M tokens: what auto chooses ends at most 0.01 behind Scratch, both at the better of 4e-3 and 6e-3 over three seeds.',
      ...{ kind: 'gpt', steps: budgets['8M'], arm: 'stack-mid-calibrated', against: 'scratch', atMost: 0.01 },
    },
  ],
};

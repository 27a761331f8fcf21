/**
 * The rounds of the map: which runs each makes, in the order in which they are made, and what was predicted before the
 * first of them ran. A prediction names the comparison that decides it.
 */
import type { ArmName } from './arms.js';
import type { MapRun, ModelKind } from './record.js';

/** Steps of the four budgets of `nano`: 2, 8, 33 and 131 M tokens, 2.8 to 178 per parameter. */
export const budgets = { '2M': 2000, '8M': 8000, '32M': 32_000, '128M': 128_000 } as const;

/** Rates that Scratch is tuned over, by kind of model. */
export const rates = { gpt: [2e-3, 4e-3, 8e-3], bert: [5e-4, 1e-3, 2e-3], llama: [2e-3, 4e-3, 6e-3] } as const;
/** The rate of all other arms, unless tuning says otherwise for the round. */
export const baseRate = { gpt: 4e-3, bert: 1e-3, llama: 4e-3 } as const;

export interface Prediction {
  readonly id: string;
  readonly text: string;
  readonly kind: ModelKind;
  readonly steps: number;
  /** The loss of `arm` minus that of `against` (each at its best rate and schedule, mean of paired seeds). */
  readonly arm: ArmName;
  readonly against: ArmName;
  /** Optimizers of both; default: AdamW. */
  readonly optimizer?: MapRun['optimizer'];
  readonly againstOptimizer?: MapRun['optimizer'];
  /** Steps of `against`; default: the same. */
  readonly againstSteps?: number;
  /** Kept when the difference is at most `atMost`, respectively at least `atLeast`. */
  readonly atMost?: number;
  readonly atLeast?: number;
}

export interface Round {
  readonly name: string;
  readonly title: string;
  readonly runs: readonly MapRun[];
  readonly predictions: readonly Prediction[];
}

const run = (
  kind: ModelKind,
  arm: ArmName,
  steps: number,
  options: Partial<Pick<MapRun, 'rate' | 'schedule' | 'optimizer' | 'seed' | 'warmup'>> = {},
): MapRun => ({ kind, arm, steps, rate: baseRate[kind], schedule: 'wsd', optimizer: 'adamw', seed: 42, ...options });

/** Scratch over its rates and both schedules. */
function tuning(kind: ModelKind, steps: number, seeds: readonly number[] = [42]): MapRun[] {
  return seeds.flatMap((seed) =>
    (['wsd', 'cosine'] as const).flatMap((schedule) =>
      rates[kind].map((rate) => run(kind, 'scratch', steps, { rate, schedule, seed })),
    ),
  );
}

// Other lengths give the frontiers on which equal FLOPs and equal loss are read.
const roundA: Round = {
  name: 'a',
  title: 'Every method and the ablations, one seed, 8 M tokens',
  runs: [
    run('gpt', 'scratch', budgets['8M']),
    run('gpt', 'stack-mid', budgets['8M']),
    run('bert', 'scratch', budgets['8M']),
    run('bert', 'stack-early', budgets['8M']),
    run('gpt', 'stack-late', budgets['8M']),
    run('gpt', 'stack-mid-kept', budgets['8M']),
    run('gpt', 'apollo', budgets['8M']),
    run('gpt', 'interp-mid', budgets['8M']),
    run('gpt', 'stack-early', budgets['8M']),
    run('gpt', 'scratch', budgets['8M'] / 2),
    run('gpt', 'stack-late-calibrated', budgets['8M']),
    run('bert', 'scratch', budgets['8M'], { rate: 5e-4 }),
    run('bert', 'scratch', budgets['8M'], { warmup: 1600 }),
    run('gpt', 'stack-mid-calibrated-rewarm', budgets['8M']),
    run('bert', 'stack-mid-gated', budgets['8M']),
    run('gpt', 'stack-later-calibrated', budgets['8M']),
    run('bert', 'stack-late-gated', budgets['8M']),
    run('bert', 'scratch', budgets['8M'], { schedule: 'cosine' }),
    run('bert', 'scratch', budgets['8M'], { rate: 2e-3, warmup: 1600 }),
    run('gpt', 'scratch', 2 * budgets['8M']),
    run('bert', 'scratch', 2 * budgets['8M'], { warmup: 1600 }),
    run('gpt', 'scratch', budgets['2M']),
    run('bert', 'stack-later-gated', budgets['8M']),
    run('gpt', 'stack-later-calibrated', 1.25 * budgets['8M']),
    run('bert', 'stack-latest-gated', budgets['8M']),
    run('gpt', 'stack-latest-calibrated', budgets['8M']),
    run('gpt', 'five-stages-calibrated', budgets['8M']),
    run('bert', 'scratch', budgets['8M'], { rate: 5e-4, warmup: 1600 }),
    run('bert', 'stack-later-gated', 0.75 * budgets['8M']),
    run('gpt', 'stack-later-calibrated', budgets['8M'], { rate: 6e-3 }),
    run('gpt', 'scratch', budgets['8M'], { rate: 6e-3 }),
    run('gpt', 'stack-late-kept', budgets['8M']),
    run('gpt', 'interp-mid-kept', budgets['8M']),
    run('gpt', 'stack-early-kept', budgets['8M']),
    run('gpt', 'stack-later-kept', budgets['8M']),
    run('bert', 'stack-early-kept', budgets['8M']),
    run('bert', 'scratch', budgets['8M'] / 2),
    run('bert', 'prores', budgets['8M']),
    run('bert', 'stack-early-gated', budgets['8M']),
    run('gpt', 'prores', budgets['8M']),
    run('gpt', 'midas', budgets['8M']),
    run('bert', 'stackbert', budgets['8M']),
    run('gpt', 'stack-early', 1.25 * budgets['8M']),
    run('bert', 'stack-early', 1.25 * budgets['8M']),
    run('gpt', 'scratch', budgets['8M'], { rate: 8e-3 }),
    run('gpt', 'stack-mid', budgets['8M'], { rate: 8e-3 }),
    run('bert', 'scratch', budgets['8M'], { rate: 2e-3 }),
    run('bert', 'stack-early', budgets['8M'], { rate: 2e-3 }),
    run('gpt', 'stack-mid-calibrated', budgets['8M']),
    run('gpt', 'stack-mid-gated', budgets['8M']),
    run('gpt', 'stack-mid-copy', budgets['8M']),
    run('gpt', 'stack-mid-rewarm', budgets['8M']),
    run('gpt', 'stack-mid-lvps', budgets['8M']),
    run('bert', 'stack-mid', budgets['8M']),
    run('bert', 'apollo', budgets['8M']),
    run('bert', 'stack-mid-kept', budgets['8M']),
    run('bert', 'interp-early', budgets['8M']),
    run('gpt', 'apollo-reset', budgets['8M']),
    run('gpt', 'interp-early', budgets['8M']),
    run('gpt', 'stack-3-mid', budgets['8M']),
    run('gpt', 'stack-6-early', budgets['8M']),
    run('gpt', 'gstack-4', budgets['8M']),
    run('gpt', 'one-hop', budgets['8M']),
    run('gpt', 'stackbert', budgets['8M']),
    ...(['lidas', 'raptr', 'layerdrop', 'loop'] as const).map((arm) => run('gpt', arm, budgets['8M'])),
    ...(['midas', 'lidas', 'raptr', 'layerdrop', 'loop'] as const).map((arm) => run('bert', arm, budgets['8M'])),
    ...tuning('gpt', budgets['8M']),
    ...tuning('bert', budgets['8M']),
    run('gpt', 'stack-mid-rewind', budgets['8M'], { schedule: 'cosine' }),
    run('gpt', 'stack-mid', budgets['8M'], { schedule: 'cosine' }),
    run('bert', 'stack-mid-rewarm', budgets['8M']),
    run('bert', 'stack-3-mid', budgets['8M']),
    run('bert', 'stack-6-early', budgets['8M']),
    run('bert', 'gstack-4', budgets['8M']),
    ...(['scratch-6', 'mslt', 'unshare', 'pld', 'staged'] as const).flatMap((arm) => [
      run('gpt', arm, budgets['8M']),
      run('bert', arm, budgets['8M']),
    ]),
  ],
  predictions: [
    {
      id: 'a1',
      text: 'GPT: growth from one layer by stacking at 10/25/50 % ends no worse than tuned Scratch over the same tokens, with 28 % fewer FLOPs.',
      ...{ kind: 'gpt', steps: budgets['8M'], arm: 'stack-mid', against: 'scratch', atMost: 0 },
    },
    {
      id: 'a2',
      text: 'GPT: growing later (15/35/65 %) costs 0.02 to 0.05 against 10/25/50 %; at most 0.05.',
      ...{ kind: 'gpt', steps: budgets['8M'], arm: 'stack-late', against: 'stack-mid', atMost: 0.05 },
    },
    {
      id: 'a3',
      text: 'GPT: stacking beats interpolation by at least 0.01 at the same boundaries (the paper prefers interpolation).',
      ...{ kind: 'gpt', steps: budgets['8M'], arm: 'stack-mid', against: 'interp-mid', atMost: -0.01 },
    },
    {
      id: 'a4',
      text: 'GPT: LVPS is worse than no sampling by at least 0.01 at the same boundaries.',
      ...{ kind: 'gpt', steps: budgets['8M'], arm: 'stack-mid-lvps', against: 'stack-mid', atLeast: 0.01 },
    },
    {
      id: 'a5',
      text: 'GPT: keeping the old moments and zeroing the new ones beats resetting all of them.',
      ...{ kind: 'gpt', steps: budgets['8M'], arm: 'stack-mid-kept', against: 'stack-mid', atMost: 0 },
    },
    {
      id: 'a6',
      text: 'BERT (post-norm): early growth (5/10/25 %) ends no worse than tuned Scratch; growth at 10/25/50 % is the cause of the pilot that ended 0.087 behind.',
      ...{ kind: 'bert', steps: budgets['8M'], arm: 'stack-early', against: 'scratch', atMost: 0 },
    },
    {
      id: 'a7',
      text: 'BERT: growth at 10/25/50 % ends at least 0.03 behind tuned Scratch, as in the pilot.',
      ...{ kind: 'bert', steps: budgets['8M'], arm: 'stack-mid', against: 'scratch', atLeast: 0.03 },
    },
    {
      id: 'a8',
      text: "GPT: MIDAS (75 % of the layers' FLOPs) ends at most 0.02 behind stacking at 10/25/50 %.",
      ...{ kind: 'gpt', steps: budgets['8M'], arm: 'midas', against: 'stack-mid', atMost: 0.02 },
    },
    {
      id: 'a9',
      text: 'GPT: ProRes ends no worse than tuned Scratch (the papers and the pilot: 0.01 to 0.05 ahead).',
      ...{ kind: 'gpt', steps: budgets['8M'], arm: 'prores', against: 'scratch', atMost: 0 },
    },
    {
      id: 'a10',
      text: 'BERT: ProRes with the square ends at least 0.05 ahead of tuned Scratch, so a part of what growth saves for BERT is the repair of a weak baseline.',
      ...{ kind: 'bert', steps: budgets['8M'], arm: 'prores', against: 'scratch', atMost: -0.05 },
    },
    {
      id: 'a11',
      text: 'BERT: gates on new layers make early stacking better by at least 0.02.',
      ...{ kind: 'bert', steps: budgets['8M'], arm: 'stack-early-gated', against: 'stack-early', atMost: -0.02 },
    },
    {
      id: 'a12',
      text: 'GPT: calibration at growth changes the end of stacking by less than 0.005; at most 0.005 worse.',
      ...{ kind: 'gpt', steps: budgets['8M'], arm: 'stack-mid-calibrated', against: 'stack-mid-kept', atMost: 0.005 },
    },
    {
      id: 'a13',
      text: 'GPT: RaPTr ends at least 0.02 behind tuned Scratch.',
      ...{ kind: 'gpt', steps: budgets['8M'], arm: 'raptr', against: 'scratch', atLeast: 0.02 },
    },
    {
      id: 'a14',
      text: 'GPT: annealed layer dropout of 0.4 ends at most 0.03 behind tuned Scratch.',
      ...{ kind: 'gpt', steps: budgets['8M'], arm: 'layerdrop', against: 'scratch', atMost: 0.03 },
    },
    {
      id: 'a15',
      text: 'GPT: LIDAS ends within 0.01 of MIDAS or ahead.',
      ...{ kind: 'gpt', steps: budgets['8M'], arm: 'lidas', against: 'midas', atMost: 0.01 },
    },
    {
      id: 'a16',
      text: 'GPT: loop, then untie ends at most 0.01 behind MIDAS.',
      ...{ kind: 'gpt', steps: budgets['8M'], arm: 'loop', against: 'midas', atMost: 0.01 },
    },
    {
      id: 'a17',
      text: 'GPT: one hop from one layer at 25 % ends at least 0.02 behind three hops at 10/25/50 %.',
      ...{ kind: 'gpt', steps: budgets['8M'], arm: 'one-hop', against: 'stack-mid', atLeast: 0.02 },
    },
    {
      id: 'a18',
      text: 'GPT: keeping the old moments makes late stacking (15/35/65 %) better by at least 0.01.',
      ...{ kind: 'gpt', steps: budgets['8M'], arm: 'stack-late-kept', against: 'stack-late', atMost: -0.01 },
    },
    {
      id: 'a19',
      text: 'GPT: late stacking with kept moments ends at most 0.015 behind tuned Scratch, with 37 % fewer FLOPs.',
      ...{ kind: 'gpt', steps: budgets['8M'], arm: 'stack-late-kept', against: 'scratch', atMost: 0.015 },
    },
    {
      id: 'a20',
      text: 'GPT: with kept moments interpolation and stacking at 10/25/50 % differ by less than 0.02; interpolation at most 0.02 behind.',
      ...{ kind: 'gpt', steps: budgets['8M'], arm: 'interp-mid-kept', against: 'stack-mid-kept', atMost: 0.02 },
    },
    {
      id: 'a21',
      text: 'BERT: keeping the old moments makes early stacking better by at least 0.02.',
      ...{ kind: 'bert', steps: budgets['8M'], arm: 'stack-early-kept', against: 'stack-early', atMost: -0.02 },
    },
    {
      id: 'a22',
      text: 'GPT: late stacking (15/35/65 %) with kept moments and calibration ends no worse than tuned Scratch, with 37 % fewer FLOPs.',
      ...{ kind: 'gpt', steps: budgets['8M'], arm: 'stack-late-calibrated', against: 'scratch', atMost: 0 },
    },
    {
      id: 'a23',
      text: 'GPT: still later (20/45/75 %) it ends at most 0.02 behind tuned Scratch.',
      ...{ kind: 'gpt', steps: budgets['8M'], arm: 'stack-later-calibrated', against: 'scratch', atMost: 0.02 },
    },
    {
      id: 'a24',
      text: 'GPT: warming up again makes calibrated stacking better by at least 0.005.',
      ...{ kind: 'gpt', steps: budgets['8M'], arm: 'stack-mid-calibrated-rewarm' },
      ...{ against: 'stack-mid-calibrated', atMost: -0.005 },
    },
    {
      id: 'a25',
      text: 'BERT: with gates, growth at 10/25/50 % ends at most 0.1 behind growth at 5/10/25 %.',
      ...{ kind: 'bert', steps: budgets['8M'], arm: 'stack-mid-gated', against: 'stack-early-gated', atMost: 0.1 },
    },
    {
      id: 'a26',
      text: 'BERT: with gates, growth at 15/35/65 % leaves the plateau: it ends at least 0.5 ahead of StackBERT.',
      ...{ kind: 'bert', steps: budgets['8M'], arm: 'stack-late-gated', against: 'stackbert', atMost: -0.5 },
    },
    {
      id: 'a27',
      text: 'BERT: with gates, growth at 20/45/75 % ends no worse than tuned Scratch, with 45 % fewer FLOPs.',
      ...{ kind: 'bert', steps: budgets['8M'], arm: 'stack-later-gated', against: 'scratch', atMost: 0 },
    },
    {
      id: 'a28',
      text: 'BERT: with gates, growth at 25/55/85 % ends at most 0.05 behind tuned Scratch.',
      ...{ kind: 'bert', steps: budgets['8M'], arm: 'stack-latest-gated', against: 'scratch', atMost: 0.05 },
    },
    {
      id: 'a29',
      text: 'GPT: calibrated growth at 25/55/85 % ends 0.05 to 0.1 behind tuned Scratch; at least 0.05.',
      ...{ kind: 'gpt', steps: budgets['8M'], arm: 'stack-latest-calibrated', against: 'scratch', atLeast: 0.05 },
    },
    {
      id: 'a30',
      text: 'GPT: five stages (1-2-4-8-12) end no worse than four at 15/35/65 %, both calibrated.',
      ...{ kind: 'gpt', steps: budgets['8M'], arm: 'five-stages-calibrated' },
      ...{ against: 'stack-late-calibrated', atMost: 0 },
    },
  ],
};

const seeds = [42, 43, 44];

/** The rates to which Scratch was tuned in round (a); at 32 M tokens it is tuned again. */
const tunedWarmup = { gpt: {}, bert: { warmup: 1600 }, llama: {} } as const;

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

const ofB = (kind: ModelKind, steps: number, arms: readonly ArmName[], seeds: readonly number[]): MapRun[] =>
  seeds.flatMap((seed) =>
    arms.map((arm) => run(kind, arm, steps, { seed, ...(arm === 'scratch' && tunedWarmup[kind]) })),
  );

const roundB: Round = {
  name: 'b',
  title: 'The best of round (a) and Apollo as in the paper, three seeds, 8 and 32 M tokens',
  runs: [
    ...ofB('gpt', budgets['8M'], armsB.gpt.slice(0, 2), seeds),
    ...ofB('bert', budgets['8M'], armsB.bert.slice(0, 2), seeds),
    ...ofB('gpt', budgets['32M'], armsB.gpt.slice(0, 2), seeds.slice(0, 1)),
    ...ofB('bert', budgets['32M'], armsB.bert.slice(0, 2), seeds.slice(0, 1)),
    ...rates.gpt.map((rate) => run('gpt', 'scratch', budgets['32M'], { rate })),
    ...rates.bert.map((rate) => run('bert', 'scratch', budgets['32M'], { rate, warmup: 1600 })),
    ...ofB('gpt', budgets['8M'], armsB.gpt.slice(2), seeds),
    ...ofB('bert', budgets['8M'], armsB.bert.slice(2), seeds),
    ...ofB('gpt', budgets['32M'], armsB.gpt.slice(0, 5), seeds),
    ...ofB('bert', budgets['32M'], armsB.bert.slice(0, 4), seeds),
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

const roundL: Round = {
  name: 'l',
  title: 'Llama: Scratch, what auto chooses and Apollo as in the paper, three seeds, 8 M tokens',
  runs: [
    ...ofB('llama', budgets['8M'], ['scratch', 'stack-mid-calibrated', 'apollo'], seeds),
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

/** Round (c) compares optimizers at 32 M tokens; this finds out first whether growth and Muon add up. */
const muon = { optimizer: 'muon' } as const;
/** With Muon, what `auto` chooses over half of the tokens costs 36 % of the FLOPs of Scratch over all of them. */
const halves = (seed: number): MapRun[] => [
  run('gpt', 'stack-mid-calibrated', budgets['8M'] / 2, { ...muon, seed }),
  run('bert', 'stack-mid-gated', budgets['8M'] / 2, { ...muon, seed }),
  run('gpt', 'stack-late-calibrated', budgets['8M'] / 2, { ...muon, seed }),
];
const roundM: Round = {
  name: 'm',
  title: 'Muon, 4 and 8 M tokens',
  runs: [
    run('gpt', 'scratch', budgets['8M'], muon),
    run('gpt', 'stack-mid-calibrated', budgets['8M'], muon),
    run('bert', 'scratch', budgets['8M'], { ...muon, ...tunedWarmup.bert }),
    run('bert', 'stack-mid-gated', budgets['8M'], muon),
    run('bert', 'stack-latest-gated', budgets['8M'], muon),
    run('gpt', 'scratch', budgets['8M'], { ...muon, rate: 8e-3 }),
    run('bert', 'scratch', budgets['8M'], { ...muon, rate: 2e-3, ...tunedWarmup.bert }),
    ...halves(42),
    run('gpt', 'scratch', budgets['8M'] / 2, muon),
    ...halves(43),
    ...halves(44),
    run('gpt', 'stack-early', budgets['8M'], muon),
    run('gpt', 'stack-latest-calibrated', budgets['8M'], muon),
    run('gpt', 'scratch', budgets['8M'], { ...muon, rate: 2e-3 }),
    run('bert', 'scratch', budgets['8M'] / 2, muon),
    ...[43, 44].flatMap((seed) => [
      run('gpt', 'scratch', budgets['8M'], { ...muon, seed }),
      run('gpt', 'stack-mid-calibrated', budgets['8M'], { ...muon, seed }),
    ]),
  ],
  predictions: [
    {
      id: 'm1',
      text: 'GPT: Scratch with Muon ends at least 0.05 ahead of tuned Scratch with AdamW over the same tokens.',
      ...{ kind: 'gpt', steps: budgets['8M'], arm: 'scratch', against: 'scratch', atMost: -0.05, ...muon },
    },
    {
      id: 'm2',
      text: 'GPT: growth and Muon add up: what auto chooses, with Muon, ends at most 0.01 behind Scratch with Muon.',
      ...{ kind: 'gpt', steps: budgets['8M'], arm: 'stack-mid-calibrated', against: 'scratch', atMost: 0.01 },
      ...{ ...muon, againstOptimizer: 'muon' },
    },
    {
      id: 'm3',
      text: 'BERT: Scratch with Muon leaves the plateau sooner: it ends at least 0.3 ahead of tuned Scratch with AdamW.',
      ...{ kind: 'bert', steps: budgets['8M'], arm: 'scratch', against: 'scratch', atMost: -0.3, ...muon },
    },
    {
      id: 'm4',
      text: 'BERT: gated growth at 25/55/85 %, with Muon, ends no worse than Scratch with Muon, with half of the FLOPs.',
      ...{ kind: 'bert', steps: budgets['8M'], arm: 'stack-latest-gated', against: 'scratch', atMost: 0 },
      ...{ ...muon, againstOptimizer: 'muon' },
    },
    {
      id: 'm5',
      text: 'BERT: what auto chooses (gated growth at 10/25/50 %), with Muon, ends no worse than Scratch with Muon, with 27 % fewer FLOPs.',
      ...{ kind: 'bert', steps: budgets['8M'], arm: 'stack-mid-gated', against: 'scratch', atMost: 0 },
      ...{ ...muon, againstOptimizer: 'muon' },
    },
    {
      id: 'm6',
      text: 'GPT: what auto chooses, with Muon, over half of the tokens ends no worse than tuned Scratch with AdamW over all of them, with 64 % fewer FLOPs.',
      ...{ kind: 'gpt', steps: budgets['8M'] / 2, arm: 'stack-mid-calibrated', against: 'scratch', atMost: 0 },
      ...{ ...muon, againstSteps: budgets['8M'] },
    },
    {
      id: 'm7',
      text: 'GPT: growth at 15/35/65 %, with Muon, over half of the tokens ends at most 0.02 behind tuned Scratch with AdamW over all of them, with 68 % fewer FLOPs.',
      ...{ kind: 'gpt', steps: budgets['8M'] / 2, arm: 'stack-late-calibrated', against: 'scratch', atMost: 0.02 },
      ...{ ...muon, againstSteps: budgets['8M'] },
    },
    {
      id: 'm8',
      text: 'BERT: what auto chooses, with Muon, over half of the tokens ends no worse than tuned Scratch with AdamW over all of them, with 64 % fewer FLOPs.',
      ...{ kind: 'bert', steps: budgets['8M'] / 2, arm: 'stack-mid-gated', against: 'scratch', atMost: 0 },
      ...{ ...muon, againstSteps: budgets['8M'] },
    },
  ],
};

export const rounds: readonly Round[] = [roundA, roundL, roundB, roundM];

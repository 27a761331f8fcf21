/** What a round of the map is, and the runs of which rounds are made. */
import type { ArmName } from '../arms.js';
import type { MapRun, ModelKind } from '../record.js';

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

export const run = (
  kind: ModelKind,
  arm: ArmName,
  steps: number,
  options: Partial<Pick<MapRun, 'rate' | 'schedule' | 'optimizer' | 'seed' | 'warmup'>> = {},
): MapRun => ({ kind, arm, steps, rate: baseRate[kind], schedule: 'wsd', optimizer: 'adamw', seed: 42, ...options });

/** Scratch over its rates and both schedules. */
export function tuning(kind: ModelKind, steps: number, seeds: readonly number[] = [42]): MapRun[] {
  return seeds.flatMap((seed) =>
    (['wsd', 'cosine'] as const).flatMap((schedule) =>
      rates[kind].map((rate) => run(kind, 'scratch', steps, { rate, schedule, seed })),
    ),
  );
}

export const seeds = [42, 43, 44];

/** The rates to which Scratch was tuned in round (a); at 32 M tokens it is tuned again. */
export const tunedWarmup = { gpt: {}, bert: { warmup: 1600 }, llama: {} } as const;

/** These arms with each of these seeds, Scratch as it was tuned. */
export const runsOf = (
  kind: ModelKind,
  steps: number,
  arms: readonly ArmName[],
  seeds: readonly number[],
  options: Partial<Pick<MapRun, 'optimizer'>> = {},
): MapRun[] =>
  seeds.flatMap((seed) =>
    arms.map((arm) => run(kind, arm, steps, { seed, ...options, ...(arm === 'scratch' && tunedWarmup[kind]) })),
  );

/** Round (c) compares optimizers at length; round (m) finds out first whether growth and Muon add up. */
export const muon = { optimizer: 'muon' } as const;

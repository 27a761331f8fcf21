/**
 * The time of a training step on many ranks, each with its own micro-batches (weak scaling): what one rank computes and
 * what the ranks exchange, by mode. Pure functions over the cost of collectives.
 */
import { allGather, allReduce, barrier, type Cost, type Network, reduceScatter, sum } from './collective-cost.js';

/** Work of a rank in a step, without exchange. */
export interface StepLoad {
  /** Seconds of its micro-batches and its update. */
  readonly compute: number;
  /** Elements of all that trains. */
  readonly parameters: number;
  /** Its micro-batches, of which gradients travel next to the last one alone. Default: 1. */
  readonly microBatches?: number;
}

export interface ExchangeModel {
  readonly network: Network;
  /**
   * Share of the backward pass of the last micro-batch, two thirds of what that computes, during which gradients travel where
   * there are enough of them. 0: the exchange starts when the last micro-batch is done. Measured as the time that a step
   * with overlap saves, where the exchange takes longer than that pass (bench:distributed).
   */
  readonly overlap: number;
  /** Steps of a round. */
  readonly syncEvery: number;
}

/** Fraction of a rank's computation that is the backward pass. */
export const backwardShare = 2 / 3;

/**
 * The engine's, measured by bench:distributed at 1 Gbit/s: gpt-nano's gradients fill 3.3 buckets, and the first is final when about
 * 60 % of the backward pass are done. Models with more buckets begin earlier.
 */
export const engineOverlap = 0.27;

export interface StepCost extends Cost {
  /** Of the time in which a rank computes: 1 where nothing is exchanged. */
  readonly efficiency: number;
}

/** Bytes that are exchanged in one call (native/comm/exchange.cc), and of the numbers by which the ranks agree on a step. */
const bucketBytes = 2 ** 22;
const agreementBytes = 48;
/** Passes of an outer step over the weights. */
const outerPasses = 12;

/** An exchange in buckets, before each of which the ranks meet. */
function inBuckets(bytes: number, ranks: number, network: Network, collective: typeof allReduce): Cost {
  const whole = Math.floor(bytes / bucketBytes);
  const rest = bytes - whole * bucketBytes;
  const of = (size: number) => sum([barrier(ranks, network), collective(size, ranks, network)]);
  const [full, last] = [of(bucketBytes), rest > 0 ? of(rest) : { seconds: 0, bytes: 0 }];
  return { seconds: whole * full.seconds + last.seconds, bytes: whole * full.bytes + last.bytes };
}

const agreement = (ranks: number, network: Network): Cost => inBuckets(agreementBytes, ranks, network, allReduce);

interface Mode {
  readonly title: string;
  /** What is exchanged while nothing is computed, and what can be exchanged during the backward pass, per step. */
  readonly costs: (
    load: StepLoad,
    ranks: number,
    model: ExchangeModel,
  ) => { readonly exposed: Cost; readonly beside?: Cost };
}

const gradients =
  (bytesOfElement: number) =>
  ({ parameters }: StepLoad, ranks: number, { network }: ExchangeModel) => ({
    exposed: agreement(ranks, network),
    beside: inBuckets(bytesOfElement * parameters, ranks, network, allReduce),
  });

/** The ways in which ranks train together, by name. */
export const rankModes = {
  f32: { title: 'data parallel, f32', costs: gradients(4) },
  bf16: { title: 'data parallel, bf16', costs: gradients(2) },
  sharded: {
    title: 'sharded optimizer (ZeRO-1)',
    costs: ({ parameters }, ranks, { network }) => ({
      exposed: sum([agreement(ranks, network), inBuckets(4 * parameters, ranks, network, allGather)]),
      beside: inBuckets(4 * parameters, ranks, network, reduceScatter),
    }),
  },
  outer: {
    title: 'outer steps (DiLoCo)',
    costs({ parameters }, ranks, { network, syncEvery }) {
      const exchange = inBuckets(4 * parameters, ranks, network, allReduce);
      const seconds = exchange.seconds + (outerPasses * 4 * parameters) / network.memory;
      const share = { seconds: seconds / syncEvery, bytes: exchange.bytes / syncEvery };
      return { exposed: sum([agreement(ranks, network), share]) };
    },
  },
} as const satisfies Readonly<Record<string, Mode>>;

export type RankModeName = keyof typeof rankModes;

/** The mean step in a mode; a step of a round is its share of the outer step. */
export function stepCost(mode: RankModeName, load: StepLoad, ranks: number, model: ExchangeModel): StepCost {
  if (ranks === 1 && mode !== 'outer') return { seconds: load.compute, bytes: 0, efficiency: 1 };
  const { exposed, beside }: ReturnType<Mode['costs']> = rankModes[mode].costs(load, ranks, model);
  const covered = (model.overlap * backwardShare * load.compute) / (load.microBatches ?? 1);
  const seconds = load.compute + exposed.seconds + Math.max(0, (beside?.seconds ?? 0) - covered);
  return { seconds, bytes: exposed.bytes + (beside?.bytes ?? 0), efficiency: load.compute / seconds };
}

/** A stage of a run: its mean step. */
export interface StageLoad extends StepLoad {
  readonly steps: number;
}

/** The mean step of a run of stages. Shallow ones compute less and exchange less. */
export function runCost(
  mode: RankModeName,
  stages: readonly StageLoad[],
  ranks: number,
  model: ExchangeModel,
): StepCost {
  const steps = stages.reduce((total, stage) => total + stage.steps, 0);
  const mean = (value: (stage: StageLoad) => number) =>
    stages.reduce((total, stage) => total + value(stage) * stage.steps, 0) / steps;
  const of = (stage: StageLoad) => stepCost(mode, stage, ranks, model);
  const seconds = mean((stage) => of(stage).seconds);
  return { seconds, bytes: mean((stage) => of(stage).bytes), efficiency: mean(({ compute }) => compute) / seconds };
}

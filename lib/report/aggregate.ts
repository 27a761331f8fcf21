/**
 * From the records of a comparison to what is claimed: per method the final loss, the crossing of the reference's final
 * loss and the saving, for each seed and over all.
 */
import { check } from '../errors.js';
import * as is from '../is.js';
import { addCosts, type Crossing, crossing, finalLoss, savings, totalCosts } from './acceleration.js';
import { type CostName, type Costs, costNames, type Results, type RunRecord } from './results.js';

/** Mean, sample standard deviation (absent for one value), least and greatest. */
export interface Spread {
  /** Number of values, at least 1. */
  readonly count: number;
  /** Arithmetic mean. */
  readonly mean: number;
  /** Sample standard deviation, with count - 1 in the denominator; absent for one value. */
  readonly sd?: number;
  /** Smallest value. */
  readonly min: number;
  /** Largest value. */
  readonly max: number;
}

const takesSpread = is.takes('spread', { values: is.list(is.anyNumber) });

/**
 * Mean, standard deviation and ends of some values.
 * @example
 * spread([1, 3]).mean // 2
 * @throws ApolloError BAD_ARGUMENT for no values.
 */
export function spread(values: readonly number[]): Spread {
  takesSpread(values);

  check(values.length > 0, 'a mean needs at least one value; got none');
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const base = { count: values.length, mean, min: Math.min(...values), max: Math.max(...values) };
  if (values.length < 2) return base;
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return { ...base, sd: Math.sqrt(squares / (values.length - 1)) };
}

/** What one run reached and saved. */
export interface SeedAnalysis {
  /** The seed of the run. */
  readonly seed: number;
  /** Whether the run went to its end. */
  readonly finished: boolean;
  /**
   * Mean held-out loss at full depth of its last three evaluations, in nats, or of all where there are fewer; without that
   * of the untrained model.
   */
  readonly finalLoss: number;
  /** What the run has cost up to its last evaluation, without its initial model. */
  readonly totals: Costs;
  /** Tokens trained on up to its last evaluation. */
  readonly tokens: number;
  /** Where its smoothed loss meets `target`, the final loss of the reference over all seeds. */
  readonly crossing: Crossing;
  /**
   * Where its smoothed loss meets the final loss of the reference with the same seed; absent where there is no such
   * run.
   */
  readonly crossingOfSeed?: Crossing;
  /**
   * One minus the costs at `crossing` divided by `referenceCosts`, by cost; absent where the target was not reached.
   */
  readonly saving?: Costs;
  /**
   * The same at `crossingOfSeed`, against the costs of the reference with the same seed; absent where its loss was
   * not reached.
   */
  readonly savingOfSeed?: Costs;
  /** `saving` with the cost of the run's initial model, if it has one. */
  readonly savingWithSource?: Costs;
}

/** What one method reached and saved, over its seeds. */
export interface MethodAnalysis {
  /** Name of the method in the comparison. */
  readonly method: string;
  /** Whether the other methods are compared with this one. */
  readonly isReference: boolean;
  /** The final losses of its seeds, in nats. */
  readonly finalLoss: Spread;
  /** Tokens divided by training time of its seeds; 0 for a run without training time. */
  readonly tokensPerSecond: Spread;
  /** One entry for each of its runs that is compared. */
  readonly seeds: readonly SeedAnalysis[];
  /** Number of seeds whose smoothed loss reached the target. */
  readonly reached: number;
  /** Present only where every seed reached the target: a mean over the lucky ones would flatter. */
  readonly saving?: Readonly<Record<CostName, Spread>>;
  /** `saving` with the cost of the runs' initial models. */
  readonly savingWithSource?: Readonly<Record<CostName, Spread>>;
  /** Its runs started from trained models without a recorded cost; nothing is counted for those. */
  readonly sourceUnknown?: true;
  /** Smoothed loss above the target at the end, over the seeds that did not reach it. */
  readonly gap?: Spread;
}

/** What the methods of a comparison reached and saved, from {@link analyse}. */
export interface Analysis {
  /** Name of the method that the others are compared with. */
  readonly reference: string;
  /** l*: the reference's final loss, mean over seeds. */
  readonly target: number;
  /** Total cost of the reference, mean over seeds. */
  readonly referenceCosts: Costs;
  /** Whether every run went to its end. */
  readonly complete: boolean;
  /** One entry for each method, in the order of the runs. */
  readonly methods: readonly MethodAnalysis[];
}

/**
 * The runs that a claim may rest on: those of seeds in which every method went to its end. While there are none, all
 * that have been evaluated, so that a running comparison can be watched.
 */
function comparable({ runs }: Results): RunRecord[] {
  const unfinished = new Set(runs.filter((run) => !run.finished).map((run) => run.seed));
  const evaluated = runs.filter((run) => run.evaluations.length > 0);
  const whole = evaluated.filter((run) => !unfinished.has(run.seed));
  return whole.length > 0 ? whole : evaluated;
}

const takesAnalyse = is.takes('analyse', { results: is.results });

/**
 * What the methods of a comparison reached and saved, over its seeds.
 * @param results The runs; only complete seeds count or, while there is none, all evaluated runs.
 * @example
 * const analysis = analyse(await readResults('runs/compare/results.json'));
 * @throws ApolloError BAD_ARGUMENT when the reference has no evaluation in any seed.
 */
export function analyse(results: Results): Analysis {
  takesAnalyse(results);

  const runs = comparable(results);
  const references = runs.filter((run) => run.method === results.reference);
  check(
    references.length > 0,
    `the comparison has no evaluated run of "${results.reference}", which the others are compared with`,
  );
  const target = spread(references.map((run) => finalLoss(run.evaluations))).mean;
  const totals = references.map((run) => totalCosts(run.evaluations));
  const referenceCosts = Object.fromEntries(
    costNames.map((cost) => [cost, spread(totals.map((total) => total[cost])).mean]),
  ) as Record<CostName, number>;

  const names = [...new Set(runs.map((run) => run.method))];
  const methods = names.map((method): MethodAnalysis => {
    const own = runs.filter((run) => run.method === method);
    const seeds = own.map((run) => {
      return analyseSeed(
        run,
        target,
        referenceCosts,
        references.find((reference) => reference.seed === run.seed),
      );
    });
    const saved = seeds.flatMap((seed) => (seed.saving ? [seed.saving] : []));
    const withSource = seeds.flatMap((seed) => (seed.savingWithSource ? [seed.savingWithSource] : []));
    const gaps = seeds.flatMap((seed) => (seed.crossing.reached ? [] : [seed.crossing.gap]));
    return {
      method,
      isReference: method === results.reference,
      finalLoss: spread(seeds.map((seed) => seed.finalLoss)),
      tokensPerSecond: spread(
        seeds.map((seed) => (seed.totals.trainMs > 0 ? (1e3 * seed.tokens) / seed.totals.trainMs : 0)),
      ),
      seeds,
      reached: saved.length,
      ...(saved.length === seeds.length && { saving: spreads(saved) }),
      ...(withSource.length === seeds.length && { savingWithSource: spreads(withSource) }),
      ...(own.some((run) => run.sourceUnknown) && { sourceUnknown: true as const }),
      ...(gaps.length > 0 && { gap: spread(gaps) }),
    };
  });
  const complete = results.runs.length > 0 && results.runs.every((run) => run.finished);
  return { reference: results.reference, target, referenceCosts, complete, methods };
}

function spreads(costs: readonly Costs[]): Record<CostName, Spread> {
  return Object.fromEntries(costNames.map((cost) => [cost, spread(costs.map((each) => each[cost]))])) as Record<
    CostName,
    Spread
  >;
}

function analyseSeed(
  run: RunRecord,
  target: number,
  referenceCosts: Costs,
  reference: RunRecord | undefined,
): SeedAnalysis {
  const met = crossing(run.evaluations, target);
  const analysis: SeedAnalysis = {
    seed: run.seed,
    finished: run.finished,
    finalLoss: finalLoss(run.evaluations),
    totals: totalCosts(run.evaluations),
    tokens: run.evaluations.at(-1)!.tokens,
    crossing: met,
    ...(met.reached && { saving: savings(met.costs, referenceCosts) }),
    ...(met.reached && run.source && { savingWithSource: savings(addCosts(met.costs, run.source), referenceCosts) }),
  };
  if (!reference) return analysis;
  const metOfSeed = crossing(run.evaluations, finalLoss(reference.evaluations));
  return {
    ...analysis,
    crossingOfSeed: metOfSeed,
    ...(metOfSeed.reached && { savingOfSeed: savings(metOfSeed.costs, totalCosts(reference.evaluations)) }),
  };
}

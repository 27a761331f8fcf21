/** The paper's claims, read off the map at each length: does one arm need fewer FLOPs for its loss than another? */
import { spread } from '../../../lib/report/aggregate.js';
import { pairedDifference, tuned } from './analysis.js';
import { type Arm, type ArmName, arms } from './arms.js';
import type { MapRecord, ModelKind } from './record.js';

/** `arm` is better than `against`; without it: the model of a stage is better at full depth than at its own. */
export interface Claim {
  readonly text: string;
  readonly arm: ArmName;
  readonly against?: ArmName;
}

export const claims: readonly Claim[] = [
  { text: 'Figure 6: Apollo saves FLOPs against Scratch', arm: 'apollo', against: 'scratch' },
  { text: 'Figure 6: Apollo saves more than StackBERT', arm: 'apollo', against: 'stackbert' },
  { text: 'Figure 6: Apollo saves more than bert2BERT', arm: 'apollo', against: 'bert2bert' },
  { text: 'Figure 6: Apollo saves more than LiGO', arm: 'apollo', against: 'ligo' },
  { text: 'Figure 7: LVPS is better than no sampling', arm: 'apollo', against: 'apollo-none' },
  { text: 'Table 3: interpolation is better than stacking', arm: 'apollo', against: 'apollo-stack' },
  { text: "Table 3: the 6-layer stage's loss is lower at 12 layers", arm: 'apollo' },
];

export interface ClaimResult {
  readonly verdict: 'holds' | 'within noise' | 'does not hold';
  /** Negative: for the claim. */
  readonly difference: number;
  readonly seeds: number;
}

/** Loss by which a model at full depth has to differ from itself at the depth of its stage. */
const stageNoise = 0.01;

/** Undefined without runs of both arms over a shared seed. */
export function claimResult(
  records: readonly MapRecord[],
  { arm, against }: Claim,
  kind: ModelKind,
  steps: number,
): ClaimResult | undefined {
  const own = tuned(records, { kind, arm, steps });
  if (!own) return undefined;
  if (against === undefined) return stageResult(own.runs);
  const other = tuned(records, { kind, arm: against, steps });
  const paired = other && pairedDifference(own, other);
  if (!paired) return undefined;
  const noise = claimNoise(records, kind, steps, paired.seeds);
  const slope = scratchSlope(records, kind, steps);
  if (noise === undefined || slope === undefined) return undefined;
  const difference = paired.mean - slope * Math.log(own.flops / other.flops);
  return { verdict: verdictOf(difference, noise), difference, seeds: paired.seeds };
}

/** From the last evaluation of each run in which fewer layers than all were trained. */
function stageResult(runs: readonly MapRecord[]): ClaimResult | undefined {
  const differences = runs.flatMap(({ curve }) => {
    const last = curve.findLast(({ stageLoss }) => stageLoss !== undefined);
    return last?.stageLoss === undefined ? [] : [last.loss - last.stageLoss];
  });
  if (differences.length === 0) return undefined;
  const { mean, count } = spread(differences);
  return { verdict: verdictOf(mean, stageNoise), difference: mean, seeds: count };
}

const verdictOf = (difference: number, noise: number): ClaimResult['verdict'] =>
  Math.abs(difference) <= noise ? 'within noise' : difference < 0 ? 'holds' : 'does not hold';

/**
 * Twice the standard error of a mean difference over `seeds` seeds, from the spread between seeds of all arms with AdamW at
 * this length, pooled, or at the nearest (in the logarithm) that has an arm of two seeds; undefined without one. Scratch alone
 * is too regular: over 128 M tokens two seeds of a method that grows differ by more than ten times as much.
 */
export function claimNoise(
  records: readonly MapRecord[],
  kind: ModelKind,
  steps: number,
  seeds: number,
): number | undefined {
  const distance = (length: number) => Math.abs(Math.log(length / steps));
  const lengths = [...new Set(records.filter((record) => record.kind === kind).map((record) => record.steps))];
  const spreads = lengths.flatMap((length) => {
    const sd = pooledSpread(records, kind, length);
    return sd === undefined ? [] : [{ length, sd }];
  });
  const [nearest] = spreads.sort((x, y) => distance(x.length) - distance(y.length));
  return nearest && 2 * nearest.sd * Math.sqrt(2 / seeds);
}

/** Standard deviation between seeds, pooled over the arms that have several. */
function pooledSpread(records: readonly MapRecord[], kind: ModelKind, steps: number): number | undefined {
  const names = new Set(
    records.filter((record) => record.kind === kind && record.steps === steps).map(({ arm }) => arm),
  );
  let [squares, degrees] = [0, 0];
  for (const arm of names) {
    const { isSmall }: Arm = arms[arm];
    const loss = isSmall ? undefined : tuned(records, { kind, arm, steps })?.loss;
    if (loss?.sd === undefined) continue;
    squares += (loss.count - 1) * loss.sd ** 2;
    degrees += loss.count - 1;
  }
  return degrees === 0 ? undefined : Math.sqrt(squares / degrees);
}

/** By how much Scratch's loss changes per e-fold of its FLOPs, from the next shorter length to this one. */
function scratchSlope(records: readonly MapRecord[], kind: ModelKind, steps: number): number | undefined {
  const shorter = Math.max(...scratchLengths(records, kind).filter((length) => length < steps));
  const [here, before] = [steps, shorter].map((length) => tuned(records, { kind, arm: 'scratch', steps: length }));
  return here && before && (here.loss.mean - before.loss.mean) / Math.log(here.flops / before.flops);
}

function scratchLengths(records: readonly MapRecord[], kind: ModelKind): number[] {
  const own = records.filter((record) => record.kind === kind && record.arm === 'scratch');
  return [...new Set(own.map(({ steps }) => steps))];
}

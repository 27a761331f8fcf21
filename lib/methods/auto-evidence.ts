/** Measured savings of `auto`: lines of the map of runs (bench/results/acceleration/map), to which a test holds them. */
import type { OptimizerName } from '../engine/optim/index.js';
import type { ModelConfig } from '../models/index.js';

export interface AutoEvidence {
  readonly kind: 'gpt' | 'bert' | 'llama';
  readonly layers: number;
  readonly hidden: number;
  /** Of the run with `auto`; training from scratch had AdamW. */
  readonly optimizer: OptimizerName;
  /** Trained tokens over parameters. */
  readonly tokensPerParameter: number;
  readonly seeds: number;
  /** FLOPs over those of training from scratch, tuned, over the same tokens. */
  readonly flopsShare: number;
  /** Held-out loss at the end minus that of training from scratch. */
  readonly difference: number;
}

const model = { layers: 12, hidden: 64, optimizer: 'adamw' } as const;
const muon = { ...model, optimizer: 'muon' } as const;
export const autoEvidence: readonly AutoEvidence[] = [
  { ...model, kind: 'gpt', tokensPerParameter: 11.1, seeds: 3, flopsShare: 0.724, difference: -0.0043 },
  { ...model, kind: 'gpt', tokensPerParameter: 44.6, seeds: 3, flopsShare: 0.867, difference: 0.0032 },
  { ...model, kind: 'gpt', tokensPerParameter: 178.3, seeds: 1, flopsShare: 0.867, difference: 0.0037 },
  { ...model, kind: 'bert', tokensPerParameter: 11, seeds: 3, flopsShare: 0.73, difference: -0.3432 },
  { ...model, kind: 'bert', tokensPerParameter: 44.2, seeds: 3, flopsShare: 0.73, difference: -0.1509 },
  { ...model, kind: 'bert', tokensPerParameter: 176.7, seeds: 2, flopsShare: 0.73, difference: -0.0054 },
  { ...model, kind: 'llama', tokensPerParameter: 11.3, seeds: 3, flopsShare: 0.724, difference: 0.0071 },
  { ...muon, kind: 'gpt', tokensPerParameter: 11.1, seeds: 3, flopsShare: 0.724, difference: -0.0677 },
  { ...muon, kind: 'gpt', tokensPerParameter: 44.6, seeds: 3, flopsShare: 0.867, difference: -0.0272 },
  { ...muon, kind: 'bert', tokensPerParameter: 11, seeds: 3, flopsShare: 0.73, difference: -1.0395 },
  { ...muon, kind: 'bert', tokensPerParameter: 44.2, seeds: 3, flopsShare: 0.73, difference: -0.2151 },
];

/** Tokens per parameter from which a run is long: `auto` grows a pre-norm model earlier there. */
export const longRun = 20;

/**
 * The measurement of this kind of model and this optimizer that is nearest in tokens per parameter, of long runs for a long
 * one and of others for another where there is one.
 */
export function nearestEvidence(
  kind: ModelConfig['kind'],
  optimizer: OptimizerName,
  tokensPerParameter: number,
): AutoEvidence | undefined {
  const distance = (evidence: AutoEvidence) => Math.abs(Math.log(evidence.tokensPerParameter / tokensPerParameter));
  const all = autoEvidence.filter((evidence) => evidence.kind === kind && evidence.optimizer === optimizer);
  const alike = all.filter((evidence) => evidence.tokensPerParameter >= longRun === tokensPerParameter >= longRun);
  return (alike.length > 0 ? alike : all).reduce<AutoEvidence | undefined>(
    (best, other) => (best && distance(best) <= distance(other) ? best : other),
    undefined,
  );
}

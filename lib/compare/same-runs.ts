/** The settings that the runs of a comparison share, by which one that is resumed continues the comparison of its folder. */
import { alone } from '../dist/index.js';
import { ApolloError } from '../errors.js';
import type { TrainingMethod } from '../methods/index.js';
import type { Results } from '../report/results.js';
import { differences, identityOf, type RunIdentity, resolveConfig } from '../train/index.js';
import type { ComparisonOptions } from './comparison.js';

/** What all runs have in common of their identity, and what their losses are measured on. `run` is any of them. */
export function identityOfRuns(
  {
    train,
    model,
    corpus,
    objective,
    init,
    group = alone,
  }: Pick<ComparisonOptions, 'train' | 'model' | 'corpus' | 'objective' | 'init' | 'group'>,
  run: { readonly method: TrainingMethod; readonly seed: number },
): RunIdentity {
  const own = resolveConfig({ ...train, seed: run.seed });
  const config = { ...own, accumulation: own.accumulation * group.size };
  const { seed, method, ...shared } = identityOf(config, model.config, run.method, corpus.key, objective);
  // A path does not say which model it is: a run's checkpoint records its digest.
  return { ...shared, evaluationBatches: config.evaluationBatches, ...(init !== undefined && { init: true }) };
}

/** What a report's head says of it: files of earlier versions have nothing else. */
const described = ['structure', 'corpus', 'batch', 'learning rate', 'dropout', 'precision'];

function descriptionOf({ totalSteps, layers, settings }: Results): RunIdentity {
  const known = described.filter((name) => settings[name] !== undefined);
  return { steps: totalSteps, layers, ...Object.fromEntries(known.map((name) => [name, settings[name]])) };
}

/** @throws ApolloError BAD_CONFIG listing what differs between the runs that a comparison's folder holds and those of now. */
export function checkSameRuns(folder: string, previous: Results, now: Results): void {
  const changed =
    previous.identity && now.identity
      ? differences(previous.identity, now.identity)
      : differences(...common(descriptionOf(previous), descriptionOf(now)));
  if (changed.length === 0) return;
  throw new ApolloError(
    'BAD_CONFIG',
    `${folder} holds a comparison whose runs had other settings:\n  ${changed.join('\n  ')}\n` +
      'Methods and seeds can be added to it, with the settings that it was started with. For other settings, name another ' +
      'folder. See docs/troubleshooting.md#checkpoint-with-other-settings.',
  );
}

/** Both with the keys that they share. */
function common(one: RunIdentity, other: RunIdentity): [RunIdentity, RunIdentity] {
  const shared = (of: RunIdentity, keys: RunIdentity) =>
    Object.fromEntries(Object.entries(of).filter(([key]) => key in keys));
  return [shared(one, other), shared(other, one)];
}

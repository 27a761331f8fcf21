/**
 * What a seed's run leaves in its folder, and how a run that was cut goes on: history.json with the epochs that are done,
 * checkpoints/ with the last one's weights and moments until the run is finished, model/ with the best epoch's model.
 */
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import type { ParameterStore } from '../engine/parameters.js';
import { ApolloError } from '../errors.js';
import { writeWholeFile } from '../fs/whole-file.js';
import type { ParameterSpec } from '../models/index.js';
import { differences } from '../train/config.js';
import { latestCheckpoint, loadCheckpoint, readCheckpointState, saveCheckpoint } from '../train/index.js';

const score = z
  .number()
  .nullable()
  .transform((value) => value ?? Number.NaN);

const epochSchema = z.object({
  /** From 1. */
  epoch: z.int().min(1),
  /** Updates done at its end. */
  step: z.int().min(0),
  /** Mean training loss of its steps. */
  loss: score,
  /** Scores by split and metric. */
  metrics: z.record(z.string(), z.record(z.string(), score)),
  /** Training time since the seed's beginning, without evaluation. */
  trainMs: z.number().min(0),
});

export type EpochRecord = z.output<typeof epochSchema>;

/** The epoch with the best `metric` on `split`, the earlier of equals; NaN is worse than everything. */
export function bestEpoch(epochs: readonly EpochRecord[], split: string, metric: string): EpochRecord {
  const value = ({ metrics }: EpochRecord): number => metrics[split]?.[metric] ?? Number.NaN;
  return epochs.reduce((best, epoch) =>
    value(epoch) > value(best) || (Number.isNaN(value(best)) && !Number.isNaN(value(epoch))) ? epoch : best,
  );
}

const historySchema = z.object({
  formatVersion: z.literal(1),
  identity: z.record(z.string(), z.unknown()),
  finished: z.boolean(),
  epochs: z.array(epochSchema),
});

const historyFile = 'history.json';

export type Identity = Readonly<Record<string, unknown>>;

export class SeedFolder {
  constructor(readonly path: string) {}

  get modelPath(): string {
    return join(this.path, 'model');
  }

  get #checkpoints(): string {
    return join(this.path, 'checkpoints');
  }

  /**
   * The epochs that are done, and whether they are all.
   * @throws ApolloError BAD_CONFIG when they were run with other settings, BAD_CHECKPOINT when the file is damaged.
   */
  async history(identity: Identity): Promise<{ epochs: EpochRecord[]; finished: boolean }> {
    const path = join(this.path, historyFile);
    let text: string;
    try {
      text = await readFile(path, 'utf8');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return { epochs: [], finished: false };
      throw error;
    }
    const damaged = (reason: string) =>
      new ApolloError('BAD_CHECKPOINT', `${path} is damaged (${reason}). Remove ${this.path} to run this seed anew.`);
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch (error) {
      throw damaged((error as Error).message);
    }
    const result = historySchema.safeParse(value);
    if (!result.success) throw damaged(result.error.issues.map((issue) => issue.message).join('; '));
    const changed = differences(result.data.identity, JSON.parse(JSON.stringify(identity)) as Identity);
    if (changed.length > 0) {
      throw new ApolloError(
        'BAD_CONFIG',
        `${this.path} holds a run with other settings:\n  ${changed.join('\n  ')}\nGo on with those, or name another folder.`,
      );
    }
    return result.data;
  }

  async #write(identity: Identity, epochs: readonly EpochRecord[], finished: boolean): Promise<void> {
    const text = `${JSON.stringify({ formatVersion: 1, identity, finished, epochs }, undefined, 2)}\n`;
    await writeWholeFile(join(this.path, historyFile), text, 'The history of the seed');
  }

  /**
   * Keeps an epoch's end. The history comes first: a checkpoint never lacks its history, and a history that is one epoch
   * ahead is cut when the run goes on.
   */
  async save(
    store: ParameterStore,
    run: {
      readonly identity: Identity;
      readonly epochs: readonly EpochRecord[];
      readonly layerMap: readonly number[];
      readonly nonFiniteSteps: number;
      readonly totals: { readonly tokens: number; readonly flopsExecuted: number; readonly trainMs: number };
    },
  ): Promise<void> {
    const { identity, epochs, layerMap, nonFiniteSteps, totals } = run;
    await this.#write(identity, epochs, false);
    const { kind, threads } = store.device.info();
    const state = {
      step: epochs.at(-1)?.step ?? 0,
      stage: { index: 0, units: Math.max(...layerMap) + 1 },
      layerMap: [...layerMap],
      identity,
      totals: { ...totals, flopsModel: 0 },
      nonFiniteSteps,
      evaluated: true,
      device: { kind, threads },
    };
    await saveCheckpoint(this.#checkpoints, store, state);
  }

  /** Marks the seed as finished; nothing is needed to go on any more. */
  async finish(identity: Identity, epochs: readonly EpochRecord[]): Promise<void> {
    await this.#write(identity, epochs, true);
    await rm(this.#checkpoints, { recursive: true, force: true });
  }

  /**
   * Loads the last epoch that was kept whole, of `epochs`; undefined when there is none.
   * @throws ApolloError BAD_CHECKPOINT for a damaged one.
   */
  async load(store: ParameterStore, specs: readonly ParameterSpec[], epochs: readonly EpochRecord[]) {
    const latest = await latestCheckpoint(this.#checkpoints);
    if (!latest) return undefined;
    const { step, nonFiniteSteps, totals } = await readCheckpointState(latest.path);
    const done = epochs.findIndex((epoch) => epoch.step === step) + 1;
    if (done === 0) {
      throw new ApolloError(
        'BAD_CHECKPOINT',
        `${latest.path} is of no epoch in ${historyFile}. Remove ${this.path} to run this seed anew.`,
      );
    }
    await loadCheckpoint(latest.path, store, specs);
    return { epochs: epochs.slice(0, done), nonFiniteSteps, totals };
  }
}

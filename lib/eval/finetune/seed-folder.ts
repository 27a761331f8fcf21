/**
 * Files of a seed's run, and how an interrupted run resumes: history.json with the epochs that are done,
 * checkpoints/ with weights and moments until the run is finished, model/ with the best epoch's model.
 */
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import type { DeviceInfo } from '../../engine/device.js';
import type { ParameterStore } from '../../engine/parameters.js';
import { ApolloError } from '../../errors.js';
import { writeWholeFile } from '../../fs/whole-file.js';
import * as is from '../../is.js';
import type { ParameterSpec } from '../../models/index.js';
import { withCurrentNames } from '../../renamed.js';
import { differences } from '../../train/config.js';
import {
  loadCheckpoint,
  newestWholeCheckpoint,
  readCheckpointState,
  type StoreView,
  saveCheckpoint,
} from '../../train/index.js';

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
  /** Training time since the start of the seed, without evaluation. */
  trainMs: z.number().min(0),
});

/** What an epoch of fine-tuning has reached. */
export type EpochRecord = z.output<typeof epochSchema>;

const takesBestEpoch = is.takes('bestEpoch', {
  epochs: is.list(is.object('the record of an epoch', { epoch: is.index, metrics: is.record }), { least: 1 }),
  split: is.string,
  metric: is.string,
});

/**
 * The epoch with the best `metric` on `split`, the earlier of equals; NaN is worse than everything.
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function bestEpoch(epochs: readonly EpochRecord[], split: string, metric: string): EpochRecord {
  takesBestEpoch(epochs, split, metric);

  const value = ({ metrics }: EpochRecord): number => metrics[split]?.[metric] ?? Number.NaN;
  return epochs.reduce((best, epoch) =>
    value(epoch) > value(best) || (Number.isNaN(value(best)) && !Number.isNaN(value(epoch))) ? epoch : best,
  );
}

/** The epoch that a checkpoint within it was written in: what its mean loss is made of. */
const underwaySchema = z.object({ step: z.int().min(1), lossSum: z.number(), lossCount: z.int().min(0) });

/** An epoch that is not done, at some step. */
export type Underway = z.output<typeof underwaySchema>;

const historySchema = z.object({
  formatVersion: z.literal(1),
  identity: z.record(z.string(), z.unknown()),
  finished: z.boolean(),
  epochs: z.array(epochSchema),
  /** Checkpoints within an epoch, oldest first. */
  underway: z.array(underwaySchema).default([]),
});

const historyFile = 'history.json';

export type Identity = Readonly<Record<string, unknown>>;

export class SeedFolder {
  /** Records of checkpoints within an epoch from history.json. */
  #underway: readonly Underway[] = [];

  constructor(
    readonly path: string,
    /** Checkpoints that are kept. */
    readonly keep: number,
  ) {}

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
      new ApolloError(
        'BAD_CHECKPOINT',
        `${path} is damaged (${reason}). Remove ${this.path} to run this seed again from its start.`,
      );
    let value: unknown;
    try {
      value = withCurrentNames(JSON.parse(text));
    } catch (error) {
      throw damaged((error as Error).message);
    }
    const result = historySchema.safeParse(value);
    if (!result.success) throw damaged(result.error.issues.map((issue) => issue.message).join('; '));
    const changed = differences(result.data.identity, JSON.parse(JSON.stringify(identity)) as Identity);
    if (changed.length > 0) {
      throw new ApolloError(
        'BAD_CONFIG',
        `${this.path} holds a run with other settings:\n  ${changed.join('\n  ')}\nResume with those settings, or name another folder.`,
      );
    }
    this.#underway = result.data.underway;
    return result.data;
  }

  async #write(identity: Identity, epochs: readonly EpochRecord[], finished: boolean): Promise<void> {
    const text = `${JSON.stringify({ formatVersion: 1, identity, finished, epochs, underway: this.#underway }, undefined, 2)}\n`;
    await writeWholeFile(join(this.path, historyFile), text, 'The history of the seed');
  }

  /**
   * Keeps an epoch's end, or a step within one. The history comes first: a checkpoint never lacks its history, and a history
   * that is ahead is cut when the run resumes. Returns the checkpoint's folder.
   */
  async save(
    view: StoreView,
    run: {
      readonly device: Pick<DeviceInfo, 'kind' | 'threads'>;
      readonly identity: Identity;
      readonly epochs: readonly EpochRecord[];
      readonly underway?: Underway | undefined;
      readonly layerMap: readonly number[];
      readonly nonFiniteSteps: number;
      readonly totals: { readonly tokens: number; readonly flopsExecuted: number; readonly trainMs: number };
    },
  ): Promise<string> {
    const { device, identity, epochs, underway, layerMap, nonFiniteSteps, totals } = run;
    const step = underway?.step ?? epochs.at(-1)?.step ?? 0;
    if (underway) {
      const before = this.#underway.filter((other) => other.step < step);
      this.#underway = [...before, underway].slice(-2 * this.keep);
    }
    await this.#write(identity, epochs, false);
    const state = {
      step,
      stage: { index: 0, trainedLayers: Math.max(...layerMap) + 1 },
      layerMap: [...layerMap],
      identity,
      totals: { ...totals, flopsModel: 0 },
      nonFiniteSteps,
      evaluated: underway === undefined,
      device: { kind: device.kind, threads: device.threads },
    };
    return saveCheckpoint(this.#checkpoints, view, state, { keep: this.keep });
  }

  /** Marks the seed as finished; its checkpoints are not needed any more. */
  async finish(identity: Identity, epochs: readonly EpochRecord[]): Promise<void> {
    this.#underway = [];
    await this.#write(identity, epochs, true);
    await this.removeCheckpoints();
  }

  /** Removes the checkpoints of a finished seed, also after a process that died between the two parts of `finish`. */
  async removeCheckpoints(): Promise<void> {
    await rm(this.#checkpoints, { recursive: true, force: true });
  }

  /**
   * Loads the newest checkpoint that is whole; undefined when there is none. `epochs` are those of the history; the result
   * has those that are done at the checkpoint.
   * @throws ApolloError BAD_CHECKPOINT when all are damaged.
   */
  async load(store: ParameterStore, specs: readonly ParameterSpec[], epochs: readonly EpochRecord[]) {
    const latest = await newestWholeCheckpoint(this.#checkpoints);
    if (!latest) return undefined;
    const { step, nonFiniteSteps, totals } = await readCheckpointState(latest.path);
    const done = epochs.filter((epoch) => epoch.step <= step);
    const underway = this.#underway.find((each) => each.step === step);
    const isWhole = done.at(-1)?.step === step;
    if (!isWhole && !underway) {
      throw new ApolloError(
        'BAD_CHECKPOINT',
        `${latest.path} belongs to no epoch in ${historyFile}. Remove ${this.path} to run this seed again from its start.`,
      );
    }
    await loadCheckpoint(latest.path, store, specs);
    const warnings = await latest.setAside();
    const place = isWhole ? undefined : underway;
    return { path: latest.path, step, epochs: done, underway: place, nonFiniteSteps, totals, warnings };
  }
}

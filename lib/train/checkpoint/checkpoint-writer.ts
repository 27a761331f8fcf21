/**
 * Writes the checkpoints of a run. During training the weights are copied and written in parallel, and training waits for neither;
 * a second checkpoint waits for the first.
 */
import type { ParameterStore } from '../../engine/parameters.js';
import type { CheckpointEvent, WarningEvent } from '../events.js';
import { checkpointWarning, lastCheckpointError } from './checkpoint-clock.js';
import { askNoMore, collectedMoments } from './sharded-store.js';
import { type StoreView, stagedBytes, stageStore } from './staged-store.js';

/** A checkpoint that was tried. */
export type Written =
  | { readonly step: number; readonly path: string; readonly ms: number }
  | { readonly step: number; readonly error: unknown };

export interface CheckpointJob {
  readonly step: number;
  /** Names the moment: one that is saved already is not saved again. */
  readonly position: string;
  /** Writes the folder and returns its path. Called at once; may take its time with `view` only. */
  readonly write: (view: StoreView) => Promise<string>;
}

/** Share of the memory that is free for which a copy may be made; else training waits for the disk. */
const copyShare = 0.5;

export class CheckpointWriter {
  /** The newest one. */
  lastSaved: string | undefined;
  #savedAt: string | undefined;
  #writing: Promise<void> | undefined;
  #written: Written[] = [];

  /** `freeBytes`: memory of the machine that is free. */
  constructor(
    private readonly store: ParameterStore,
    private readonly freeBytes = () => process.availableMemory(),
  ) {}

  /** A run that resumes has that checkpoint. */
  resumed(path: string, position: string): void {
    this.lastSaved = path;
    this.#savedAt = position;
  }

  /** After a change of the store without a step: no position counts as saved, so the next checkpoint is written. */
  outdated(): void {
    this.#savedAt = undefined;
  }

  isSaved(position: string): boolean {
    return this.#savedAt === position;
  }

  /** Those that ended since the last call. */
  take(): Written[] {
    return this.#written.splice(0);
  }

  /** Their events: a checkpoint, or a warning that it could not be written. @throws what is no error of the file system. */
  events(): (CheckpointEvent | (WarningEvent & { readonly code: 'CHECKPOINT_FAILED' }))[] {
    return this.take().map((written) => {
      if (!('error' in written)) return { type: 'checkpoint', ...written };
      const message = checkpointWarning(written.error, this.lastSaved);
      return { type: 'warning', step: written.step, code: 'CHECKPOINT_FAILED', message };
    });
  }

  /** The same at the end of a run, which ends with an error when its last checkpoint is missing. @throws what it threw. */
  lastEvents(): CheckpointEvent[] {
    return this.take().map((written) => {
      if ('error' in written) throw lastCheckpointError(written.error, this.lastSaved);
      return { type: 'checkpoint', ...written };
    });
  }

  /** Reports an error of work that belongs to the checkpoint of `step` and is done elsewhere, as one of writing it. */
  failed(step: number, error: unknown): void {
    this.#written.push({ step, error });
  }

  /** Waits for the checkpoint that is being written. */
  async settled(): Promise<void> {
    await this.#writing;
  }

  /** Starts a checkpoint of what the store holds when all that is queued now is done. Waits for the one before. */
  async begin(job: CheckpointJob): Promise<void> {
    await this.#writing;
    const fits = stagedBytes(this.store) <= copyShare * this.freeBytes();
    const writing = fits ? this.#write(job, stageStore(this.store)) : this.#writeStore(job);
    this.#writing = writing;
    if (!fits) await writing;
  }

  /** Writes a checkpoint of the store as it is, which does not change meanwhile; nothing where that is done. */
  async complete(job: CheckpointJob): Promise<void> {
    await this.#writing;
    if (!this.isSaved(job.position)) await this.#writeStore(job);
  }

  /** From the store itself, which does not change meanwhile. */
  async #writeStore(job: CheckpointJob): Promise<void> {
    const { store } = this;
    const view: StoreView = {
      names: () => store.names(),
      spec: (name) => store.spec(name),
      slots: (name) => store.slots(name),
      count: (name) => store.count(name),
      read: (name) => store.read(name),
      moments: (name) => collectedMoments(store, name),
    };
    await this.#write(job, view);
    await askNoMore(store);
  }

  async #write({ step, position, write }: CheckpointJob, view: StoreView): Promise<void> {
    const started = performance.now();
    try {
      const path = await write(view);
      this.lastSaved = path;
      this.#savedAt = position;
      this.#written.push({ step, path, ms: performance.now() - started });
    } catch (error) {
      this.#written.push({ step, error });
    }
  }
}

/** Interface of a corpus for the loop: batches as pure functions of a request. It never sees files or tokenizers. */
import { describe } from '../arguments.js';
import { ignoredLabel } from '../engine/ops/index.js';
import { ApolloError } from '../errors.js';
import type { BatchShape, ObjectiveName } from '../models/index.js';

/**
 * The inputs of one program run by name: `tokens` i32[B*T], `labels` (-100 where there is none: micro-batches are weighed
 * by the others), and what else the model, or an objective, takes.
 */
export type BatchInputs = Readonly<Record<string, Int32Array | Float32Array>>;

/** Whether a batch has anything to predict. */
export function hasTarget({ labels }: BatchInputs): boolean {
  return labels === undefined || labels.some((label: number) => label !== ignoredLabel);
}

/** The size of batches, and what a model learns from them. */
export interface BatchSize {
  /** Sequences of the batch, B. */
  readonly batch: number;
  /** Tokens per sequence, T. */
  readonly seq: number;
  /** 'causal': `tokens` and `labels`, each token's next one; 'masked': `tokens`, and `positions` and `labels` of masked ones. */
  readonly objective: ObjectiveName;
}

/** Which batch the trainer asks a corpus for. */
export interface BatchRequest extends BatchSize {
  /** Seed of the run. */
  readonly seed: number;
  /** Optimizer step, from 0. */
  readonly step: number;
  /** Which of the step's micro-batches, from 0 to accumulation - 1; ranks divide them among each other. */
  readonly micro: number;
  /** Micro-batches of the step; its rows should not depend on how it is cut. */
  readonly accumulation: number;
}

/** Where the batches of a run come from: {@link trainingCorpus}, or an object of the host. */
export interface TrainingCorpus {
  /** Names the data: a checkpoint keeps it, and a run resumed on another corpus is refused. */
  readonly key: string;
  /** Number of token ids that its batches may hold. A run on a model with a smaller vocabulary is refused. Default: not checked. */
  readonly vocabSize?: number;
  /** Static shape of every batch of that size. */
  shape(size: BatchSize): BatchShape;
  /** A pure function of the request: the same batch for every method and after every resume. */
  batch(request: BatchRequest): BatchInputs | Promise<BatchInputs>;
  /** Number of held-out batches of that size. */
  heldOutCount(size: BatchSize): number;
  /** Held-out batch `index`, always the same. */
  heldOut(request: BatchSize & { readonly index: number }): BatchInputs | Promise<BatchInputs>;
}

/** What is wrong with a batch, without its sizes and dtypes, which the program checks; undefined for a batch. */
export function batchProblem(given: unknown): string | undefined {
  if (typeof given !== 'object' || given === null || Array.isArray(given))
    return `A batch must be an object of arrays by name, { tokens, labels, … }; got ${describe(given)}.`;
  const { labels } = given as { readonly labels?: unknown };
  if (labels === undefined || Array.isArray(labels) || ArrayBuffer.isView(labels)) return undefined;
  return `The labels of a batch must be an Int32Array; got ${describe(labels)}.`;
}

/** @throws ApolloError BAD_CORPUS for what is no batch. */
export function checkedBatch(given: BatchInputs): BatchInputs {
  const problem = batchProblem(given);
  if (problem === undefined) return given;
  throw new ApolloError('BAD_CORPUS', problem);
}

/** Labels of a batch. @throws ApolloError BAD_CORPUS for one without `labels`. */
export function labelCount({ labels }: BatchInputs): number {
  if (!labels) {
    throw new ApolloError(
      'BAD_CORPUS',
      'The batches of this corpus have no `labels`, by which micro-batches are weighed. Add them, or set accumulation to 1 and train on one rank.',
    );
  }
  let count = 0;
  for (const label of labels) count += Number(label !== ignoredLabel);
  return count;
}

/**
 * Share of the labels of a step that each of its micro-batches has: the weight of its mean loss in that of the step. All
 * zeros where the step has no label. Of one micro-batch it is exactly 1.
 */
export function labelShares(counts: readonly number[]): number[] {
  const total = counts.reduce((sum, count) => sum + count, 0);
  return counts.map((count) => (total === 0 ? 0 : count / total));
}

/**
 * Builds batches while the device computes: of the next step one for each micro-batch of the current one, so that they
 * are all there, and their labels can be counted, when that step starts.
 */
export class BatchAhead {
  readonly #build: (step: number, micro: number) => BatchInputs | Promise<BatchInputs>;
  #ahead: { readonly step: number; readonly batches: Map<number, Promise<BatchInputs>> } | undefined;

  constructor(build: (step: number, micro: number) => BatchInputs | Promise<BatchInputs>) {
    this.#build = build;
  }

  /** Starts to build a batch of a step that will be taken soon. A failure is reported when it is taken. */
  prepare(step: number, micro: number): void {
    if (this.#ahead?.step !== step) this.#ahead = { step, batches: new Map() };
    const inputs = (async () => this.#build(step, micro))();
    inputs.catch(() => {});
    this.#ahead.batches.set(micro, inputs);
  }

  /**
   * These batches of a step, prepared or built now, one after the other.
   * @throws ApolloError BAD_CORPUS for what is no batch; what the corpus throws.
   */
  async take(step: number, micros: readonly number[]): Promise<BatchInputs[]> {
    const prepared = this.#ahead?.step === step ? this.#ahead.batches : undefined;
    this.#ahead = undefined;
    const batches: BatchInputs[] = [];
    for (const micro of micros) {
      batches.push(checkedBatch(await (prepared?.get(micro) ?? this.#build(step, micro))));
    }
    return batches;
  }
}

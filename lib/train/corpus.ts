/** What the loop needs of a corpus: batches as pure functions of a request. It never sees files or tokenizers. */
import type { BatchShape } from '../models/index.js';

/** The inputs of one program run by name, e.g. `tokens` i32[B*T] and `labels`. */
export type BatchInputs = Readonly<Record<string, Int32Array>>;

/** Label of a position that has none, see lib/data/batches.ts. */
const noLabel = -100;

/** Whether a batch has anything to predict. */
export function hasTarget({ labels }: BatchInputs): boolean {
  return labels === undefined || labels.some((label) => label !== noLabel);
}

export interface BatchRequest {
  /** Sequences and their length. */
  readonly batch: number;
  readonly seq: number;
  readonly seed: number;
  /** Optimizer step, 0-based, and micro-batch within it. */
  readonly step: number;
  readonly micro: number;
}

export interface TrainingCorpus {
  /** Names the data: a checkpoint keeps it, and a run resumed on another corpus is refused. */
  readonly key: string;
  /** Static shape of every batch of that size. */
  shape(batch: number, seq: number): BatchShape;
  /** A pure function of the request: the same batch for every method and after every resume. */
  batch(request: BatchRequest): BatchInputs | Promise<BatchInputs>;
  /** Number of held-out batches of that size. */
  heldOutCount(batch: number, seq: number): number;
  /** Held-out batch `index`, always the same. */
  heldOut(request: {
    readonly batch: number;
    readonly seq: number;
    readonly index: number;
  }): BatchInputs | Promise<BatchInputs>;
}

/** Builds the next batch while the device computes the current one. */
export class BatchAhead {
  readonly #build: (step: number, micro: number) => BatchInputs | Promise<BatchInputs>;
  #ahead: { step: number; micro: number; inputs: Promise<BatchInputs> } | undefined;

  constructor(build: (step: number, micro: number) => BatchInputs | Promise<BatchInputs>) {
    this.#build = build;
  }

  /** Begins to build a batch that will be taken soon. A failure is reported when it is taken. */
  prepare(step: number, micro: number): void {
    const inputs = (async () => this.#build(step, micro))();
    inputs.catch(() => {});
    this.#ahead = { step, micro, inputs };
  }

  /** The batch, prepared or built now. */
  async take(step: number, micro: number): Promise<BatchInputs> {
    const ahead = this.#ahead;
    this.#ahead = undefined;
    return ahead?.step === step && ahead.micro === micro ? ahead.inputs : this.#build(step, micro);
  }
}

/** Turns the events of one run into its record for the report, through any number of resumes. */
import type { TrainingMethod } from '../methods/index.js';
import type { EvaluationPoint, RunRecord } from '../report/results.js';
import type { TrainEvent } from '../train/index.js';

export interface RecorderOptions {
  readonly method: TrainingMethod;
  readonly seed: number;
  /** Training FLOPs of one layer for all tokens of a step: layer-only accounting is depth times this. */
  readonly layerFlopsPerStep: number;
  /** The record so far, when the run is resumed. */
  readonly previous?: RunRecord | undefined;
}

export class RunRecorder {
  readonly #options: RecorderOptions;
  #evaluations: EvaluationPoint[];
  #stages: { step: number; units: number; depthSteps: number[] }[] = [];
  #finished = false;
  #flopsLayers = 0;
  #flopsExecuted = 0;
  /** Sum and count of the training losses since the last evaluation. */
  #losses = { sum: 0, count: 0 };

  constructor(options: RecorderOptions) {
    this.#options = options;
    this.#evaluations = [...(options.previous?.evaluations ?? [])];
  }

  add(event: TrainEvent): void {
    switch (event.type) {
      case 'start':
        return this.#start(event.step);
      case 'step':
        this.#countStep(event.step - 1);
        this.#flopsExecuted = event.flopsExecuted;
        this.#losses.sum += event.loss;
        this.#losses.count += 1;
        return;
      case 'evaluation': {
        const { sum, count } = this.#losses;
        this.#losses = { sum: 0, count: 0 };
        this.#evaluations = this.#evaluations.filter((point) => point.step < event.step);
        this.#evaluations.push({
          step: event.step,
          tokens: event.tokens,
          flopsModel: event.flops,
          flopsLayers: this.#flopsLayers,
          flopsExecuted: this.#flopsExecuted,
          trainMs: event.trainMs,
          lossFull: event.lossFull,
          lossStage: event.lossStage,
          ...(count > 0 && { trainLoss: sum / count }),
        });
        return;
      }
      case 'done':
        this.#finished = event.complete;
    }
  }

  record(): RunRecord {
    const { method, seed } = this.#options;
    return {
      method: method.name,
      seed,
      finished: this.#finished,
      stages: this.#stages.map((stage) => ({ ...stage, depthSteps: [...stage.depthSteps] })),
      evaluations: [...this.#evaluations],
    };
  }

  /** A resumed run may be behind what was recorded; depths up to its step follow from the method. */
  #start(step: number): void {
    this.#evaluations = this.#evaluations.filter((point) => point.step <= step);
    const last = this.#evaluations.at(-1);
    for (let done = 0; done < step; done++) this.#countStep(done);
    this.#flopsExecuted = last?.flopsExecuted ?? 0;
  }

  /** Counts the 0-based step `step` by the method's plan. */
  #countStep(step: number): void {
    const { method, layerFlopsPerStep } = this.#options;
    const { units, depth } = method.plan(step);
    let stage = this.#stages.at(-1);
    if (stage?.units !== units) {
      stage = { step, units, depthSteps: new Array<number>(method.layers + 1).fill(0) };
      this.#stages.push(stage);
    }
    stage.depthSteps[depth] = (stage.depthSteps[depth] ?? 0) + 1;
    this.#flopsLayers += depth * layerFlopsPerStep;
  }
}

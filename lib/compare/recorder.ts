/** Turns the events of one run into its record for the report, through any number of resumes. */
import { AdaptiveMethod, type TrainingMethod } from '../methods/index.js';
import type { ModelConfig } from '../models/index.js';
import type { Costs, EvaluationPoint, RunRecord } from '../report/results.js';
import { flopsOfStep, type TrainEvent } from '../train/index.js';

export interface RecorderOptions {
  /** Name of the run; default: its method's name. */
  readonly label?: string;
  readonly method: TrainingMethod;
  readonly seed: number;
  /** The finished model, and the size of a step: what its layers cost follows from the method's plan. */
  readonly model: ModelConfig;
  readonly size: { readonly seq: number; readonly tokens: number };
  /** The record so far, when the run is resumed. */
  readonly previous?: RunRecord | undefined;
}

export class RunRecorder {
  readonly #options: RecorderOptions;
  #method: AdaptiveMethod;
  #started = false;
  #evaluations: EvaluationPoint[];
  #stages: { step: number; trainedLayers: number; depthSteps: number[] }[] = [];
  #finished = false;
  #source: Costs | undefined;
  #sourceUnknown = false;
  #stage = -1;
  /** What the steps so far cost by the method's plan. Calibrations, which are passes through layers alone, come on top. */
  #planned = { layers: 0, model: 0 };
  #flopsExecuted = 0;
  /** Sum and count of the training losses since the last evaluation. */
  #losses = { sum: 0, count: 0 };

  constructor(options: RecorderOptions) {
    this.#options = options;
    this.#method = new AdaptiveMethod(options.method);
    this.#evaluations = [...(options.previous?.evaluations ?? [])];
  }

  /** Its `start` comes first. */
  add(event: TrainEvent): void {
    switch (event.type) {
      case 'start':
        this.#started = true;
        if (event.source) {
          const { tokens: _, ...costs } = event.source;
          this.#source = costs;
        }
        this.#sourceUnknown = event.sourceUnknown === true;
        this.#method = new AdaptiveMethod(this.#options.method, event.seen);
        return this.#start(event);
      case 'step':
        this.#countStep(event.step - 1);
        this.#method.add(event.loss);
        this.#flopsExecuted = event.flopsExecuted;
        // A step whose loss is not finite was skipped by training.
        if (event.withoutTarget || !Number.isFinite(event.loss)) return;
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
          flopsModel: event.flopsModel,
          flopsLayers: this.#planned.layers + (event.flopsModel - this.#planned.model),
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
    const { label, method, seed, previous } = this.#options;
    // A resumed run whose turn has not come is as it was.
    if (previous && !this.#started) return previous;
    return {
      method: label ?? method.name,
      seed,
      finished: this.#finished,
      stages: this.#stages.map((stage) => ({ ...stage, depthSteps: [...stage.depthSteps] })),
      evaluations: [...this.#evaluations],
      ...(this.#source && { source: this.#source }),
      ...(this.#sourceUnknown && { sourceUnknown: true }),
    };
  }

  /** A resumed run may be behind what was recorded; depths up to its step follow from the method. */
  #start({ step, flopsExecuted }: { readonly step: number; readonly flopsExecuted: number }): void {
    this.#evaluations = this.#evaluations.filter((point) => point.step <= step);
    for (let done = 0; done < step; done++) this.#countStep(done);
    this.#flopsExecuted = flopsExecuted;
  }

  /** Counts the 0-based step `step` by the method's plan. */
  #countStep(step: number): void {
    const { model, size } = this.#options;
    const method = this.#method.current;
    const { index } = method.stageAt(step);
    const { trainedLayers, depth } = method.plan(step);
    if (this.#stage !== index) {
      this.#stage = index;
      this.#stages.push({ step, trainedLayers, depthSteps: new Array<number>(method.layers + 1).fill(0) });
    }
    const { depthSteps } = this.#stages.at(-1)!;
    depthSteps[depth] = (depthSteps[depth] ?? 0) + 1;
    const { layers, model: whole } = flopsOfStep(method, model, step, size);
    this.#planned = { layers: this.#planned.layers + layers, model: this.#planned.model + whole };
  }
}

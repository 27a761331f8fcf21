/** The compiled programs of a run: one for each layer map in use, made when first needed. */
import { accumulateGradients } from '../engine/autodiff.js';
import type { Device } from '../engine/device.js';
import { Graph } from '../engine/graph.js';
import type { ParameterStore } from '../engine/parameters.js';
import type { Program } from '../engine/program.js';
import type { LayerMap } from '../growth/index.js';
import type { StepPlan } from '../methods/method.js';
import { type BatchShape, type LanguageModel, modelWeights } from '../models/index.js';

export interface ProgramOptions {
  readonly device: Device;
  readonly store: ParameterStore;
  readonly model: LanguageModel;
  readonly precision: 'f32' | 'bf16';
}

/** A forward and backward pass of one micro-batch that adds to the store's gradients. Output: `loss` f32[1]. */
export interface TrainingProgram {
  readonly program: Program;
  /** Parameters whose gradients it adds to. */
  readonly names: readonly string[];
  /** Whether it takes the input `rng` (dropout). */
  readonly random: boolean;
}

export class RunPrograms {
  readonly #options: ProgramOptions;
  readonly #training = new Map<string, TrainingProgram>();
  readonly #evaluation = new Map<string, Program>();

  constructor(options: ProgramOptions) {
    this.#options = options;
  }

  /** The training program of a step's network; its gradients are those of loss / accumulation. */
  async training(plan: StepPlan, shape: BatchShape, accumulation: number): Promise<TrainingProgram> {
    const { device, store, model, precision } = this.#options;
    const { trainable } = plan;
    const frozen = trainable ? model.parameters(plan.units).filter(({ name }) => !trainable(name)) : [];
    const key = [plan.layerMap.join(), ...frozen.map(({ name }) => name)].join('|');
    let entry = this.#training.get(key);
    if (!entry) {
      const graph = new Graph();
      const weights = modelWeights(graph, model, precision);
      const { loss } = model.trace(graph, weights, shape, { layerMap: plan.layerMap, training: true });
      const names = accumulateGradients(loss, { scale: 1 / accumulation, ...(trainable && { trainable }) });
      graph.output('loss', loss);
      entry = { program: await device.compile(graph, { store }), names, random: graph.inputs.has('rng') };
      this.#training.set(key, entry);
    }
    return entry;
  }

  /** The forward pass of one held-out batch without dropout. Outputs: `loss` (mean) and `count` of its labels. */
  async evaluation(layerMap: LayerMap, shape: BatchShape): Promise<Program> {
    const { device, store, model, precision } = this.#options;
    const key = layerMap.join();
    let program = this.#evaluation.get(key);
    if (!program) {
      const graph = new Graph();
      const weights = modelWeights(graph, model, precision);
      const { loss, count } = model.trace(graph, weights, shape, { layerMap, training: false });
      graph.output('loss', loss);
      graph.output('count', count);
      program = await device.compile(graph, { store });
      this.#evaluation.set(key, program);
    }
    return program;
  }

  /** Lets go of all programs, at a stage's end. */
  clear(): void {
    for (const { program } of this.#training.values()) program.dispose();
    for (const program of this.#evaluation.values()) program.dispose();
    this.#training.clear();
    this.#evaluation.clear();
  }
}

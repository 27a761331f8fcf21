/** The compiled programs of a run: one for each network in use, made when first needed. */
import { accumulateGradients } from '../engine/autodiff.js';
import type { Device } from '../engine/device.js';
import { Graph } from '../engine/graph.js';
import type { ParameterStore } from '../engine/parameters.js';
import type { Program } from '../engine/program.js';
import type { LayerMap } from '../growth/index.js';
import type { StepPlan } from '../methods/method.js';
import type { BatchShape } from '../models/index.js';
import type { StageNetwork } from './stage.js';

export interface ProgramOptions {
  readonly device: Device;
  readonly store: ParameterStore;
  readonly network: StageNetwork;
  readonly precision: 'f32' | 'bf16';
}

/** A forward and backward pass of one micro-batch that adds to the store's gradients. Output: `loss` f32[1]. */
export interface TrainingProgram {
  readonly program: Program;
  /** Parameters whose gradients it adds to. */
  readonly names: readonly string[];
  /** Whether it takes the input `rng` (dropout). */
  readonly random: boolean;
  /** Whether it takes the input `share` f32[1], the factor of the micro-batch's loss; without it that is 1. */
  readonly weighted: boolean;
}

/** Training programs that are kept; a method that drops layers at random has thousands of networks. */
const keptPrograms = 64;

export class RunPrograms {
  readonly #options: ProgramOptions;
  /** In the order of their last use. */
  readonly #training = new Map<string, TrainingProgram>();
  readonly #evaluation = new Map<string, Program>();

  constructor(options: ProgramOptions) {
    this.#options = options;
  }

  /**
   * The training program of a step's network. With several micro-batches its gradients are those of share * loss, `share`
   * being the micro-batch's share of the step's labels: together they are those of the mean over all labels of the step.
   */
  async training(plan: StepPlan, shape: BatchShape, accumulation: number): Promise<TrainingProgram> {
    const { network } = this.#options;
    const { trainable } = plan;
    const frozen = trainable ? network.specs.filter(({ name }) => !trainable(name)) : [];
    const scaled = plan.branchScales ? 'scaled' : '';
    const key = [plan.layerMap.join(), scaled, ...frozen.map(({ name }) => name)].join('|');
    const entry = this.#training.get(key) ?? (await this.#compileTraining(plan, shape, accumulation));
    this.#training.delete(key);
    this.#training.set(key, entry);
    for (const [oldest, { program }] of this.#training) {
      if (this.#training.size <= keptPrograms) break;
      this.#training.delete(oldest);
      program.dispose();
    }
    return entry;
  }

  async #compileTraining(plan: StepPlan, shape: BatchShape, accumulation: number): Promise<TrainingProgram> {
    const { device, store, network, precision } = this.#options;
    const { trainable, layerMap, branchScales } = plan;
    const graph = new Graph();
    const weights = network.weights(graph, precision);
    const options = { layerMap, training: true, branchScales: branchScales !== undefined };
    const { loss } = network.model.trace(graph, weights, shape, options);
    const weighted = accumulation > 1;
    const scale = weighted ? graph.input('share', [1]) : 1;
    const names = accumulateGradients(loss, { scale, ...(trainable && { trainable }) });
    graph.output('loss', loss);
    return { program: await device.compile(graph, { store }), names, random: graph.inputs.has('rng'), weighted };
  }

  /** The forward pass of one held-out batch without dropout. Outputs: `loss` (mean) and `count` of its labels. */
  async evaluation(layerMap: LayerMap, shape: BatchShape): Promise<Program> {
    const { device, store, network, precision } = this.#options;
    const key = layerMap.join();
    let program = this.#evaluation.get(key);
    if (!program) {
      const graph = new Graph();
      const weights = network.weights(graph, precision);
      const { loss, count } = network.model.trace(graph, weights, shape, { layerMap, training: false });
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

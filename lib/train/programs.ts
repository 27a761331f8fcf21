/** The compiled programs of a run: one for each depth in use, made when first needed. */
import { accumulateGradients } from '../engine/autodiff.js';
import type { Binding, ParameterNames } from '../engine/binding.js';
import type { Device } from '../engine/device.js';
import { Graph } from '../engine/graph.js';
import type { ParameterStore } from '../engine/parameters.js';
import type { Program } from '../engine/program.js';
import type { LayerMap } from '../growth/index.js';
import { type Gates, identityMap, type StepPlan } from '../methods/method.js';
import type { BatchShape } from '../models/index.js';
import type { BatchInputs } from './corpus.js';
import { type Objective, traceLoss } from './objective.js';
import { storedNames } from './places.js';
import type { StageNetwork } from './stage.js';

export interface ProgramOptions {
  readonly device: Device;
  readonly store: ParameterStore;
  readonly network: StageNetwork;
  readonly precision: 'f32' | 'bf16';
  /** In place of the model's own. */
  readonly objective?: Objective | undefined;
  /** Whether training programs add their losses up in the store, for a group of ranks. */
  readonly sumLoss?: boolean | undefined;
}

/** The inputs of a program with gates: one number for each place. */
export function gateInputs({ branchScales, blockGates }: Gates): Record<string, Float32Array> {
  return {
    ...(branchScales && { branchScales: Float32Array.from(branchScales) }),
    ...(blockGates && { blockGates: Float32Array.from(blockGates) }),
  };
}

/** The fields of a batch that a program reads: an objective may leave some of them unused. */
export function fieldsOf({ inputs }: Program, batch: BatchInputs): BatchInputs {
  return Object.fromEntries(inputs.flatMap(({ name }) => (batch[name] === undefined ? [] : [[name, batch[name]]])));
}

/** Trace options of a network with these gates. */
function gateOptions({ branchScales, blockGates }: Gates) {
  return { branchScales: branchScales !== undefined, blockGates: blockGates !== undefined };
}

const gateNames = (gates: Gates) => Object.keys(gateInputs(gates));

/** A forward and backward pass of one micro-batch that adds to the store's gradients. Output: `loss` f32[1]. */
export interface TrainingProgram {
  readonly program: Program;
  /** Whether it stands for all networks of its depth, whose parameters a run is given; else for one. */
  readonly byPlace: boolean;
  /** The parameters of the step's network; absent where the program was compiled with them. */
  readonly binding?: Binding | undefined;
  /** Parameters whose gradients it adds to. */
  readonly names: readonly string[];
  /** Whether it takes the input `rng` (dropout). */
  readonly random: boolean;
  /** Whether it takes the input `share` f32[1], the factor of the micro-batch's loss; without it that is 1. */
  readonly weighted: boolean;
}

/** A compiled program and the network that it ran last. */
interface Kept {
  readonly program: Program;
  readonly random: boolean;
  readonly weighted: boolean;
  /** Names in the program of what it adds gradients to. */
  readonly names: readonly string[];
  /** The network it was compiled with. */
  readonly layerMap: string;
  last: { readonly layerMap: string; readonly training: TrainingProgram } | undefined;
}

/** Training programs that are kept: one for each depth, and more where a method freezes ever other places. */
const keptPrograms = 64;

export class RunPrograms {
  readonly #options: ProgramOptions;
  /** In the order of their last use. */
  readonly #training = new Map<string, Kept>();
  readonly #evaluation = new Map<string, Program>();

  constructor(options: ProgramOptions) {
    this.#options = options;
  }

  /**
   * The training program of a step's network. With several micro-batches its gradients are those of share * loss, `share`
   * being the micro-batch's share of the step's labels: together they are those of the mean over all labels of the step.
   * Networks of one depth are one program, which runs on the parameters of the layers in the map. Where weights are
   * expressions of other parameters, or the network is deeper than the finished model, each map has a program of its own.
   */
  async training(plan: StepPlan, shape: BatchShape, accumulation: number): Promise<TrainingProgram> {
    const { layerMap } = plan;
    const { key, places, trains, stored } = this.#requestOf(plan);
    const request = { plan, shape, accumulation, places, trains, stored };
    const kept = this.#training.get(key) ?? (await this.#compileTraining(request));
    this.#training.delete(key);
    this.#training.set(key, kept);
    for (const [oldest, { program }] of this.#training) {
      if (this.#training.size <= keptPrograms) break;
      this.#training.delete(oldest);
      program.dispose();
    }
    const { program, random, weighted, names } = kept;
    const map = layerMap.join();
    if (kept.last?.layerMap === map) return kept.last.training;
    const own = { program, random, weighted, byPlace: stored !== undefined };
    const binding = stored && map !== kept.layerMap ? program.bind(stored) : undefined;
    const training = { ...own, names: stored ? [...new Set(names.map(stored))] : names, binding };
    kept.last = { layerMap: map, training };
    return training;
  }

  /** Whether the training program of a step's network is compiled. */
  has(plan: StepPlan): boolean {
    return this.#training.has(this.#requestOf(plan).key);
  }

  #requestOf(plan: StepPlan) {
    const { network } = this.#options;
    const { layerMap } = plan;
    const byPlace = !network.reparameterisation && layerMap.length <= network.model.config.layers;
    const places = byPlace ? identityMap(layerMap.length) : layerMap;
    const stored = byPlace ? storedNames(layerMap) : undefined;
    const trains = (name: string) => plan.trainable?.(stored ? stored(name) : name) ?? true;
    const specs = () => (stored ? network.model.parameters(layerMap.length) : network.specs);
    const frozen = plan.trainable ? specs().filter(({ name }) => !trains(name)) : [];
    const key = [places.join(), ...gateNames(plan), ...frozen.map(({ name }) => name)].join('|');
    return { key, places, trains, stored };
  }

  async #compileTraining(request: {
    readonly plan: StepPlan;
    readonly shape: BatchShape;
    readonly accumulation: number;
    readonly places: LayerMap;
    readonly trains: (name: string) => boolean;
    readonly stored: ParameterNames | undefined;
  }): Promise<Kept> {
    const { device, store, network, precision, objective, sumLoss } = this.#options;
    const { plan, shape, accumulation, places, trains, stored } = request;
    const graph = new Graph();
    const weights = network.weights(graph, precision);
    const options = { layerMap: places, training: true, ...gateOptions(plan) };
    const { loss } = traceLoss(objective, { graph, model: network.model, weights, shape, options });
    const weighted = accumulation > 1;
    const scale = weighted ? graph.input('share', [1]) : 1;
    const names = accumulateGradients(loss, {
      scale,
      guard: true,
      ...(sumLoss && { sumLoss }),
      ...(plan.trainable && { trainable: trains }),
    });
    graph.output('loss', loss);
    const program = await device.compile(graph, { store, parameters: stored });
    const layerMap = plan.layerMap.join();
    return { program, names, random: graph.inputs.has('rng'), weighted, layerMap, last: undefined };
  }

  /**
   * The forward pass of one held-out batch without dropout. Outputs: `loss` (mean) and `count` of its labels. With `gates`
   * it takes the inputs of their kind.
   */
  async evaluation(layerMap: LayerMap, shape: BatchShape, gates?: Gates): Promise<Program> {
    const { device, store, network, precision, objective } = this.#options;
    const key = [layerMap.join(), ...(gates ? gateNames(gates) : [])].join('|');
    let program = this.#evaluation.get(key);
    if (!program) {
      const graph = new Graph();
      const weights = network.weights(graph, precision);
      const options = { layerMap, training: false, ...(gates && gateOptions(gates)) };
      const { loss, count } = traceLoss(objective, { graph, model: network.model, weights, shape, options });
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

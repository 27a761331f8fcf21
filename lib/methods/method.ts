/**
 * The interface of a training method: for each step, which weights form which layers and which of them train; at the
 * start of a stage, how weights and optimizer moments grow. All of it is a pure function of the step (and, for a
 * method that adapts, of the losses before it), so a run can be resumed anywhere. The loop knows no method by name.
 */
import type { Graph, Tensor } from '../engine/graph.js';
import type { StateSlot } from '../engine/optim/slots.js';
import type { LayerMap, Stage } from '../growth/index.js';
import * as is from '../is.js';
import type { ModelConfig, ParameterSpec, StageShape } from '../models/index.js';
import type { Weights } from '../nn/layers.js';

/** A stage and its trained layers. */
export interface MethodStage extends Stage {
  /** Widths of its network; absent: the finished model's. */
  readonly shape?: StageShape;
  /** Parameters that the model's weights are expressions of; absent: the weights are the parameters. */
  readonly reparameterisation?: Reparameterisation;
}

/**
 * A network whose weights are expressions of other parameters, as in LiGO: while such a stage lasts, the store holds
 * `parameters`, and at its end every weight of the model becomes the value of its expression.
 */
export interface Reparameterisation {
  /** Everything the store holds; names differ from the model's. */
  readonly parameters: readonly ParameterSpec[];
  /** Value at the start of the stage; `source` as in `InitialWeights`. */
  initial(spec: ParameterSpec, source: WeightSource): Promise<Float32Array>;
  /** The model's weights; `base` gives the stage's own parameters by name. Shapes as the model asks, f32 or bf16. */
  weights(graph: Graph, base: Weights): Weights;
}

/** Weights to start from: those of a model that was trained before. Values are row-major; do not change them. */
export interface WeightSource {
  /** Configuration of the trained model. */
  readonly config: ModelConfig;
  /** Layers that it has. */
  readonly layers: number;
  /** The f32 values of a parameter, row-major. @throws {ApolloError} BAD_ARGUMENT for a name it does not have. */
  read(name: string): Promise<Float32Array>;
}

/** A run that starts from the weights of a trained model instead of random ones. */
export interface InitialWeights {
  /** Folder of the run that trained it, of its checkpoints, of one, or a Hugging Face folder. */
  readonly source: string;
  /** Checks the trained model. @throws {ApolloError} BAD_CONFIG when the run cannot start from a model of this kind. */
  check(source: ModelConfig, layers: number): void;
  /** Value of a parameter of the first stage; unused where that stage has a reparameterisation. */
  value(spec: ParameterSpec, source: WeightSource): Promise<Float32Array>;
}

/**
 * Rule for the optimizer's state when a layer's weights are copied: copied along ('copy'), cleared ('zero'), left
 * as the target had it ('keep'), or taken along for gradients that become `scale` times what they were.
 */
export type MomentRule = 'copy' | 'zero' | 'keep' | { readonly scale: number };

/** One layer's copy at a growth. `from === to` changes the moments alone. */
export interface LayerCopy {
  /** The layer that is read, from 0, as it was before the growth. */
  readonly from: number;
  /** The layer that gets its weights, from 0. */
  readonly to: number;
  /** What becomes of the optimizer's state of layer `to`. */
  readonly moments: MomentRule;
}

/** Layers are copied on the device; the values of parameters that no layer owns stay as they are. */
export interface LayerGrowth {
  /** Tells growth by copies of layers from the other kinds. */
  readonly kind: 'layers';
  /** Number of trained layers before. */
  readonly from: number;
  /** Number of trained layers after. */
  readonly to: number;
  /** In an order in which no copy overwrites a layer that is still to be read. */
  readonly copies: readonly LayerCopy[];
  /** Rule for the moments of parameters that no layer owns; default: they stay. */
  readonly shared?: 'keep' | 'zero';
  /**
   * Whether the output projections of all layers are then multiplied by one factor in [from / to, 1] with which the
   * residual stream before the final norm is as large as it was.
   */
  readonly calibrate?: boolean;
}

/** Every tensor becomes an expression over the one of its name, computed on the device: growth in width. */
export interface StateGrowth {
  /** Tells growth in which every tensor changes from the other kinds. */
  readonly kind: 'state';
  /** Number of trained layers before. */
  readonly from: number;
  /** Number of trained layers after; the same as `from` where only widths grow. */
  readonly to: number;
  /** A parameter of the grown network; `before`: its value, f32 in the shape it had. */
  value(spec: ParameterSpec, before: Tensor): Tensor;
  /** Its optimizer state in a slot, in the same form. Absent: zeros, and the step counts start at 0. */
  moment?(spec: ParameterSpec, slot: StateSlot, before: Tensor): Tensor;
}

/** The expressions of a reparameterised stage become weights; all moments and step counts are reset to zero. */
export interface Materialisation {
  /** Tells the end of a reparameterised stage from the other kinds. */
  readonly kind: 'materialise';
  /** Number of trained layers before. */
  readonly from: number;
  /** Number of trained layers after. */
  readonly to: number;
}

/** What is done at the beginning of a stage. */
export type GrowthPlan = LayerGrowth | StateGrowth | Materialisation;

/** Factors of a network's layers, given for each trained layer or for each place; 1 where absent. */
export interface Gates {
  /** Scales of both residual branches. */
  readonly branchScales?: readonly number[];
  /** Gates m of whole layers: h = m layer(h) + (1 - m) h. */
  readonly blockGates?: readonly number[];
}

/** `Gates` here are for each place, as many as the depth. */
export interface StepPlan extends Gates {
  /** Trained layers of the stage. */
  readonly trainedLayers: number;
  /** Layers of this step's network. */
  readonly depth: number;
  /** `layerMap[i]` is the trained layer at place i; its length is the depth. */
  readonly layerMap: LayerMap;
  /** Which parameters train; all when absent. */
  readonly trainable?: (name: string) => boolean;
  /** Places at the bottom through which no gradient flows: they cost a forward pass only. */
  readonly forwardOnly?: number;
  /**
   * Which of the parameters with gradients get an update; all when absent. Others keep value, moments and step count and
   * do not decay. Layers that are not in the map get none either way.
   */
  readonly updates?: (name: string) => boolean;
  /** Factor on the learning rate of each parameter; 1 when absent. */
  readonly rateFactor?: (name: string) => number;
  /**
   * A factor on the scheduled learning rate, a rate that replaces it, or the rate of a schedule that restarts at step
   * `since` with a warm-up of `warmupSteps`.
   */
  readonly learningRate?:
    | { readonly factor: number }
    | { readonly value: number }
    | { readonly since: number; readonly warmupSteps: number };
  /** Factor on the learning rate of each trained layer, as many as `trainedLayers`; 1 for all other parameters and when absent. */
  readonly layerRates?: readonly number[];
  /** FLOPs of the step beyond those of its network, e.g. of weights that are computed. */
  readonly extraFlops?: number;
}

/** How a method decides by the training losses it sees, see adaptive.ts. */
export interface Adaptive {
  /** Steps of a window of losses. */
  readonly window: number;
  /**
   * The method after windows with these mean losses (NaN: no finite loss in it): a pure function of them. What it says of
   * steps that those windows cover, and of the next step, stays so with more windows.
   */
  after(means: readonly number[]): TrainingMethod;
}

/** A training method: what each step trains and how the network grows. All answers are pure functions of the step. */
export interface TrainingMethod {
  /** Its name in checkpoints and messages; a run resumes only with the method of the same name and settings. */
  readonly name: string;
  /** Depth of the finished model. */
  readonly layers: number;
  /** The validated settings, as plain data: a checkpoint keeps them and a resumed run must have the same. */
  readonly settings: Readonly<Record<string, unknown>>;
  /** Initial weights of the run; absent: random ones. */
  readonly initial?: InitialWeights;
  /** The stage of step `step` (0-based). */
  stageAt(step: number): MethodStage;
  /** The network of step `step` (0-based). */
  plan(step: number): StepPlan;
  /** Maps for evaluation during the stage of `step`: at full depth, and the trained layers alone. */
  evaluationMaps(step: number): {
    /** Which trained layer is at each place of the finished model. */
    readonly full: LayerMap;
    /** Which trained layer is at each place of the network of the stage's trained layers alone. */
    readonly stage: LayerMap;
  };
  /** Gates of the trained layers when the network is evaluated: those of the step. Absent or undefined: none. */
  evaluationGates?(step: number): Gates | undefined;
  /** When `step` is the first of a new stage: the growth before it. */
  growth(step: number): GrowthPlan | undefined;
  /** Present when stages depend on the losses of the run; without them the method tells the latest it may grow. */
  readonly adaptive?: Adaptive;
}

/** Context of a method, in addition to its options: methods that grow in width plan in the finished model's shapes. */
export interface MethodContext {
  /**
   * Configuration of the finished model. Methods that need it, such as those that grow in width, refuse to be made
   * without it (BAD_CONFIG).
   */
  readonly model?: ModelConfig | undefined;
  /** Tokens of a step, through all ranks: how long the run is for its model. A run gives it to methods by name. */
  readonly tokensPerStep?: number | undefined;
}

const takesIdentityMap = is.takes('identityMap', { layers: is.listed });

/**
 * The map of a network whose layers all have their own weights.
 * @example
 * identityMap(3) // [0, 1, 2]
 */
export function identityMap(layers: number): number[] {
  takesIdentityMap(layers);
  return Array.from({ length: layers }, (_, layer) => layer);
}

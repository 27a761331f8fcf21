/**
 * `apollo-lm/methods`: training methods by name, and the interface and helpers for methods from outside of the package
 * (docs/methods/README.md and examples/own-method).
 * @module methods
 */

export type { SeenLosses } from './adaptive.js';
export type { ApolloOptions } from './apollo.js';
export type { AutoOptions } from './auto.js';
export type { Bert2BertOptions } from './bert2bert.js';
export { type DepthGrowth, depthGrowth } from './depth-growth.js';
export type { DptOptions } from './dpt.js';
export type { GrowthGate } from './gates.js';
export type { GrowthRate } from './growth-rate.js';
export type { GStackOptions } from './gstack.js';
export type { LayerDropOptions } from './layerdrop.js';
export type { LidasOptions } from './lidas.js';
export type { LigoOptions } from './ligo.js';
export type { LoopOptions } from './loop.js';
export {
  type Adaptive,
  type Gates,
  type GrowthPlan,
  type InitialWeights,
  identityMap,
  type LayerCopy,
  type LayerGrowth,
  type Materialisation,
  type MethodContext,
  type MethodStage,
  type MomentRule,
  type Reparameterisation,
  type StateGrowth,
  type StepPlan,
  type TrainingMethod,
  type WeightSource,
} from './method.js';
export type { MidasOptions } from './midas.js';
export { type CopyOptions, layerCopies, type MomentOption } from './moments.js';
export type { MsltOptions } from './mslt.js';
export type { Net2NetOptions } from './net2net.js';
export type { PldOptions } from './pld.js';
export type { ProResOptions } from './prores.js';
export type { RaptrOptions } from './raptr.js';
export {
  type AnyMethodName,
  type ChosenMethod,
  type CommonOptions,
  createMethod,
  type MethodChoice,
  type MethodDefinition,
  type MethodName,
  type MethodOptions,
  methodNames,
  registerMethod,
} from './registry.js';
export type { ScratchOptions } from './scratch.js';
export type { StackBertOptions } from './stackbert.js';
export type { StagedOptions } from './staged.js';
export type { UnshareOptions } from './unshare.js';

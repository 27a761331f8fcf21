/** Several processes that train one model: which rank this one is, the group they form, and the exchange of gradients. */
export { agreed, checkSame, firstThenOthers, fromFirst, rankFailed } from './agree.js';
export type { Network } from './collective-cost.js';
export {
  type ExchangedStep,
  type ExchangeOptions,
  GradientExchange,
  type QueuedExchange,
  type StartedExchange,
  type StepShare,
} from './gradient-exchange.js';
export { nativeGroupOf } from './group.js';
export { type OuterOptions, OuterStep, outerSlots } from './outer-step.js';
export * from './public.js';
export { type RankPlace, rankOf } from './rank.js';
export { type EndedRank, type RankWatch, watchRanks } from './rank-watch.js';
export { StepAgreement, type StepExchange } from './step-agreement.js';
export {
  backwardShare,
  type ExchangeModel,
  engineOverlap,
  type RankModeName,
  rankModes,
  runCost,
  type StageLoad,
  type StepCost,
  type StepLoad,
  stepCost,
} from './step-cost.js';

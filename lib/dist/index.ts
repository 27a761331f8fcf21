/** Several processes that train one model: which rank this one is, the group they form, and the exchange of gradients. */
export { agreed, checkSame, firstThenOthers, fromFirst, rankFailed } from './agree.js';
export {
  type BegunExchange,
  type ExchangedStep,
  type ExchangeOptions,
  GradientExchange,
  type QueuedExchange,
  type StepShare,
} from './gradient-exchange.js';
export { alone, type Group, openGroup } from './group.js';
export { type Environment, type RankPlace, rankOf } from './rank.js';

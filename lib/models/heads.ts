/** Sizes of attention heads, as configurations have them. */
import type { ModelConfig } from './config.js';

/** Dimensions of each head. */
export const headSizeOf = ({ hidden, heads, headSize }: ModelConfig): number => headSize ?? hidden / heads;

/** Key/value heads, each of which serves a group of query heads. */
export const keyValueHeadsOf = ({ heads, keyValueHeads }: ModelConfig): number => keyValueHeads ?? heads;

/** Query heads that share a key/value head. */
export const groupSizeOf = (config: ModelConfig): number => config.heads / keyValueHeadsOf(config);

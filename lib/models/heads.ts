/** Sizes of attention heads, as configurations have them. */
import type { ModelConfig } from './config.js';

/** Dimensions of each head. */
export const headSizeOf = ({ hidden, heads, headSize }: ModelConfig): number => headSize ?? hidden / heads;

/** Key/value heads, each of which serves heads / keyValueHeads query heads. */
export const keyValueHeadsOf = ({ heads, keyValueHeads }: ModelConfig): number => keyValueHeads ?? heads;

/** Sizes of attention heads, as configurations have them. */
import { ApolloError } from '../errors.js';
import type { ModelConfig } from './config.js';

/** Dimensions of each head. */
export const headSizeOf = ({ hidden, heads, headSize }: ModelConfig): number => headSize ?? hidden / heads;

/** Key/value heads, each of which serves a group of query heads. */
export const keyValueHeadsOf = ({ heads, keyValueHeads }: ModelConfig): number => keyValueHeads ?? heads;

/** Query heads that share a key/value head. */
export const groupSizeOf = (config: ModelConfig): number => config.heads / keyValueHeadsOf(config);

/** @throws ApolloError BAD_CONFIG naming `setting` when that number of heads is not a multiple of `config`'s group size. */
export function checkWholeGroups(setting: string, heads: number, config: ModelConfig): void {
  const group = groupSizeOf(config);
  if (heads % group === 0) return;
  throw new ApolloError(
    'BAD_CONFIG',
    `${setting}: must be a multiple of the ${group} that share a key/value head; got ${heads}.`,
  );
}

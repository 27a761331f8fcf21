/** Rules for the optimizer's state when layers are copied, and the copies of a layer map. */
import { z } from 'zod';
import { check } from '../errors.js';
import type { LayerMap } from '../growth/index.js';
import * as is from '../is.js';
import { newLayers } from './growth-rate.js';
import type { LayerCopy, MomentRule } from './method.js';

/**
 * 'old-kept-new-zero': the first copy of a layer takes its state along, further copies start with zeros and a step count
 * of 0 (SPARKLING, 2602.02472, section 4, in depth). 'copy': goes with the weights. 'release': as the released code of
 * Apollo leaves it, new layers fresh and old ones with the moments they had. 'reset': all layers fresh. 'copyScaled': as
 * 'copy', scaled by the change in how often a layer is used.
 */
export const momentOption = z.enum(['copy', 'old-kept-new-zero', 'release', 'reset', 'copyScaled']);
/** What becomes of the optimizer's state when layers are copied. */
export type MomentOption = z.output<typeof momentOption>;

/** Options of {@link layerCopies}. */
export interface CopyOptions {
  /** The rule from which that of each copy follows. */
  readonly moments: MomentOption;
  /** Trained layers before the growth. */
  readonly from: number;
  /** Uses of a layer after the growth over those before: a layer's gradient is the sum over its uses. */
  readonly scale?: number;
}

/** The rule for layer `to` whose weights come from layer `from`; undefined when nothing changes. */
function momentRule(from: number, to: number, isNew: boolean, { moments, from: before, scale = 1 }: CopyOptions) {
  const rules: Record<MomentOption, MomentRule | undefined> = {
    copy: from === to ? undefined : 'copy',
    'old-kept-new-zero': isNew ? 'zero' : from === to ? undefined : 'copy',
    release: from === to ? undefined : to >= before ? 'zero' : 'keep',
    reset: 'zero',
    copyScaled: { scale },
  };
  return rules[moments];
}

const takesLayerCopies = is.takes('layerCopies', {
  map: is.layerMap,
  options: is.options({
    moments: is.oneOf(...momentOption.options),
    from: is.count,
    scale: is.optional(is.positive),
  }),
});

/**
 * The copies by which layer i becomes what layer `map[i]` was, from the top down: map[i] <= i, so a layer is read before it
 * is overwritten.
 * @example
 * const copies = layerCopies([0, 1, 0, 1], { moments: 'copy', from: 2 });
 * @throws {ApolloError} BAD_ARGUMENT for a map that has a layer start from one above it.
 */
export function layerCopies(map: LayerMap, options: CopyOptions): LayerCopy[] {
  takesLayerCopies(map, options);
  const upward = map.findIndex((from, to) => from > to);
  check(
    upward < 0,
    `layerCopies: map must have each layer start from itself or from one below, since layers are copied in place from the ` +
      `top down; got [${map.join(', ')}], where layer ${upward} starts from layer ${map[upward]}`,
  );
  const copies: LayerCopy[] = [];
  const isNew = newLayers(map);
  map.forEach((from, to) => {
    const moments = momentRule(from, to, isNew[to] as boolean, options);
    if (moments !== undefined) copies.unshift({ from, to, moments });
  });
  return copies;
}

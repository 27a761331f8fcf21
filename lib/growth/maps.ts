/**
 * Layer maps: which of the trained layers is at each place of a network of `depth` layers. The same map shares
 * weights during a stage and copies them at its end (Pan et al., AAAI 2024, Eq. 11 and 12).
 */
import { check } from '../errors.js';
import * as is from '../is.js';

/** `map[i]` is the trained layer (0-based) at place i. */
export type LayerMap = readonly number[];

/** A rule that puts the trained layers at `depth` places; it uses each of them at least once. */
export type Expansion = (trainedLayers: number, depth: number) => number[];

function checkSizes(name: string, trainedLayers: number, depth: number): void {
  check(
    Number.isSafeInteger(trainedLayers) && Number.isSafeInteger(depth) && trainedLayers >= 1 && depth >= trainedLayers,
    `${name}(trainedLayers, depth) needs whole numbers with 1 <= trainedLayers <= depth; got trainedLayers ${trainedLayers}, depth ${depth}.`,
  );
}

const takesInterpolate = is.takes('interpolate', { trainedLayers: is.number, depth: is.number });

/**
 * Interpolation: `map[i] = floor(i * trainedLayers / depth)`, in whole numbers. (The released code divides by the float
 * depth / trainedLayers, which is one too small at a few places, first at 14 -> 18.) `interpolate(3, 6)` is [0, 0, 1, 1, 2, 2].
 * @example
 * interpolate(2, 4) // [0, 0, 1, 1]
 * @throws ApolloError BAD_ARGUMENT unless 1 <= trainedLayers <= depth.
 */
export function interpolate(trainedLayers: number, depth: number): number[] {
  takesInterpolate(trainedLayers, depth);

  checkSizes('interpolate', trainedLayers, depth);
  return Array.from({ length: depth }, (_, place) => {
    const product = place * trainedLayers;
    return (product - (product % depth)) / depth;
  });
}

const takesStack = is.takes('stack', { trainedLayers: is.number, depth: is.number });

/**
 * Stacking as released: whole copies of the trained layers one above the other; a remainder of r places takes the top r of them.
 * `stack(3, 7)` is [0, 1, 2, 0, 1, 2, 2].
 * @example
 * stack(2, 4) // [0, 1, 0, 1]
 * @throws ApolloError BAD_ARGUMENT unless 1 <= trainedLayers <= depth.
 */
export function stack(trainedLayers: number, depth: number): number[] {
  takesStack(trainedLayers, depth);

  checkSizes('stack', trainedLayers, depth);
  const remainder = depth % trainedLayers;
  const whole = depth - remainder;
  return Array.from({ length: depth }, (_, place) =>
    place < whole ? place % trainedLayers : trainedLayers - remainder + (place - whole),
  );
}

const takesStackModulo = is.takes('stackModulo', { trainedLayers: is.number, depth: is.number });

/**
 * Stacking by the formula of the paper: `map[i] = i mod trainedLayers`. `stackModulo(3, 7)` is [0, 1, 2, 0, 1, 2, 0].
 * @example
 * stackModulo(2, 5)
 * @throws ApolloError BAD_ARGUMENT unless 1 <= trainedLayers <= depth.
 */
export function stackModulo(trainedLayers: number, depth: number): number[] {
  takesStackModulo(trainedLayers, depth);

  checkSizes('stackModulo', trainedLayers, depth);
  return Array.from({ length: depth }, (_, place) => place % trainedLayers);
}

const takesStackTop = is.takes('stackTop', { trainedLayers: is.number, depth: is.number });

/**
 * Stacking of the topmost layers: the trained layers, then a copy of the top `depth - trainedLayers` of them, at most as many as there
 * are. `stackTop(3, 5)` is [0, 1, 2, 1, 2] (progressive stacking 2.0).
 * @example
 * stackTop(2, 3)
 * @throws ApolloError BAD_ARGUMENT unless 1 <= trainedLayers <= depth <= 2 trainedLayers.
 */
export function stackTop(trainedLayers: number, depth: number): number[] {
  takesStackTop(trainedLayers, depth);

  checkSizes('stackTop', trainedLayers, depth);
  check(
    depth <= 2 * trainedLayers,
    `stackTop(trainedLayers, depth) adds at most as many layers as there are; got ${trainedLayers} -> ${depth}.`,
  );
  return Array.from({ length: depth }, (_, place) => (place < trainedLayers ? place : place - (depth - trainedLayers)));
}

/**
 * The expansions by the name used in configurations.
 * @example
 * expansions.stack(2, 4) // [0, 1, 0, 1]
 */
export const expansions = {
  /** Copies of a layer are side by side: `map[i] = floor(i * trainedLayers / depth)`; {@link interpolate}. */
  interpolate,
  /** Whole copies of the trained layers one above the other, then the top ones; {@link stack}. */
  stack,
  /** Whole copies one above the other, then the bottom ones: `map[i] = i mod trainedLayers`; {@link stackModulo}. */
  stackModulo,
} as const satisfies Record<string, Expansion>;
/**
 * The expansions by name, see {@link expansions}.
 * @example
 * const name: ExpansionName = 'interpolate';
 */
export type ExpansionName = keyof typeof expansions;

const takesGrowThrough = is.takes('growThrough', { stageLayers: is.list(is.count, { least: 1 }), expand: is.func });

/**
 * Which layer of the first stage is at each place after growing through all of `stageLayers` by `expand`, one after the
 * other. `growThrough([3, 6, 12], stack)` is `stack(3, 12)`.
 * @example
 * growThrough([1, 2, 4], interpolate) // [0, 0, 0, 0]
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function growThrough(stageLayers: readonly number[], expand: Expansion): number[] {
  takesGrowThrough(stageLayers, expand);

  const [first = 0, ...rest] = stageLayers;
  let depth = first;
  return rest.reduce<number[]>(
    (layers, next) => {
      const grown = compose(layers, expand(depth, next));
      depth = next;
      return grown;
    },
    interpolate(first, first),
  );
}

const takesCompose = is.takes('compose', { inner: is.list(is.index), outer: is.list(is.number) });

/**
 * The map that first goes through `outer` and then `inner`: place i of the deep network holds `inner[outer[i]]`.
 * @example
 * compose([0, 1, 1], [0, 1, 2, 2]) // [0, 1, 1, 1]
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function compose(inner: LayerMap, outer: LayerMap): number[] {
  takesCompose(inner, outer);

  return outer.map((middle) => {
    const layer = inner[middle];
    check(layer !== undefined, `compose: the outer map names layer ${middle}, the inner map has ${inner.length}.`);
    return layer;
  });
}

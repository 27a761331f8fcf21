/**
 * Layer maps: which of `units` trained layers stands at each place of a network of `depth` layers. The same map shares
 * weights during a stage and copies them at its end (Pan et al., AAAI 2024, Eq. 11 and 12).
 */
import { check } from '../errors.js';
import * as is from '../is.js';

/** `map[i]` is the unit (0-based) at place i. */
export type LayerMap = readonly number[];

/** A rule that places `units` layers at `depth` places; every unit is used at least once. */
export type Expansion = (units: number, depth: number) => number[];

function checkSizes(name: string, units: number, depth: number): void {
  check(
    Number.isSafeInteger(units) && Number.isSafeInteger(depth) && units >= 1 && depth >= units,
    `${name}(units, depth) needs whole numbers with 1 <= units <= depth; got units ${units}, depth ${depth}.`,
  );
}

const takesInterpolate = is.takes('interpolate', { units: is.number, depth: is.number });

/**
 * Interpolation: `map[i] = floor(i * units / depth)`, in whole numbers. (The released code divides by the float
 * depth / units, which is one too small at a few places, first at 14 -> 18.) `interpolate(3, 6)` is [0, 0, 1, 1, 2, 2].
 * @throws ApolloError BAD_ARGUMENT unless 1 <= units <= depth.
 */
export function interpolate(units: number, depth: number): number[] {
  takesInterpolate(units, depth);

  checkSizes('interpolate', units, depth);
  return Array.from({ length: depth }, (_, place) => {
    const product = place * units;
    return (product - (product % depth)) / depth;
  });
}

const takesStack = is.takes('stack', { units: is.number, depth: is.number });

/**
 * Stacking as released: whole copies of the units one above the other; a remainder of r places takes the top r units.
 * `stack(3, 7)` is [0, 1, 2, 0, 1, 2, 2].
 * @throws ApolloError BAD_ARGUMENT unless 1 <= units <= depth.
 */
export function stack(units: number, depth: number): number[] {
  takesStack(units, depth);

  checkSizes('stack', units, depth);
  const remainder = depth % units;
  const whole = depth - remainder;
  return Array.from({ length: depth }, (_, place) =>
    place < whole ? place % units : units - remainder + (place - whole),
  );
}

const takesStackModulo = is.takes('stackModulo', { units: is.number, depth: is.number });

/**
 * Stacking by the formula of the paper: `map[i] = i mod units`. `stackModulo(3, 7)` is [0, 1, 2, 0, 1, 2, 0].
 * @throws ApolloError BAD_ARGUMENT unless 1 <= units <= depth.
 */
export function stackModulo(units: number, depth: number): number[] {
  takesStackModulo(units, depth);

  checkSizes('stackModulo', units, depth);
  return Array.from({ length: depth }, (_, place) => place % units);
}

const takesStackTop = is.takes('stackTop', { units: is.number, depth: is.number });

/**
 * Stacking of the topmost units: the units, then a copy of the top `depth - units` of them, at most as many as there
 * are. `stackTop(3, 5)` is [0, 1, 2, 1, 2] (progressive stacking 2.0).
 * @throws ApolloError BAD_ARGUMENT unless 1 <= units <= depth <= 2 units.
 */
export function stackTop(units: number, depth: number): number[] {
  takesStackTop(units, depth);

  checkSizes('stackTop', units, depth);
  check(
    depth <= 2 * units,
    `stackTop(units, depth) adds at most as many layers as there are; got ${units} -> ${depth}.`,
  );
  return Array.from({ length: depth }, (_, place) => (place < units ? place : place - (depth - units)));
}

/** The expansions by the name used in configurations. */
export const expansions = { interpolate, stack, stackModulo } as const satisfies Record<string, Expansion>;
export type ExpansionName = keyof typeof expansions;

const takesGrowThrough = is.takes('growThrough', { units: is.list(is.count, { least: 1 }), expand: is.func });

/**
 * Which of the first `units` layers stands at each place after growing through all of `units` by `expand`, one after the
 * other. `growThrough([3, 6, 12], stack)` is `stack(3, 12)`.
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function growThrough(units: readonly number[], expand: Expansion): number[] {
  takesGrowThrough(units, expand);

  const [first = 0, ...rest] = units;
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
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function compose(inner: LayerMap, outer: LayerMap): number[] {
  takesCompose(inner, outer);

  return outer.map((middle) => {
    const unit = inner[middle];
    check(unit !== undefined, `compose: the outer map names layer ${middle}, the inner map has ${inner.length}.`);
    return unit;
  });
}

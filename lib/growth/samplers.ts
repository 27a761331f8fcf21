/**
 * Depth samplers: how deep the network of one step is, between the trained layers and the final `layers`. Each is
 * an inverse distribution function of one uniform number, so a depth is a pure function of (seed, step).
 */

import { check } from '../errors.js';
import * as is from '../is.js';
import { uniform as uniformNumber } from '../random/philox.js';
import { uniformStreams } from '../random/streams.js';

/** Draws the depth of a step, between the trained layers and the whole depth; from {@link makeSampler}. */
export interface DepthSampler {
  /** Its name in configurations, as 'lvps'. */
  readonly name: string;
  /** P(depth = k) at index k, 0..layers; exact, from the distribution function. */
  probabilities(trainedLayers: number, layers: number): number[];
  /** Mean depth. */
  expectedDepth(trainedLayers: number, layers: number): number;
  /** The depth in [trainedLayers, layers] that belongs to a uniform number x in [0, 1). */
  sample(x: number, trainedLayers: number, layers: number): number;
}

/** Shape of the samplers that have one; the defaults of the first three are the constants of the released code. */
export interface SamplerShape {
  /**
   * LVPS and edge sampling: how far the open range of multipliers goes above layers / trainedLayers; its mass there
   * falls on full depth. Above 0. Default 0.4.
   */
  readonly excess?: number | undefined;
  /**
   * LVPS and edge sampling: lower end of the range of multipliers, in (0, 1]; the mass below one falls on depth =
   * trainedLayers. Lower is cheaper. Default 0.6.
   */
  readonly end?: number | undefined;
  /** Edge sampling only: steepness of the logistic curve, above 0. Default 20. */
  readonly slope?: number | undefined;
  /** Cost sampling only: what a step costs at any depth, 0 or more. Default 0. */
  readonly fixed?: number | undefined;
  /** Cost sampling only: what each layer adds to the cost of a step, in the unit of `fixed`; above 0. Default 1. */
  readonly layer?: number | undefined;
  /** Cost sampling only: how strongly cheap depths are preferred; 0 does not prefer them. Default 2. */
  readonly power?: number | undefined;
}

/** The uniform number runs over (smallest, 1], which keeps the multiplier finite. */
const smallest = 1e-6;

/** A decreasing multiplier y(x) on [smallest, 1] with its inverse, for a ratio layers / trainedLayers. */
interface Curve {
  multiplier(x: number): number;
  inverse(y: number): number;
}

function checkSizes(trainedLayers: number, layers: number): void {
  check(
    Number.isSafeInteger(trainedLayers) &&
      Number.isSafeInteger(layers) &&
      trainedLayers >= 1 &&
      layers >= trainedLayers,
    `A depth sampler needs whole numbers with 1 <= trainedLayers <= layers; got trainedLayers ${trainedLayers}, layers ${layers}.`,
  );
}

function checkX(x: number): void {
  check(x >= 0 && x < 1, `A depth is drawn from a number x in [0, 1); got ${x}.`);
}

/** Sampler from P(depth >= k) for trainedLayers < k <= layers, and its draw. */
function sampler(
  name: string,
  atLeast: (k: number, trainedLayers: number, layers: number) => number,
  draw: (x: number, trainedLayers: number, layers: number) => number,
): DepthSampler {
  const tail = (k: number, trainedLayers: number, layers: number) => {
    if (k <= trainedLayers) return 1;
    return k > layers ? 0 : Math.min(1, Math.max(0, atLeast(k, trainedLayers, layers)));
  };
  const takesProbabilities = is.takes('probabilities', { trainedLayers: is.number, layers: is.number });
  const takesDepth = is.takes('expectedDepth', { trainedLayers: is.number, layers: is.number });
  const takesSample = is.takes('sample', { x: is.number, trainedLayers: is.number, layers: is.number });
  return {
    name,
    probabilities(trainedLayers, layers) {
      takesProbabilities(trainedLayers, layers);
      checkSizes(trainedLayers, layers);
      return Array.from({ length: layers + 1 }, (_, k) =>
        k < trainedLayers ? 0 : tail(k, trainedLayers, layers) - tail(k + 1, trainedLayers, layers),
      );
    },
    expectedDepth(trainedLayers, layers) {
      takesDepth(trainedLayers, layers);
      checkSizes(trainedLayers, layers);
      let sum = 0;
      for (let k = 1; k <= layers; k++) sum += tail(k, trainedLayers, layers);
      return sum;
    },
    sample(x, trainedLayers, layers) {
      takesSample(x, trainedLayers, layers);
      checkSizes(trainedLayers, layers);
      checkX(x);
      return draw(x, trainedLayers, layers);
    },
  };
}

/**
 * Sampler whose depth is floor(y(x) * trainedLayers), the multiplier y clamped to [1, layers / trainedLayers]. A clamped multiplier
 * gives its depth directly: in floats, floor((layers / trainedLayers) * trainedLayers) can be layers - 1 (11 of 15).
 */
function curveSampler(name: string, curve: (ratio: number) => Curve): DepthSampler {
  return sampler(
    name,
    (k, trainedLayers, layers) =>
      (curve(layers / trainedLayers).inverse(k / trainedLayers) - smallest) / (1 - smallest),
    (x, trainedLayers, layers) => {
      const ratio = layers / trainedLayers;
      const y = curve(ratio).multiplier(smallest + (1 - smallest) * x);
      if (y >= ratio) return layers;
      if (y <= 1) return trainedLayers;
      return Math.min(layers, Math.floor(y * trainedLayers));
    },
  );
}

function checkShape(name: string, excess: number, end: number, slope: number): void {
  check(excess > 0 && Number.isFinite(excess), `${name}: excess must be a number > 0; got ${excess}.`);
  check(end > 0 && end <= 1, `${name}: end must be in (0, 1]; got ${end}.`);
  check(slope > 0 && Number.isFinite(slope), `${name}: slope must be a number > 0; got ${slope}.`);
}

const takesMakeLvps = is.takes('makeLvps', { shape: is.samplerShape });

/**
 * Low-value-prioritised sampling (Pan et al., AAAI 2024, Eq. 7-10): y(x) = m / (x + n) through
 * y(smallest) = ratio + excess and y(1) = end, a density that falls as 1 / y^2.
 * @example
 * const sampler = makeLvps({ excess: 0.1 });
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function makeLvps(shape: SamplerShape = {}): DepthSampler {
  takesMakeLvps(shape);
  const { excess = 0.4, end = 0.6 } = shape;
  checkShape('lvps', excess, end, 1);
  return curveSampler('lvps', (ratio) => {
    const begin = ratio + excess;
    const n = (begin * smallest - end) / (end - begin);
    const m = end * (n + 1);
    return { multiplier: (x) => m / (x + n), inverse: (y) => m / y - n };
  });
}

const takesMakeEdge = is.takes('makeEdge', { shape: is.samplerShape });

/**
 * Edge sampling: a logistic curve between the same ends, so that the shallowest and the deepest are the most likely.
 * @example
 * const sampler = makeEdge();
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function makeEdge(shape: SamplerShape = {}): DepthSampler {
  takesMakeEdge(shape);
  const { excess = 0.4, end = 0.6, slope = 20 } = shape;
  checkShape('edge', excess, end, slope);
  return curveSampler('edge', (ratio) => {
    const begin = ratio + excess;
    return {
      multiplier: (x) => end + (begin - end) / (1 + Math.exp(slope * (x - 0.5))),
      inverse: (y) => (y <= end ? 1 : 0.5 + Math.log((begin - end) / (y - end) - 1) / slope),
    };
  });
}

const takesMakeCost = is.takes('makeCost', { shape: is.samplerShape });

/**
 * Sampling by cost: P(d) is proportional to (fixed + layer d) ^ -power, so that a depth is drawn more often the cheaper its
 * step costs. LVPS has a density of the same kind, 1 / y^2, in the depth alone; where the head is most of a step, deep
 * steps cost little more than shallow ones and are drawn nearly as often.
 * @example
 * const sampler = makeCost({ power: 1 });
 * @throws ApolloError BAD_ARGUMENT for costs that are not positive.
 */
export function makeCost(shape: SamplerShape = {}): DepthSampler {
  takesMakeCost(shape);
  const { fixed = 0, layer = 1, power = 2 } = shape;
  check(fixed >= 0 && Number.isFinite(fixed), `cost: fixed must be a number >= 0; got ${fixed}.`);
  check(layer > 0 && Number.isFinite(layer), `cost: layer must be a number > 0; got ${layer}.`);
  check(power >= 0 && Number.isFinite(power), `cost: power must be a number >= 0; got ${power}.`);
  /** Sum of the weights of the depths from k to `layers`. */
  const weightFrom = (k: number, layers: number) => {
    let sum = 0;
    for (let depth = layers; depth >= k; depth--) sum += (fixed + layer * depth) ** -power;
    return sum;
  };
  return sampler(
    'cost',
    (k, trainedLayers, layers) => weightFrom(k, layers) / weightFrom(trainedLayers, layers),
    (x, trainedLayers, layers) => {
      const whole = weightFrom(trainedLayers, layers);
      let depth = layers;
      while (depth > trainedLayers && x * whole >= weightFrom(depth, layers)) depth--;
      return depth;
    },
  );
}

/**
 * Low-value-prioritised sampling with the released constants, Apollo's default; see {@link makeLvps}.
 * @example
 * sampleDepth(lvps, 3, 12, 42, 0);
 */
export const lvps = makeLvps();
/**
 * The shallowest and the deepest most often, see {@link makeEdge}.
 * @example
 * sampleDepth(edge, 3, 12, 42, 0);
 */
export const edge = makeEdge();

/**
 * Every depth from the trained layers to all layers equally often.
 * @example
 * sampleDepth(uniform, 3, 12, 42, 0);
 */
export const uniform = sampler(
  'uniform',
  (k, trainedLayers, layers) => (layers - k + 1) / (layers - trainedLayers + 1),
  (x, trainedLayers, layers) => Math.min(layers, trainedLayers + Math.floor(x * (layers - trainedLayers + 1))),
);

/**
 * Always full depth, with shared weights.
 * @example
 * sampleDepth(full, 3, 12, 42, 0) // 12
 */
export const full = sampler(
  'full',
  () => 1,
  (_x, _trainedLayers, layers) => layers,
);

/**
 * No sampling: always the trained layers alone.
 * @example
 * sampleDepth(none, 3, 12, 42, 0) // 3
 */
export const none = sampler(
  'none',
  () => 0,
  (_x, trainedLayers) => trainedLayers,
);

/**
 * Depths with a density that falls with what a step costs, see {@link makeCost}.
 * @example
 * sampleDepth(cost, 3, 12, 42, 0);
 */
export const cost = makeCost();

/**
 * The samplers by the name used in configurations, with the released constants.
 * @example
 * samplers.lvps.expectedDepth(3, 12);
 */
export const samplers = { lvps, edge, uniform, full, none, cost } as const satisfies Record<string, DepthSampler>;
/** The samplers by name. */
export type SamplerName = keyof typeof samplers;

const takesMakeSampler = is.takes('makeSampler', {
  name: is.oneOf('lvps', 'edge', 'uniform', 'full', 'none', 'cost'),
  shape: is.samplerShape,
});

/**
 * The sampler of that name; `shape` changes the constants of lvps, edge and cost.
 * @example
 * const sampler = makeSampler('lvps');
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function makeSampler(name: SamplerName, shape: SamplerShape = {}): DepthSampler {
  takesMakeSampler(name, shape);

  if (name === 'lvps') return makeLvps(shape);
  if (name === 'edge') return makeEdge(shape);
  if (name === 'cost') return makeCost(shape);
  return samplers[name];
}

/**
 * Philox stream of the depth draws; other uses of a run's seed take other streams.
 * @example
 * uniformNumber(42, depthStream, 7);
 */
export const depthStream = uniformStreams.depth;

const takesSampleDepth = is.takes('sampleDepth', {
  sampler: is.sampler,
  trainedLayers: is.number,
  layers: is.number,
  seed: is.number,
  step: is.number,
});

/**
 * Depth of optimizer step `step` (0-based): one draw a step, the same for all its micro-batches and all machines.
 * @example sampleDepth(lvps, 3, 12, 42, 0)
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function sampleDepth(
  sampler: DepthSampler,
  trainedLayers: number,
  layers: number,
  seed: number,
  step: number,
): number {
  takesSampleDepth(sampler, trainedLayers, layers, seed, step);

  return sampler.sample(uniformNumber(seed, depthStream, step), trainedLayers, layers);
}

/**
 * Maps by which a network grows in its middle, one block of layers at a time: MIDAS (arXiv 2409.19044) repeats the middle
 * block, LIDAS (arXiv 2512.08819) the layers around the middle seam. And the lengths of the stages in between.
 */
import { check } from '../errors.js';
import * as is from '../is.js';
import type { Expansion } from './maps.js';

function checkGrowth(name: string, block: number, trainedLayers: number, depth: number): void {
  check(
    Number.isSafeInteger(trainedLayers) &&
      trainedLayers >= block &&
      trainedLayers % block === 0 &&
      depth === trainedLayers + block,
    `${name} adds one block of ${block} layers to whole blocks; got ${trainedLayers} -> ${depth}.`,
  );
}

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from }, (_, i) => from + i);
}

const takesRepeatMiddleBlock = is.takes('repeatMiddleBlock', { block: is.number });

/**
 * MIDAS: of n blocks, a copy of block ceil(n / 2), counted from 1, right after it. `repeatMiddleBlock(3)(6, 9)` is
 * [0, 1, 2, 0, 1, 2, 3, 4, 5].
 * @example
 * const map = repeatMiddleBlock(3)(6, 9); // the middle block of three layers twice
 * @throws ApolloError BAD_ARGUMENT unless one block is added to whole blocks.
 */
export function repeatMiddleBlock(block: number): Expansion {
  takesRepeatMiddleBlock(block);

  return (trainedLayers, depth) => {
    checkGrowth('repeatMiddleBlock', block, trainedLayers, depth);
    const seam = block * Math.ceil(trainedLayers / block / 2);
    return [...range(0, seam), ...range(seam - block, seam), ...range(seam, trainedLayers)];
  };
}

const takesRepeatNewMiddle = is.takes('repeatNewMiddle', { block: is.number });

/**
 * Of n blocks, block floor(n / 2) + 1, counted from 1, twice: after a growth by it the copy is the middle. Repeated with
 * blocks of two layers: [0, 1, 2, 3, 2, 3, 4, 5], then [0, 1, 2, 3, 4, 5, 4, 5, 6, 7].
 * @example
 * const map = repeatNewMiddle(3)(6, 9);
 * @throws ApolloError BAD_ARGUMENT unless one block is added to whole blocks.
 */
export function repeatNewMiddle(block: number): Expansion {
  takesRepeatNewMiddle(block);

  return (trainedLayers, depth) => {
    checkGrowth('repeatNewMiddle', block, trainedLayers, depth);
    const seam = block * (Math.floor(trainedLayers / block / 2) + 1);
    return [...range(0, seam), ...range(seam - block, seam), ...range(seam, trainedLayers)];
  };
}

const takesRepeatMiddleLayers = is.takes('repeatMiddleLayers', { block: is.number });

/**
 * LIDAS: at the seam after block ceil(n / 2), copies of the last half block before it and the first half block after it.
 * `repeatMiddleLayers(4)(8, 12)` is [0, 1, 2, 3, 2, 3, 4, 5, 4, 5, 6, 7]. The first block has nothing after it and is
 * repeated whole.
 * @example
 * const map = repeatMiddleLayers(4)(8, 12);
 * @throws ApolloError BAD_ARGUMENT for an odd block, or unless one block is added to whole blocks.
 */
export function repeatMiddleLayers(block: number): Expansion {
  takesRepeatMiddleLayers(block);

  check(block % 2 === 0, `repeatMiddleLayers takes half a block from each side and needs an even one; got ${block}.`);
  return (trainedLayers, depth) => {
    checkGrowth('repeatMiddleLayers', block, trainedLayers, depth);
    const seam = block * Math.ceil(trainedLayers / block / 2);
    const first = Math.min(seam - block / 2, trainedLayers - block);
    return [...range(0, seam), ...range(first, first + block), ...range(seam, trainedLayers)];
  };
}

const takesProportionalFractions = is.takes('proportionalFractions', { stages: is.listed, alpha: is.number });

/**
 * Ends of all stages but the last as fractions of the run, when stage i of `stages`, counted from 1, takes a share of the
 * steps in proportion to i^alpha (Prop-alpha). `proportionalFractions(4, 1)` is [0.1, 0.3, 0.6].
 * @example
 * proportionalFractions(3, 1) // where the first two of three stages end
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function proportionalFractions(stages: number, alpha: number): number[] {
  takesProportionalFractions(stages, alpha);

  const shares = Array.from({ length: stages }, (_, stage) => (stage + 1) ** alpha);
  const whole = shares.reduce((sum, share) => sum + share, 0);
  let sum = 0;
  return shares.slice(0, -1).map((share) => {
    sum += share;
    return sum / whole;
  });
}

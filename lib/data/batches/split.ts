/**
 * Chooses the text that is held out from training. The choice depends on the places of the documents, the fraction and
 * the seed only, so it is the same on every start and for every method that is compared.
 *
 * With enough documents, whole documents are held out. With few (books), every document is cut into sections and whole
 * sections are held out: contiguous text that training never sees, from several places. Either way units are taken in
 * the order of a hash until the fraction of the tokens is reached.
 */
import { ApolloError, check } from '../../errors.js';
import { mix32 } from './permutation.js';

/** Token ranges [start, end) of a token file, ascending: starts[i], ends[i]. */
export interface Ranges {
  readonly starts: Float64Array;
  readonly ends: Float64Array;
  readonly tokenCount: number;
}

export interface Split {
  readonly unit: 'document' | 'section';
  /** Number of units held out. */
  readonly heldOutUnits: number;
  readonly train: Ranges;
  readonly heldOut: Ranges;
}

/** Documents are units only if about this many of them would be held out; fewer make a poor sample of the text. */
const enoughDocuments = 8;

/** Bounds of a section's length in tokens. */
const shortestSection = 256;
const longestSection = 4096;

/** A corpus must have this many tokens for a held-out part. */
const leastTokens = 4 * shortestSection;

/**
 * Splits documents that end at `documentEnds` (token offsets, ascending; the first starts at 0).
 * @throws ApolloError BAD_ARGUMENT unless 0 <= fraction <= 0.5; BAD_CORPUS when there are too few tokens.
 */
export function splitDocuments(documentEnds: Float64Array, fraction: number, seed: number): Split {
  check(fraction >= 0 && fraction <= 0.5, `heldOut must be a fraction from 0 to 0.5; got ${fraction}.`);
  const tokenCount = documentEnds.at(-1) ?? 0;
  if (fraction === 0) {
    return { unit: 'document', heldOutUnits: 0, train: ranges([0], [tokenCount]), heldOut: ranges([], []) };
  }
  if (tokenCount < leastTokens) {
    throw new ApolloError(
      'BAD_CORPUS',
      `The corpus has ${tokenCount} tokens in ${documentEnds.length} ${documentEnds.length === 1 ? 'document' : 'documents'}, too few to hold a part out (at least ${leastTokens}). Add text, or hold nothing out (--held-out 0 with prepare and train, heldOut: 0 in a program); then there is no held-out loss. See docs/troubleshooting.md#text-is-too-short.`,
    );
  }
  const target = fraction * tokenCount;
  const byDocument = documentEnds.length * fraction >= enoughDocuments;
  const unitEnds = byDocument ? documentEnds : sectionEnds(documentEnds, target);
  const chosen = choose(unitEnds, target, seed);
  const train: [number[], number[]] = [[], []];
  const heldOut: [number[], number[]] = [[], []];
  const add = (list: [number[], number[]], start: number, end: number): void => {
    if (start === end) return;
    list[0].push(start);
    list[1].push(end);
  };
  let place = 0;
  for (const unit of chosen) {
    const start = unit === 0 ? 0 : unitEnds[unit - 1]!;
    const end = unitEnds[unit]!;
    add(train, place, start);
    add(heldOut, start, end);
    place = end;
  }
  add(train, place, tokenCount);
  return {
    unit: byDocument ? 'document' : 'section',
    heldOutUnits: chosen.length,
    train: ranges(...train),
    heldOut: ranges(...heldOut),
  };
}

/** Cuts every document into sections of nearly equal length, at most `longestSection` tokens each. */
function sectionEnds(documentEnds: Float64Array, target: number): Float64Array {
  const length = Math.min(longestSection, Math.max(shortestSection, Math.floor(target / enoughDocuments)));
  const ends: number[] = [];
  let start = 0;
  for (const end of documentEnds) {
    const sections = Math.max(1, Math.round((end - start) / length));
    for (let i = 1; i <= sections; i++) ends.push(start + Math.round(((end - start) * i) / sections));
    start = end;
  }
  return Float64Array.from(ends);
}

/** The held-out units, ascending: in the order of their hashes until `target` is reached, passing over one that is far too long. */
function choose(unitEnds: Float64Array, target: number, seed: number): number[] {
  const seedHash = mix32(mix32(seed >>> 0) ^ Math.floor(seed / 2 ** 32));
  const hash = (unit: number): number => mix32(Math.imul(unit + 1, 0x9e3779b1) ^ seedHash);
  const lengthOf = (unit: number): number => unitEnds[unit]! - (unit === 0 ? 0 : unitEnds[unit - 1]!);
  // Only units of small hash can be reached; sorting those few keeps millions of documents cheap.
  const share = Math.min(1, (4 * target) / unitEnds.at(-1)! + 64 / unitEnds.length);
  const candidates: number[] = [];
  for (let unit = 0; unit < unitEnds.length; unit++) if (hash(unit) <= share * 0xffffffff) candidates.push(unit);
  candidates.sort((a, b) => hash(a) - hash(b) || a - b);
  const chosen: number[] = [];
  let sum = 0;
  for (const unit of candidates) {
    if (sum >= target) break;
    if (sum + lengthOf(unit) > 1.2 * target) continue;
    chosen.push(unit);
    sum += lengthOf(unit);
  }
  if (chosen.length === 0) chosen.push(candidates[0]!);
  return chosen.sort((a, b) => a - b);
}

function ranges(starts: readonly number[], ends: readonly number[]): Ranges {
  return {
    starts: Float64Array.from(starts),
    ends: Float64Array.from(ends),
    tokenCount: starts.reduce((sum, start, i) => sum + ends[i]! - start, 0),
  };
}

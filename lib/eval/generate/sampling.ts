/**
 * From logits to the next token: repetition penalty, temperature, top-k and top-p in the order and by the rules of
 * Hugging Face's logits processors. Pure functions; randomness is a number that is handed in.
 */
import { ApolloError, check } from '../../errors.js';
import * as is from '../../is.js';

/** How a token is chosen from its probabilities. */
export interface SamplingOptions {
  /** Logits are divided by it. Below 1, likely tokens become more likely; 0: always the most likely token. Default 1. */
  readonly temperature?: number;
  /** Only the k most likely tokens, and those as likely as the last of them. 0, the default: all. */
  readonly topK?: number;
  /** Only the most likely tokens that together reach this probability (Holtzman et al. 2020). Default 1: all. */
  readonly topP?: number;
  /** Logits of tokens that have already occurred are divided by it, negative ones multiplied (Keskar et al. 2019). Default 1. */
  readonly repetitionPenalty?: number;
}

/** Tokens that may follow and their probabilities, which sum to 1; the most likely first when any are left out. */
export interface Candidates {
  /** Token ids, each once. */
  readonly ids: Int32Array;
  /** Probability of each id, in the order of `ids`. */
  readonly probabilities: Float64Array;
}

const takesCheckSampling = is.takes('checkSampling', {
  options: is.object('an object of sampling options', is.samplingFields),
});

/** @throws ApolloError BAD_ARGUMENT naming the setting, what it must be and what it is. */
export function checkSampling(options: SamplingOptions): Required<SamplingOptions> {
  takesCheckSampling(options);

  const { temperature = 1, topK = 0, topP = 1, repetitionPenalty = 1 } = options;
  check(
    Number.isFinite(temperature) && temperature >= 0,
    `temperature must be a positive number, or 0 to always choose the most likely token; got ${temperature}.`,
  );
  check(Number.isInteger(topK) && topK >= 0, `topK must be a whole number, 0 for all tokens; got ${topK}.`);
  check(topP > 0 && topP <= 1, `topP must be above 0 and at most 1; got ${topP}.`);
  check(
    Number.isFinite(repetitionPenalty) && repetitionPenalty > 0,
    `repetitionPenalty must be a positive number (1: none); got ${repetitionPenalty}.`,
  );
  return { temperature, topK, topP, repetitionPenalty };
}

/** Logits with the penalty on `seen` tokens, each once however often it was there. */
function penalised(logits: Float32Array, penalty: number, seen: Iterable<number>): Float32Array {
  if (penalty === 1) return logits;
  const scores = logits.slice();
  for (const id of seen) {
    const logit = logits[id];
    if (logit !== undefined) scores[id] = logit < 0 ? logit * penalty : logit / penalty;
  }
  return scores;
}

const takesLikeliest = is.takes('likeliest', { logits: is.float32, repetitionPenalty: is.positive, seen: is.iterable });

/**
 * The most likely token; ties go to the first.
 * @param logits Logits of the next token, [V].
 * @param repetitionPenalty Penalty of the ids in `seen`; 1 leaves them as they are. Default: 1.
 * @param seen Ids that the repetition penalty applies to. Default: none.
 * @throws ApolloError NON_FINITE when the logits have no largest.
 * @example
 * const [token] = candidates(logitsOfToken, { temperature: 0, topK: 0, topP: 1, repetitionPenalty: 1 }).ids; // the same token
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function likeliest(logits: Float32Array, repetitionPenalty = 1, seen: Iterable<number> = []): number {
  takesLikeliest(logits, repetitionPenalty, seen);

  const scores = penalised(logits, repetitionPenalty, seen);
  let best = 0;
  for (let id = 1; id < scores.length; id++) if (scores[id]! > scores[best]!) best = id;
  checkFinite(scores[best]!);
  return best;
}

const takesCandidates = is.takes('candidates', {
  logits: is.float32,
  options: is.object('sampling options { temperature, topK, topP, repetitionPenalty }', {
    temperature: is.number,
    topK: is.number,
    topP: is.number,
    repetitionPenalty: is.number,
  }),
  seen: is.iterable,
});

/**
 * The distribution of the next token under `options`; `seen` are the tokens before it.
 * @param logits Logits of the next token, [V].
 * @param options Temperature, top-k, top-p and repetition penalty, each of them given.
 * @param seen Ids that the repetition penalty applies to. Default: none.
 * @example
 * const { ids, probabilities } = candidates(logitsOfToken, { temperature: 0.8, topK: 50, topP: 1, repetitionPenalty: 1 });
 * @throws ApolloError NON_FINITE when the logits have no largest.
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function candidates(
  logits: Float32Array,
  options: Required<SamplingOptions>,
  seen: Iterable<number> = [],
): Candidates {
  takesCandidates(logits, options, seen);

  const { temperature, topK, topP, repetitionPenalty } = options;
  if (temperature === 0) {
    return { ids: Int32Array.of(likeliest(logits, repetitionPenalty, seen)), probabilities: Float64Array.of(1) };
  }
  const scores = penalised(logits, repetitionPenalty, seen);
  const least = topK > 0 && topK < scores.length ? largest(scores, topK) : Number.NEGATIVE_INFINITY;
  let top = Number.NEGATIVE_INFINITY;
  for (const score of scores) if (score > top) top = score;
  checkFinite(top);
  const weights = new Float64Array(scores.length);
  let total = 0;
  for (let id = 0; id < scores.length; id++) {
    if (scores[id]! >= least) total += weights[id] = Math.exp((scores[id]! - top) / temperature);
  }
  if (topP === 1 && least === Number.NEGATIVE_INFINITY) {
    const ids = Int32Array.from({ length: scores.length }, (_, id) => id);
    return { ids, probabilities: weights.map((weight) => weight / total) };
  }
  // Tokens below this share are all excluded by top-p, even together: they need no sorting.
  const negligible = ((1 - topP) / scores.length) * total;
  const kept: number[] = [];
  for (let id = 0; id < scores.length; id++) if (weights[id]! > 0 && weights[id]! >= negligible) kept.push(id);
  kept.sort((a, b) => weights[b]! - weights[a]! || a - b);
  let count = 0;
  let mass = 0; // of the tokens before; the first one always stays
  while (count < kept.length && (count === 0 || mass < topP * total)) mass += weights[kept[count++]!]!;
  const ids = Int32Array.from(kept.slice(0, count));
  return { ids, probabilities: Float64Array.from(ids, (id) => weights[id]! / mass) };
}

const takesDraw = is.takes('draw', {
  candidates: is.object('candidates (from candidates)', { ids: is.numericArray, probabilities: is.numericArray }),
  u: is.number,
});

/**
 * The token at `u` of [0, 1) in the distribution.
 * @example
 * const token = draw({ ids: Int32Array.of(7, 9), probabilities: Float64Array.of(0.5, 0.5) }, Math.random());
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function draw(candidates: Candidates, u: number): number {
  takesDraw(candidates, u);
  const { ids, probabilities } = candidates;
  let reached = 0;
  for (let i = 0; i < ids.length; i++) {
    reached += probabilities[i]!;
    if (u < reached) return ids[i]!;
  }
  return ids[probabilities.findLastIndex((p) => p > 0)]!; // the sum was a rounding below 1
}

/** The k-th largest value, by a heap of the k largest so far whose root is the smallest of them. */
function largest(values: Float32Array, k: number): number {
  const heap = values.slice(0, k).sort();
  for (let i = k; i < values.length; i++) {
    const value = values[i]!;
    if (!(value > heap[0]!)) continue;
    let at = 0;
    for (let child = 1; child < k; child = 2 * at + 1) {
      if (child + 1 < k && heap[child + 1]! < heap[child]!) child++;
      if (heap[child]! >= value) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = value;
  }
  return heap[0]!;
}

function checkFinite(top: number): void {
  if (Number.isFinite(top)) return;
  throw new ApolloError('NON_FINITE', `The model's logits are ${top}: its weights are damaged, or training diverged.`);
}

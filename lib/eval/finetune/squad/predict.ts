/**
 * From start and end logits to answers, as in BERT's run_squad: in every window the best starts are joined with the best
 * ends, the joined spans of all windows of a question compete, and for v2.0 "no answer" (both at [CLS]) competes with them.
 */
import { check } from '../../../errors.js';
import * as is from '../../../is.js';
import type { NullOdds, Predictions } from './metrics.js';
import { type EncodedQuestion, maxContext, type SquadWindow, spanText, type TokenSpan } from './windows.js';

export interface PredictOptions {
  /** Starts and ends tried in each window, and answers kept for a question. */
  readonly nBest?: number;
  /** Tokens of an answer at most. */
  readonly maxAnswer?: number;
  /** v2.0: whether a question may have no answer. */
  readonly canBeNull?: boolean;
  /** v2.0: no answer when the null odds are above this. */
  readonly nullThreshold?: number;
}

/** The head's logits of one window: value i belongs to position i. Only the window's own positions are looked at. */
export interface WindowLogits {
  readonly start: ArrayLike<number>;
  readonly end: ArrayLike<number>;
}

export interface Candidate {
  /** A piece of the context; '' is no answer. */
  readonly text: string;
  readonly startLogit: number;
  readonly endLogit: number;
  /** Softmax of start + end logit over the question's candidates. */
  readonly probability: number;
}

export interface QuestionPrediction {
  readonly id: string;
  /** The final answers: for v2.0, '' or an answer by the threshold. */
  readonly text: string;
  /** The best answer that is not ''; '' where no span qualifies. */
  readonly bestAnswer: string;
  /** v2.0: start + end logit of no answer minus those of the best answer. */
  readonly nullOdds: number | undefined;
  /** Best first. */
  readonly candidates: readonly Candidate[];
}

interface Scored {
  readonly startLogit: number;
  readonly endLogit: number;
  /** Tokens of the context; undefined: no answer. */
  readonly span: TokenSpan | undefined;
}

const total = ({ startLogit, endLogit }: Scored): number => startLogit + endLogit;

const takesPredictQuestion = is.takes('predictQuestion', {
  windows: is.windows,
  logits: is.list(is.object('logits { start, end }', { start: is.numericArray, end: is.numericArray })),
  options: is.options({
    nBest: is.optional(is.number),
    maxAnswer: is.optional(is.number),
    canBeNull: is.optional(is.boolean),
    nullThreshold: is.optional(is.number),
  }),
});

/**
 * The prediction for one question from the logits of all its windows (same order). Spans are in the context, begin at a
 * token whose best window this is, do not end before they start and have at most `maxAnswer` (30) tokens; of equal
 * texts the best scored stays. The best `nBest` (20) remain.
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function predictQuestion(
  windows: readonly SquadWindow[],
  logits: readonly WindowLogits[],
  options: PredictOptions = {},
): QuestionPrediction {
  takesPredictQuestion(windows, logits, options);
  const { nBest = 20, maxAnswer = 30, canBeNull = false, nullThreshold = 0 } = options;
  check(windows.length > 0 && windows.length === logits.length, 'predictQuestion needs the logits of every window.');
  check(Number.isInteger(nBest) && nBest > 0, `nBest must be a positive whole number; got ${nBest}.`);
  const isBest = maxContext(windows);
  const spans = windows.flatMap((window, index) => spansOf(window, logits[index]!, isBest[index]!, nBest, maxAnswer));
  const none = canBeNull ? nullCandidate(logits) : undefined;
  // Sorting is stable: of equal scores the earlier window, then the better start, then the better end stays first.
  const ranked = [...spans, ...(none ? [none] : [])].sort((a, b) => total(b) - total(a));
  const { source } = windows[0]!;
  const best = firstOfEachText(ranked, source, nBest);
  if (none && !best.has('')) best.set('', none);
  const answer = [...best].find(([text]) => text !== '');
  if (best.size === 0) best.set('', { startLogit: 0, endLogit: 0, span: undefined });
  // Without any span nothing speaks against "no answer".
  const nullOdds = none && (answer ? total(none) - total(answer[1]) : Number.MAX_VALUE);
  const bestAnswer = answer?.[0] ?? '';
  return {
    id: source.question.id,
    text: nullOdds !== undefined && nullOdds > nullThreshold ? '' : bestAnswer,
    bestAnswer,
    nullOdds,
    candidates: withProbabilities(best),
  };
}

/** The spans of one window that may be answers, by the rank of their start, then of their end. */
function spansOf(
  { contextStart, contextEnd, firstContext, length }: SquadWindow,
  { start, end }: WindowLogits,
  isBest: readonly boolean[],
  nBest: number,
  maxAnswer: number,
): Scored[] {
  const inContext = (position: number): boolean =>
    position >= firstContext && position < firstContext + contextEnd - contextStart;
  const starts = highest(start, length, nBest).filter((at) => inContext(at) && isBest[at - firstContext]);
  const ends = highest(end, length, nBest).filter(inContext);
  const shift = contextStart - firstContext;
  return starts.flatMap((from) =>
    ends
      .filter((to) => to >= from && to - from < maxAnswer)
      .map((to) => ({
        startLogit: start[from]!,
        endLogit: end[to]!,
        span: { start: from + shift, end: to + shift },
      })),
  );
}

/** The positions of the `count` highest of the first `length` values, the highest first, of equals the first. */
function highest(values: ArrayLike<number>, length: number, count: number): number[] {
  const found: number[] = [];
  for (let position = 0; position < length; position++) {
    const value = values[position]!;
    if (found.length === count && value <= values[found[count - 1]!]!) continue;
    let place = Math.min(found.length, count - 1);
    for (; place > 0 && values[found[place - 1]!]! < value; place--) found[place] = found[place - 1]!;
    found[place] = position;
  }
  return found;
}

/** "No answer" as the window says that is least for it: any window with an answer is enough for the question. */
function nullCandidate(logits: readonly WindowLogits[]): Scored {
  let least: Scored | undefined;
  for (const { start, end } of logits) {
    const here = { startLogit: start[0]!, endLogit: end[0]!, span: undefined };
    if (!least || total(here) < total(least)) least = here;
  }
  return least!;
}

/** The best of each text, `count` at most. A span of tokens without text is no answer and left out. */
function firstOfEachText(ranked: readonly Scored[], source: EncodedQuestion, count: number): Map<string, Scored> {
  const found = new Map<string, Scored>();
  for (const candidate of ranked) {
    if (found.size === count) break;
    const text = candidate.span ? spanText(source, candidate.span) : '';
    if ((candidate.span && text === '') || found.has(text)) continue;
    found.set(text, candidate);
  }
  return found;
}

function withProbabilities(candidates: ReadonlyMap<string, Scored>): Candidate[] {
  const all = [...candidates.values()];
  const greatest = Math.max(...all.map(total));
  const weights = all.map((candidate) => Math.exp(total(candidate) - greatest));
  const sum = weights.reduce((a, b) => a + b, 0);
  return [...candidates].map(([text, { startLogit, endLogit }], i) => ({
    text,
    startLogit,
    endLogit,
    probability: weights[i]! / sum,
  }));
}

const takesPredictionsOf = is.takes('predictionsOf', { questions: is.questionPredictions });

/**
 * The content of predictions.json: the answer of each question.
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function predictionsOf(questions: readonly QuestionPrediction[]): Predictions {
  takesPredictionsOf(questions);

  return Object.fromEntries(questions.map(({ id, text }) => [id, text]));
}

const takesNullOddsOf = is.takes('nullOddsOf', { questions: is.questionPredictions });

/**
 * The content of null_odds.json.
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function nullOddsOf(questions: readonly QuestionPrediction[]): NullOdds {
  takesNullOddsOf(questions);

  return Object.fromEntries(questions.map(({ id, nullOdds }) => [id, nullOdds ?? 0]));
}

const takesNBestOf = is.takes('nBestOf', { questions: is.questionPredictions });

/**
 * The content of nbest_predictions.json, in run_squad's layout.
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function nBestOf(questions: readonly QuestionPrediction[]): Record<string, object[]> {
  takesNBestOf(questions);

  const entry = ({ text, probability, startLogit, endLogit }: Candidate): object => ({
    text,
    probability,
    start_logit: startLogit,
    end_logit: endLogit,
  });
  return Object.fromEntries(questions.map(({ id, candidates }) => [id, candidates.map(entry)]));
}

/**
 * SQuAD's scores of a whole set of predictions, by the rules of the official scripts for v1.1 and v2.0: the best score
 * over a question's answers, means in percent, for v2.0 also apart for questions with and without an answer, and the
 * threshold of the null odds that would have scored best.
 */
import { ApolloError } from '../../../errors.js';
import * as is from '../../../is.js';
import { exactMatch, f1, normalizeAnswer } from './normalize.js';

/** Data of a question for scoring. */
export interface GoldQuestion {
  /** Finds the prediction for the question, and its null odds. */
  readonly id: string;
  /** Texts of the accepted answers; none: the question cannot be answered. */
  readonly answers: readonly string[];
}

/** Predicted answers by question id; '' says that there is no answer. The content of predictions.json. */
export type Predictions = Readonly<Record<string, string>>;

/** By question id: how much better "no answer" scores than the best answer. The content of null_odds.json. */
export type NullOdds = Readonly<Record<string, number>>;

/** Percentages over `total` questions. */
export interface Score {
  /** Percentage of questions whose prediction equals one of the answers after normalisation. */
  readonly exact: number;
  /** Mean over the questions of the F1 of common words, with the best of the answers, in percent. */
  readonly f1: number;
  /** Number of questions. */
  readonly total: number;
}

/** The scores at the thresholds for "no answer" that are best for them, in percent. */
export interface BestThresholds {
  /** Highest exact match of any threshold, in percent. */
  readonly bestExact: number;
  /** Null odds above which a question is given no answer for `bestExact`; 0 where no answer at all is best. */
  readonly bestExactThreshold: number;
  /** Highest F1 of any threshold, in percent. */
  readonly bestF1: number;
  /** Null odds above which a question is given no answer for `bestF1`; 0 where no answer at all is best. */
  readonly bestF1Threshold: number;
}

/** Scores of all questions, and of those with and without an answer, in percent. */
export interface Scores extends Score {
  /** Questions without a prediction; they score 0. */
  readonly missing: readonly string[];
  /** v2.0: the scores of the questions with an answer, where there are any. */
  readonly hasAnswer?: Score;
  /** v2.0: the scores of the questions without an answer, where there are any. */
  readonly noAnswer?: Score;
  /** v2.0 with null odds. */
  readonly best?: BestThresholds;
}

interface QuestionScore {
  readonly exact: number;
  readonly f1: number;
}

const takesScoreV1 = is.takes('scoreV1', { questions: is.gold, predictions: is.predictions });

/**
 * v1.1: exact match and F1 of every question, the best over its answers.
 * @example
 * squad.scoreV1([{ id: 'q', answers: ['Ann'] }], { q: 'Ann' }).exact // 100
 * @throws ApolloError BAD_ARGUMENT for a question without answers (that is v2.0) or no questions at all.
 */
export function scoreV1(questions: readonly GoldQuestion[], predictions: Predictions): Scores {
  takesScoreV1(questions, predictions);

  checkQuestions(questions);
  const scores = questions.map(({ id, answers }) => {
    if (answers.length === 0) {
      throw new ApolloError(
        'BAD_ARGUMENT',
        `Question ${id} has no answer, which SQuAD v1.1 does not know. Score it as v2.0 (task squad2).`,
      );
    }
    const prediction = predictionOf(predictions, id);
    return prediction === undefined ? nothing : bestOver(answers, prediction, { emptyMatches: false });
  });
  return { ...mean(scores), missing: missing(questions, predictions) };
}

const takesScoreV2 = is.takes('scoreV2', {
  questions: is.gold,
  predictions: is.predictions,
  options: is.options({ nullOdds: is.optional(is.record), threshold: is.optional(is.number) }),
});

/**
 * v2.0: as v1.1, a question without an answer being answered by ''. An answer that is nothing after normalisation does
 * not count as one. With `nullOdds` every prediction whose odds are above `threshold` (default: none is) becomes '',
 * and the best thresholds are searched. Search with `predictions` that always give an answer, so that the odds alone
 * decide.
 * @param questions The questions with their answers; none for a question without.
 * @param predictions The predicted text by the question's id; '' for no answer.
 * @param options Odds of having no answer, and their threshold.
 * @example
 * squad.scoreV2([{ id: 'q', answers: [] }], { q: '' }, { nullOdds: { q: 3 } });
 * @throws ApolloError BAD_ARGUMENT for a question without null odds where odds are given, or no questions at all.
 */
export function scoreV2(
  questions: readonly GoldQuestion[],
  predictions: Predictions,
  options: {
    /** By question: how much better having no answer scores than the best answer. Default: predictions count as they are. */
    readonly nullOdds?: NullOdds;
    /** Odds above which a prediction becomes ''. Default: none is. */
    readonly threshold?: number;
  } = {},
): Scores {
  takesScoreV2(questions, predictions, options);
  const { nullOdds, threshold = Number.POSITIVE_INFINITY } = options;
  checkQuestions(questions);
  const raw = questions.map(({ id, answers }) => {
    const prediction = predictionOf(predictions, id);
    const counted = answers.filter((answer) => normalizeAnswer(answer) !== '');
    return prediction === undefined ? nothing : bestOver(counted.length > 0 ? counted : [''], prediction);
  });
  const answerable = questions.map(({ answers }) => answers.length > 0);
  const odds = nullOdds && questions.map(({ id }) => oddsOf(nullOdds, id));
  const scores = raw.map((score, i) => {
    if (!odds || odds[i]! <= threshold || predictionOf(predictions, questions[i]!.id) === undefined) return score;
    return answerable[i] ? nothing : everything;
  });
  const split = (wanted: boolean): Score | undefined => {
    const part = scores.filter((_, i) => answerable[i] === wanted);
    return part.length > 0 ? mean(part) : undefined;
  };
  const [hasAnswer, noAnswer] = [split(true), split(false)];
  return {
    ...mean(scores),
    missing: missing(questions, predictions),
    ...(hasAnswer && { hasAnswer }),
    ...(noAnswer && { noAnswer }),
    ...(odds && { best: bestThresholds(questions, predictions, raw, odds) }),
  };
}

/** Both searches of the official v2.0 script. */
function bestThresholds(
  questions: readonly GoldQuestion[],
  predictions: Predictions,
  raw: readonly QuestionScore[],
  odds: readonly number[],
): BestThresholds {
  const search = (kind: keyof QuestionScore) =>
    bestThreshold(
      questions.map(({ id, answers }, i) => ({
        odds: odds[i]!,
        answerable: answers.length > 0,
        score: raw[i]![kind],
        predictsAnswer: (predictionOf(predictions, id) ?? '') !== '',
      })),
    );
  const [exact, best] = [search('exact'), search('f1')];
  return {
    bestExact: exact.score,
    bestExactThreshold: exact.threshold,
    bestF1: best.score,
    bestF1Threshold: best.threshold,
  };
}

/**
 * The threshold with the highest mean score (percent) when questions with odds above it are given no answer. Starts
 * with no answer for all (threshold 0) and lets questions be answered in the order of their odds; the first of equal
 * scores stays.
 */
function bestThreshold(
  questions: readonly {
    readonly odds: number;
    readonly answerable: boolean;
    readonly score: number;
    readonly predictsAnswer: boolean;
  }[],
): { score: number; threshold: number } {
  let current = questions.filter(({ answerable }) => !answerable).length;
  let best = { score: current, threshold: 0 };
  for (const { odds, answerable, score, predictsAnswer } of [...questions].sort((a, b) => a.odds - b.odds)) {
    if (answerable) current += score;
    else if (predictsAnswer) current -= 1;
    if (current > best.score) best = { score: current, threshold: odds };
  }
  return { score: (100 * best.score) / questions.length, threshold: best.threshold };
}

const nothing: QuestionScore = { exact: 0, f1: 0 };
const everything: QuestionScore = { exact: 1, f1: 1 };

function bestOver(answers: readonly string[], prediction: string, options?: { emptyMatches: boolean }): QuestionScore {
  return {
    exact: Math.max(...answers.map((answer) => exactMatch(prediction, answer))),
    f1: Math.max(...answers.map((answer) => f1(prediction, answer, options))),
  };
}

function mean(scores: readonly QuestionScore[]): Score {
  const sum = (kind: keyof QuestionScore): number => scores.reduce((total, score) => total + score[kind], 0);
  const total = scores.length;
  return { exact: (100 * sum('exact')) / total, f1: (100 * sum('f1')) / total, total };
}

/** Own keys only: an id may be called as something that every object has. */
function predictionOf(predictions: Predictions, id: string): string | undefined {
  return Object.hasOwn(predictions, id) ? predictions[id] : undefined;
}

function oddsOf(nullOdds: NullOdds, id: string): number {
  const odds = Object.hasOwn(nullOdds, id) ? nullOdds[id] : undefined;
  if (odds === undefined) {
    throw new ApolloError('BAD_ARGUMENT', `Question ${id} has no null odds. Give odds for every question, or none.`);
  }
  return odds;
}

function missing(questions: readonly GoldQuestion[], predictions: Predictions): string[] {
  return questions.filter(({ id }) => predictionOf(predictions, id) === undefined).map(({ id }) => id);
}

function checkQuestions(questions: readonly GoldQuestion[]): void {
  if (questions.length === 0) throw new ApolloError('BAD_ARGUMENT', 'There are no questions to score.');
}

const takesOfficialScores = is.takes('officialScores', {
  scores: is.object('scores (from scoreV1 or scoreV2)', {
    exact: is.anyNumber,
    f1: is.anyNumber,
    total: is.anyNumber,
    hasAnswer: is.optional(is.record),
    noAnswer: is.optional(is.record),
    best: is.optional(is.record),
  }),
});

/**
 * Scores under the names that the official scripts print.
 * @example
 * squad.officialScores(squad.scoreV2([{ id: 'q', answers: ['Ann'] }], { q: 'Ann' }));
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function officialScores(scores: Scores): Record<string, number> {
  takesOfficialScores(scores);
  const { exact, f1, total, hasAnswer, noAnswer, best } = scores;
  const split = (name: string, score: Score | undefined) =>
    score && { [`${name}_exact`]: score.exact, [`${name}_f1`]: score.f1, [`${name}_total`]: score.total };
  return {
    exact,
    f1,
    total,
    ...split('HasAns', hasAnswer),
    ...split('NoAns', noAnswer),
    ...(best && {
      best_exact: best.bestExact,
      best_exact_thresh: best.bestExactThreshold,
      best_f1: best.bestF1,
      best_f1_thresh: best.bestF1Threshold,
    }),
  };
}

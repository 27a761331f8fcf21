/**
 * SQuAD's answer normalisation and the two scores of one answer, as the official evaluation scripts define them: lower
 * case, no ASCII punctuation, no articles, single blanks; exact match, and F1 over the bag of words.
 *
 * Character classes are those of Python's `re` and `str.split`, in which the scripts are written: a word character is
 * a letter, a number or `_` (JavaScript's `\b` knows ASCII only), and white space counts U+001C to U+001F and U+0085.
 */
import * as is from '../../../is.js';

const punctuation = /[!-/:-@[-`{-~]/g;
const article = /(?<![\p{L}\p{N}_])(?:a|an|the)(?![\p{L}\p{N}_])/gu;
// biome-ignore lint/suspicious/noControlCharactersInRegex: Python counts these separators as white space.
const whiteSpace = /[\p{White_Space}\x1c-\x1f]+/u;

/** The words that count: `The "Panthers'" defense` gives panthers, defense. */
export function answerWords(text: string): string[] {
  const bare = text.toLowerCase().replace(punctuation, '').replace(article, ' ');
  return bare.split(whiteSpace).filter((word) => word !== '');
}

const takesNormalizeAnswer = is.takes('normalizeAnswer', { text: is.string });

/**
 * The form in which two answers are compared: `answerWords` with one blank between them.
 * @example
 * squad.normalizeAnswer('The Cat!') // 'cat'
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function normalizeAnswer(text: string): string {
  takesNormalizeAnswer(text);

  return answerWords(text).join(' ');
}

const takesExactMatch = is.takes('exactMatch', { prediction: is.string, gold: is.string });

/**
 * 1 when both are the same after normalisation, else 0.
 * @example
 * squad.exactMatch('the Cat.', 'cat') // 1
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function exactMatch(prediction: string, gold: string): number {
  takesExactMatch(prediction, gold);

  return normalizeAnswer(prediction) === normalizeAnswer(gold) ? 1 : 0;
}

const takesF1 = is.takes('f1', {
  prediction: is.string,
  gold: is.string,
  options: is.options({ emptyMatches: is.optional(is.boolean) }),
});

/**
 * Harmonic mean of the precision and the recall of the prediction's words; a word counts as often as it is in both.
 * Without a word in one of them: 1 if both have none, else 0. (The v1.1 script gives 0 also where both have none: pass
 * `emptyMatches: false`.)
 * @param prediction The predicted answer.
 * @param gold The right answer.
 * @param options What texts without tokens score.
 * @example
 * squad.f1('a big cat', 'cat')
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function f1(
  prediction: string,
  gold: string,
  options: {
    /** Whether two texts without a token match, with F1 1; else 0. Default: true. */
    readonly emptyMatches?: boolean;
  } = {},
): number {
  takesF1(prediction, gold, options);
  const { emptyMatches = true } = options;
  const predicted = answerWords(prediction);
  const wanted = answerWords(gold);
  if (predicted.length === 0 || wanted.length === 0) {
    return emptyMatches && predicted.length === wanted.length ? 1 : 0;
  }
  const left = new Map<string, number>();
  for (const word of wanted) left.set(word, (left.get(word) ?? 0) + 1);
  let shared = 0;
  for (const word of predicted) {
    const count = left.get(word) ?? 0;
    if (count === 0) continue;
    shared++;
    left.set(word, count - 1);
  }
  if (shared === 0) return 0;
  const precision = shared / predicted.length;
  const recall = shared / wanted.length;
  return (2 * precision * recall) / (precision + recall);
}

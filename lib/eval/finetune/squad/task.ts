/** SQuAD as a task to fine-tune for: windows are its features, spans its head, the official scores its metrics. */
import { ApolloError } from '../../../errors.js';
import * as is from '../../../is.js';
import type { SequenceEncoder } from '../encode.js';
import { spans } from '../heads/spans.js';
import type { Feature, FineTuneTask, Metrics, Outputs, PredictionFile, Split, TaskSetting } from '../task.js';
import type { SquadQuestion } from './dataset.js';
import { readSquadFiles, type SquadFileOptions, type SquadVersion } from './files.js';
import { type GoldQuestion, officialScores, type Scores, scoreV1, scoreV2 } from './metrics.js';
import {
  nBestOf,
  nullOddsOf,
  type PredictOptions,
  predictionsOf,
  predictQuestion,
  type QuestionPrediction,
} from './predict.js';
import { encodeQuestion, type OffsetEncoding, type SquadWindow, windowsOf } from './windows.js';

const settings: readonly TaskSetting[] = [
  { name: 'docStride', kind: 'count', about: 'tokens between the starts of two windows; default: a third of a window' },
  { name: 'maxQuestion', kind: 'count', about: 'most tokens of a question; default: 64' },
  { name: 'nBest', kind: 'count', about: 'starts and ends tried per window, and answers kept; default: 20' },
  { name: 'maxAnswer', kind: 'count', about: 'most tokens of an answer; default: 30' },
  { name: 'nullThreshold', kind: 'number', about: 'v2.0: no answer when the null odds are above this; default: 0' },
  { name: 'train', kind: 'path', about: 'training file; default: train*.json' },
  { name: 'dev', kind: 'path', about: 'evaluation file; default: dev*.json' },
];

/** Settings of {@link squad.squadTask}. */
export interface SquadOptions extends Pick<PredictOptions, 'nBest' | 'maxAnswer' | 'nullThreshold'>, SquadFileOptions {
  /** Tokens from the start of one window's context to the next. Default: a third of the windows' length. */
  readonly docStride?: number | undefined;
  /** Tokens of a question at most. */
  readonly maxQuestion?: number;
}

const takesSquadTask = is.takes('squadTask', {
  version: is.oneOf(1, 2),
  options: is.options({
    docStride: is.optional(is.count),
    maxQuestion: is.optional(is.count),
    nBest: is.optional(is.count),
    maxAnswer: is.optional(is.count),
    nullThreshold: is.optional(is.number),
    train: is.optional(is.path),
    dev: is.optional(is.path),
  }),
});

/**
 * SQuAD v1.1 (version 1) or v2.0 (version 2).
 * ```ts
 * const task = squad.squadTask(2, { nullThreshold: -1.5 });
 * ```
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function squadTask(version: SquadVersion, options: SquadOptions = {}): FineTuneTask<SquadQuestion> {
  takesSquadTask(version, options);

  const { docStride, maxQuestion = 64, nBest = 20, maxAnswer = 30, nullThreshold = 0 } = options;
  const name = version === 1 ? 'squad' : 'squad2';
  const windows = new WeakMap<SquadQuestion, readonly SquadWindow[]>();
  const answered = new WeakMap<Outputs, readonly QuestionPrediction[]>();
  const encoders = new WeakMap<SequenceEncoder, (text: string) => OffsetEncoding>();

  /** The answers that `outputs` gives to the questions. */
  const predict = (questions: readonly SquadQuestion[], outputs: Outputs): readonly QuestionPrediction[] => {
    const known = answered.get(outputs);
    if (known) return known;
    const found = questions.map((question, index) => {
      const parts = windows.get(question);
      if (!parts) throw new ApolloError('INTERNAL', `Question ${question.id} was scored before its windows were made.`);
      const logits = outputs[index]!.map((row) => {
        const half = row.length / 2;
        return { start: row.subarray(0, half), end: row.subarray(half) };
      });
      return predictQuestion(parts, logits, { nBest, maxAnswer, nullThreshold, canBeNull: version === 2 });
    });
    answered.set(outputs, found);
    return found;
  };

  return {
    name,
    title: version === 1 ? 'SQuAD v1.1' : 'SQuAD v2.0',
    metrics:
      version === 1
        ? ['f1', 'exact']
        : ['f1', 'exact', 'hasAnswerF1', 'hasAnswerExact', 'noAnswerExact', 'bestF1', 'bestExact'],
    head: spans,
    maxLength: 384,
    settings,
    configured: (values) => squadTask(version, { ...options, ...(values as SquadOptions) }),
    read: (path, need) => readSquadFiles(path, need, version, options),
    check: checkModel,
    features(question, encoder) {
      checkModel(encoder);
      const { cls, sep } = encoder.tokenizer.specials as { cls: number; sep: number };
      const encode = encoders.get(encoder) ?? rememberTwo((text) => encoder.tokenizer.encodeWithOffsets(text));
      encoders.set(encoder, encode);
      const settings = {
        encode,
        cls,
        sep,
        maxLength: encoder.maxLength,
        stride: docStride ?? Math.max(1, Math.floor(encoder.maxLength / 3)),
        maxQuestion,
      };
      const parts = windowsOf(encodeQuestion(question, settings), settings);
      windows.set(question, parts);
      return parts.map((window) => featureOf(window, encoder));
    },
    score: (questions, outputs) => metricsOf(scoresOf(questions, predict(questions, outputs), version), version),
    ...(version === 2 && {
      baseline: (_, questions) => {
        const none = questions.map(({ id }) => ({ id, text: '', bestAnswer: '', nullOdds: 0, candidates: [] }));
        return { name: 'no answer', metrics: metricsOf(scoresOf(questions, none, version), version) };
      },
    }),
    keepsPredictions: true,
    predictions: (split, outputs) => filesOf(split, predict(split.examples, outputs), version),
    ...(version === 2 && {
      remark: (questions, outputs) => {
        const { best } = scoresOf(questions, predict(questions, outputs), version);
        return (
          `best F1 ${best!.bestF1.toFixed(1)} with --null-threshold ${best!.bestF1Threshold.toFixed(3)}, ` +
          `best exact match ${best!.bestExact.toFixed(1)} with ${best!.bestExactThreshold.toFixed(3)}`
        );
      },
    }),
  };
}

function checkModel({ objective }: SequenceEncoder): void {
  if (objective === 'masked') return;
  throw new ApolloError(
    'BAD_CONFIG',
    'SQuAD requires a BERT: in a causal model (GPT, Llama) no token sees the tokens after it, so it cannot mark where an answer ends.',
  );
}

export const squad = squadTask(1);
export const squad2 = squadTask(2);

const goldOf = (questions: readonly SquadQuestion[]): GoldQuestion[] =>
  questions.map(({ id, answers }) => ({ id, answers: answers.map(({ text }) => text) }));

/** The scores of predictions; of v2.0 also the best thresholds. */
function scoresOf(
  questions: readonly SquadQuestion[],
  predictions: readonly QuestionPrediction[],
  version: SquadVersion,
): Scores {
  const gold = goldOf(questions);
  if (version === 1) return scoreV1(gold, predictionsOf(predictions));
  // The threshold alone decides in the search, so every question has its best answer there.
  const answers = Object.fromEntries(predictions.map(({ id, bestAnswer }) => [id, bestAnswer]));
  const { best } = scoreV2(gold, answers, { nullOdds: nullOddsOf(predictions) });
  return { ...scoreV2(gold, predictionsOf(predictions)), ...(best && { best }) };
}

/** As shares of 1, like those of all tasks. */
function metricsOf({ f1, exact, hasAnswer, noAnswer, best }: Scores, version: SquadVersion): Metrics {
  const share = (percent: number | undefined): number => (percent ?? Number.NaN) / 100;
  if (version === 1) return { f1: share(f1), exact: share(exact) };
  return {
    f1: share(f1),
    exact: share(exact),
    // None where no question has an answer, or each has one.
    ...(hasAnswer && { hasAnswerF1: share(hasAnswer.f1), hasAnswerExact: share(hasAnswer.exact) }),
    ...(noAnswer && { noAnswerExact: share(noAnswer.exact) }),
    bestF1: share(best?.bestF1),
    bestExact: share(best?.bestExact),
  };
}

/** In a folder of the split's name: what run_squad writes, and the scores where there are answers to score against. */
function filesOf(
  { name: split, examples }: Split<SquadQuestion>,
  predictions: readonly QuestionPrediction[],
  version: SquadVersion,
): PredictionFile[] {
  const file = (name: string, content: unknown): PredictionFile => ({
    name: `${split}/${name}`,
    text: `${JSON.stringify(content, undefined, 1)}\n`,
  });
  const labelled = examples.some(({ answers }) => answers.length > 0);
  return [
    file('predictions.json', predictionsOf(predictions)),
    file('nbest_predictions.json', nBestOf(predictions)),
    ...(version === 2 ? [file('null_odds.json', nullOddsOf(predictions))] : []),
    ...(labelled ? [file('scores.json', officialScores(scoresOf(examples, predictions, version)))] : []),
  ];
}

function featureOf({ source, contextStart, contextEnd, label }: SquadWindow, encoder: SequenceEncoder): Feature {
  const part = Array.prototype.slice.call(source.contextIds, contextStart, contextEnd) as number[];
  return { ...encoder.join(source.questionIds, part), targets: { start: label.start, end: label.end } };
}

/**
 * The questions of a paragraph follow one another, so the encoding of their context is made once and shared: the two
 * texts used last are kept, a context and a question.
 */
function rememberTwo(encode: (text: string) => OffsetEncoding): (text: string) => OffsetEncoding {
  const recent = new Map<string, OffsetEncoding>();
  return (text) => {
    const encoding = recent.get(text) ?? encode(text);
    recent.delete(text);
    recent.set(text, encoding);
    for (const oldest of recent.keys()) {
      if (recent.size <= 2) break;
      recent.delete(oldest);
    }
    return encoding;
  };
}

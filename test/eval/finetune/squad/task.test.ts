/** SQuAD as a task: features of windows, scores of logits, and a tiny model that memorises made-up questions. */
import t from 'tap';
import { sequenceEncoder } from '../../../../lib/eval/finetune/encode.js';
import { fineTune } from '../../../../lib/eval/finetune/finetune.js';
import { untrainedSource } from '../../../../lib/eval/finetune/source.js';
import type { SquadQuestion } from '../../../../lib/eval/finetune/squad/dataset.js';
import { squadTask } from '../../../../lib/eval/finetune/squad/task.js';
import type { FineTuneTask, Outputs } from '../../../../lib/eval/finetune/task.js';
import type { ModelConfig } from '../../../../lib/models/index.js';
import { failure, gpt2 } from '../../../data/support.js';
import { testDevice } from '../../../device.js';
import { madeUp, smallTokenizer } from './support.js';

const small = smallTokenizer();
const config: ModelConfig = {
  kind: 'bert',
  layers: 2,
  hidden: 48,
  heads: 2,
  ffn: 96,
  vocabSize: small.vocabSize,
  maxPositions: 64,
  dropout: 0,
  attentionDropout: 0,
  initStd: 0.02,
  epsilon: 1e-12,
  typeVocab: 2,
};
const encoder = (maxLength = 64) => sequenceEncoder(small, config, maxLength);

/** Logits that point at the labels of the features. */
const perfect = (task: FineTuneTask<SquadQuestion>, questions: readonly SquadQuestion[], maxLength: number): Outputs =>
  questions.map((question) =>
    task.features(question, encoder(maxLength)).map(({ tokens, targets }) => {
      const row = new Float32Array(2 * tokens.length);
      row[targets!['start']!] = targets!['start'] === 0 ? 4 : 9;
      row[tokens.length + targets!['end']!] = targets!['end'] === 0 ? 4 : 9;
      return row;
    }),
  );

t.test('features are windows with token types and the answer as target', async (t) => {
  const task = squadTask(1, { docStride: 10 });
  const question = madeUp('v1.1').questions[6]!; // How many apple trees are there? Four hundred
  const features = task.features(question, encoder(32));
  t.ok(features.length > 1);
  for (const { tokens, types } of features) {
    t.ok(tokens.length <= 32);
    t.equal(types.length, tokens.length);
    t.equal(tokens[0], small.specials.cls);
    t.equal(tokens.at(-1), small.specials.sep);
    t.equal(types.indexOf(1), tokens.indexOf(small.specials.sep!) + 1);
  }
  const answer = features.map(({ tokens, targets }) =>
    small.decode(tokens.slice(targets!['start']!, targets!['end']! + 1)),
  );
  t.equal(answer[0], 'four hundred');
  t.equal(answer.at(-1), '[CLS]', 'a window without the answer');
});

t.test('the stride is a third of the length where none is given', async (t) => {
  const question = { ...madeUp('v1.1').questions[0]!, context: 'a '.repeat(100) };
  const starts = (stride?: number) => squadTask(1, { docStride: stride }).features(question, encoder(48)).length;
  t.equal(starts(), starts(16));
  t.not(starts(), starts(20));
});

t.test('logits that point at the answers score 1, in one window or many', async (t) => {
  for (const maxLength of [64, 32]) {
    const { questions } = madeUp('v1.1');
    const task = squadTask(1);
    t.same(task.score(questions, perfect(task, questions, maxLength)), { f1: 1, exact: 1 });

    const second = squadTask(2);
    const { questions: some } = madeUp('v2.0');
    const metrics = second.score(some, perfect(second, some, maxLength));
    t.same(metrics, {
      f1: 1,
      exact: 1,
      hasAnswerF1: 1,
      hasAnswerExact: 1,
      noAnswerExact: 1,
      bestF1: 1,
      bestExact: 1,
    });
    for (const name of second.metrics) t.ok(name in metrics);
  }
});

t.test('the null threshold decides, and the best one is remarked', async (t) => {
  const { questions } = madeUp('v2.0');
  const withThreshold = (nullThreshold: number) => {
    const task = squadTask(2).configured!({ nullThreshold });
    const outputs = perfect(task, questions, 64);
    const [file] = [task.predictions({ name: 'dev', examples: questions }, outputs)].flat();
    const answers: string[] = Object.values(JSON.parse(file!.text));
    const none = answers.filter((text) => text === '').length;
    return { none, scores: task.score(questions, outputs), remark: task.remark!(questions, outputs) };
  };
  t.equal(withThreshold(7.9).none, 2);
  t.equal(withThreshold(8).none, 0, 'null odds of 8 are not above 8');
  const { none, scores, remark } = withThreshold(-19);
  t.equal(none, 5);
  t.match(scores, { exact: 0.4, hasAnswerExact: 0, bestExact: 1 }, 'two of five have no answer');
  t.match(remark, /best F1 100\.0 with --null-threshold -18\.000, best exact match 100\.0 with -18\.000/);
});

t.test('v2.0 has no scores of questions that are not there', async (t) => {
  const { questions } = madeUp('v2.0');
  const task = squadTask(2);
  const scores = (some: typeof questions) => task.score(some, perfect(task, some, 64));
  const answered = scores(questions.filter(({ answers }) => answers.length > 0));
  t.strictSame(Object.keys(answered), ['f1', 'exact', 'hasAnswerF1', 'hasAnswerExact', 'bestF1', 'bestExact']);
  const unanswered = scores(questions.filter(({ answers }) => answers.length === 0));
  t.strictSame(Object.keys(unanswered), ['f1', 'exact', 'noAnswerExact', 'bestF1', 'bestExact']);
});

t.test('the baseline of v2.0 answers nothing', async (t) => {
  const { questions } = madeUp('v2.0');
  const baseline = squadTask(2).baseline!([], questions);
  t.equal(baseline.name, 'no answer');
  t.match(baseline.metrics, { f1: 0.4, exact: 0.4, noAnswerExact: 1, hasAnswerF1: 0, bestF1: 0.4 });
  t.equal(squadTask(1).baseline, undefined);
});

t.test('predictions are the files of run_squad, in a folder of the split', async (t) => {
  const filesOf = (version: 1 | 2, unlabelled = false) => {
    const task = squadTask(version);
    const { questions } = madeUp(version === 1 ? 'v1.1' : 'v2.0');
    const outputs = perfect(task, questions, 64);
    const examples = unlabelled ? questions.map((question) => ({ ...question, answers: [] })) : questions;
    if (unlabelled) for (const example of examples) task.features(example, encoder(64));
    const files = [task.predictions({ name: 'dev', examples }, outputs)].flat();
    return Object.fromEntries(files.map(({ name, text }) => [name, JSON.parse(text)]));
  };
  const files = filesOf(2);
  t.same(Object.keys(files), [
    'dev/predictions.json',
    'dev/nbest_predictions.json',
    'dev/null_odds.json',
    'dev/scores.json',
  ]);
  t.same(files['dev/predictions.json'], {
    'river-1': 'the Hazel Hills',
    'river-2': '',
    'river-3': 'Port Ambra',
    'garden-1': 'on Thursdays',
    'garden-2': '',
  });
  t.same(files['dev/null_odds.json'], {
    'river-1': -18,
    'river-2': 8,
    'river-3': -18,
    'garden-1': -18,
    'garden-2': 8,
  });
  t.equal(files['dev/nbest_predictions.json']['river-1'][0].text, 'the Hazel Hills');
  t.same(files['dev/scores.json'], {
    exact: 100,
    f1: 100,
    total: 5,
    HasAns_exact: 100,
    HasAns_f1: 100,
    HasAns_total: 3,
    NoAns_exact: 100,
    NoAns_f1: 100,
    NoAns_total: 2,
    best_exact: 100,
    best_exact_thresh: -18,
    best_f1: 100,
    best_f1_thresh: -18,
  });
  t.same(filesOf(1)['dev/scores.json'], { exact: 100, f1: 100, total: 7 });
  t.same(Object.keys(filesOf(1, true)), ['dev/predictions.json', 'dev/nbest_predictions.json']);
});

t.test('a GPT is refused', async (t) => {
  const causal = sequenceEncoder(gpt2(), { kind: 'gpt', maxPositions: 64 }, 64);
  t.match(
    await failure(() => squadTask(1).features(madeUp('v1.1').questions[0]!, causal)),
    /BAD_CONFIG: SQuAD requires a BERT/,
  );
});

/** Fine-tunes from initial values on four questions and gives the scores of every epoch. */
async function overfit(version: 1 | 2) {
  const device = await testDevice({ threads: 1 });
  const questions = version === 1 ? madeUp('v1.1').questions.slice(1, 5) : madeUp('v2.0').questions.slice(0, 4);
  try {
    const epochs = [];
    const settings = { epochs: 60, batch: 8, learningRate: 3e-3, warmup: 0.1, dropout: 0, maxLength: 64, seeds: [5] };
    const data = { train: questions, evaluations: [{ name: 'same', examples: questions }] };
    const source = untrainedSource(config);
    const deps = { device, task: squadTask(version), data, source, tokenizer: small };
    for await (const event of fineTune(settings, deps)) if (event.type === 'epoch') epochs.push(event);
    return epochs;
  } finally {
    await device.close();
  }
}

t.test('a tiny model memorises four questions, with the same bits each time', async (t) => {
  const first = await overfit(1);
  t.equal(first.length, 60);
  t.same(first.at(-1)!.metrics['same'], { f1: 1, exact: 1 });
  t.ok(first[0]!.loss > 3, 'it began knowing nothing');
  t.ok(first.at(-1)!.loss < 0.1);
  const again = await overfit(1);
  t.same(
    again.map(({ loss }) => loss),
    first.map(({ loss }) => loss),
  );
});

t.test('and that some questions have no answer', async (t) => {
  const epochs = await overfit(2);
  t.match(epochs.at(-1)!.metrics['same'], { f1: 1, exact: 1, noAnswerExact: 1, hasAnswerExact: 1 });
});

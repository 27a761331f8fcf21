/**
 * From an answer's characters to tokens and back, with a real tokenizer: the text that comes back is the answer, or wider
 * by the rest of a token that goes across the answer's edge, which no span of tokens can avoid.
 */
import t from 'tap';
import { readSquad, type SquadQuestion } from '../../../../lib/eval/finetune/squad/dataset.js';
import { encodeQuestion, spanText } from '../../../../lib/eval/finetune/squad/windows.js';
import { bert, shared } from '../../../data/support.js';
import { madeUp } from './support.js';

/** Answers of one context follow one another, so its encoding is kept. */
let last = { text: '', encoding: bert().encodeWithOffsets('') };
const encode = (text: string) => {
  if (text !== '' && last.text !== text) last = { text, encoding: bert().encodeWithOffsets(text) };
  return last.encoding;
};

/** How many answers there are, how many come back as they are, and those that cannot. */
function recover(questions: readonly SquadQuestion[]): { answers: number; wider: string[]; wrong: string[] } {
  const wider: string[] = [];
  const wrong: string[] = [];
  let answers = 0;
  for (const question of questions) {
    for (const answer of question.answers) {
      answers++;
      const encoded = encodeQuestion({ ...question, question: '', answers: [answer] }, { encode, maxQuestion: 64 });
      const found = encoded.answer ? spanText(encoded, encoded.answer) : '';
      if (found === answer.text.trim()) continue;
      const { contextOffsets: offsets, answer: span } = encoded;
      const start = answer.start!;
      const end = start + answer.text.length;
      const acrossStart = span && offsets[2 * span.start]! < start && offsets[2 * span.start + 1]! > start;
      const acrossEnd = span && offsets[2 * span.end]! < end && offsets[2 * span.end + 1]! > end;
      const isWider = (acrossStart || acrossEnd) && found.includes(answer.text.trim());
      (isWider ? wider : wrong).push(`${question.id}: ${JSON.stringify(answer.text)} became ${JSON.stringify(found)}`);
    }
  }
  return { answers, wider, wrong };
}

t.test('made-up answers among accents, Chinese characters and an emoji come back', async (t) => {
  t.same(recover(madeUp('v1.1').questions), { answers: 8, wider: [], wrong: [] });
  t.same(recover(madeUp('v2.0').questions), { answers: 5, wider: [], wrong: [] });
});

t.test('characters that the tokenizer changes, joins or drops', async (t) => {
  const contexts: [string, string][] = [
    ['Élan vital, déjà-vu', 'déjà-vu'],
    ['E\u0301lan vital', 'E\u0301lan'],
    ['in 東京都 today', '京'],
    ['smile \u{1f600}\u{1f600} wide', '\u{1f600}\u{1f600}'],
    ['x \u{1d49c}\u{1d4b7} y', '\u{1d49c}\u{1d4b7}'],
    ['İstanbul   is  big', 'is  big'],
    ['a\u00a0\u3000b\tc\n\nd', 'b\tc\n\nd'],
    ['Straße (12,5 %)', '12,5 %'],
    ['zero\u200bwidth\u00adhyphen end', 'end'],
    ['“quoted” — dash…', '“quoted”'],
    ['ﬁne ²nd ½', '²nd ½'],
    ['[SEP] in text', 'in text'],
  ];
  const questions = contexts.map(([context, text], i) => ({
    id: String(i),
    title: '',
    question: '?',
    context,
    answers: [{ text, start: context.indexOf(text) }],
    impossible: false,
  }));
  t.same(recover(questions), { answers: contexts.length, wider: [], wrong: [] });
});

for (const [name, answers, wider] of [
  ['train-v1.1-first-articles', 3807, 22],
  ['xquad-en-v1.1-part', 830, 1],
  ['dev-v2.0-part', 6484, 9],
] as const) {
  const { path, skip } = shared(`squad/${name}.json.gz`);
  t.test(`${name}: every answer comes back, but for those that end inside a token`, { skip }, async (t) => {
    const found = recover((await readSquad(path)).questions);
    t.same(found.wrong, []);
    t.equal(found.answers, answers);
    t.equal(found.wider.length, wider, found.wider.join('\n'));
  });
}

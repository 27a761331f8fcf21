import t from 'tap';
import { preset } from '../../lib/models/index.js';
import { checkSettings } from '../../lib/train/index.js';

const gpt = preset('gpt-nano');
const bert = preset('bert-nano');
const base = { steps: 10, batch: 1 };

t.test('sequences have something to predict and fit the positions', async (t) => {
  t.equal(checkSettings({ ...base, seq: 2 }, gpt).seq, 2);
  t.equal(checkSettings({ ...base, seq: 3 }, bert).seq, 3);
  t.throws(() => checkSettings({ ...base, seq: 1 }, gpt), {
    code: 'BAD_CONFIG',
    message: /at least 2 for a GPT.*--seq/,
  });
  for (const seq of [1, 2]) {
    t.throws(() => checkSettings({ ...base, seq }, bert), {
      code: 'BAD_CONFIG',
      message: new RegExp(`at least 3 for a BERT \\(\\[CLS\\], a token to mask and \\[SEP\\]\\); got ${seq},`),
    });
  }
  for (const model of [gpt, bert]) {
    const seq = model.maxPositions + 1;
    t.throws(() => checkSettings({ ...base, seq }, model), {
      code: 'BAD_CONFIG',
      message: `train.seq: at most the model's ${seq - 1} positions; got ${seq}. Give a smaller --seq.`,
    });
  }
});

t.test('what resolveConfig refuses is refused, too', async (t) => {
  t.throws(() => checkSettings({ ...base, seq: 8, warmupSteps: 11 }, gpt), { message: /warmupSteps: at most/ });
});

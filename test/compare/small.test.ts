import t from 'tap';
import { smallModel, smallShape } from '../../lib/compare/index.js';
import { smallTrain } from '../../lib/compare/small.js';
import { preset } from '../../lib/models/index.js';

t.test(
  'the smaller model has two thirds of the width in whole heads, and groups as large as the finished one',
  async (t) => {
    t.same(smallShape(preset('gpt-base')), { layers: 12, hidden: 512, heads: 8, ffn: 2048 });
    const model = preset('smollm-135m', { layers: 4 }); // nine query heads of 64, three key/value heads
    const shape = smallShape(model);
    t.same(shape, { layers: 4, hidden: 384, heads: 6, ffn: 1024 });
    t.match(smallModel(model, undefined).config, { ...shape, keyValueHeads: 2 });
    t.match(smallModel(model, { heads: 3, hidden: 192 }).config, { heads: 3, keyValueHeads: 1 });
  },
);

t.test('heads that leave no whole key/value head are refused', async (t) => {
  t.throws(() => smallModel(preset('smollm-135m'), { heads: 4, hidden: 256 }), {
    code: 'BAD_CONFIG',
    message: /small.heads/,
  });
});

t.test('the run of the smaller model keeps the checkpoints that it comes to', async (t) => {
  const train = { steps: 100, batch: 4, seq: 16, keepAt: [20, 60] };
  t.same(smallTrain(train, { steps: 40 }).keepAt, [20]);
  t.same(smallTrain(train).keepAt, [20, 60]);
});

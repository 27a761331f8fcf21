import t from 'tap';
import { smallModel, smallRun, smallShape } from '../../lib/compare/index.js';
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

t.test(
  'its run takes what is said of it; steps and warm-up of the compared runs become those of its own length',
  async (t) => {
    const model = preset('gpt-nano');
    const run = {
      steps: 1000,
      batch: 2,
      seq: 8,
      learningRate: 1e-3,
      warmupSteps: 30,
      keepAt: [900],
      evaluateEvery: 10,
    };
    const trainOf = (...rest: [Parameters<typeof smallRun>[2]?, number?]) => smallRun(model, run, ...rest).train;
    t.same(trainOf(), { ...run, keepAt: [], evaluateEvery: 0 }, 'a run of the same length has the same warm-up');
    t.match(trainOf({ steps: 100 }), { steps: 100, warmupSteps: 3, learningRate: 1e-3 });
    t.match(trainOf({ steps: 101, learningRate: 2e-3 }), { steps: 101, warmupSteps: 4, learningRate: 2e-3 });
    t.match(trainOf({ steps: 2000 }), { warmupSteps: 60 });
    t.match(trainOf({ steps: 100 }, 0.025), { warmupSteps: 3 }, 'a share is rounded up');
    t.match(trainOf({ steps: 5000 }, 0.01), { warmupSteps: 50 }, 'and not the steps that it was of the compared runs');
    const { warmupSteps: _, ...rest } = run;
    t.equal(smallRun(model, rest, { steps: 100 }).train.warmupSteps, undefined, 'the default is a share');
    t.same(
      smallRun(model, run, { heads: 1, hidden: 64 }).model.config,
      smallModel(model, { heads: 1, hidden: 64 }).config,
    );
  },
);

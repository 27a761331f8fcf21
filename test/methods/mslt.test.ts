import t from 'tap';
import { mslt } from '../../lib/methods/index.js';
import { createModel, preset } from '../../lib/models/index.js';
import { stepFlops } from '../../lib/train/cost.js';
import { grownLayers, layerGrowth } from './support.js';

const make = (options: object = {}) => mslt({ layers: 12, totalSteps: 400, seed: 1, ...options });

t.test('quarters are added in equal stages up to 70 % of the steps; then all layers train', (t) => {
  const method = make();
  const steps = Array.from({ length: 400 }, (_, step) => step);
  t.same(
    steps.filter((step) => method.growth(step)),
    [70, 140, 210],
  );
  t.same(
    [0, 70, 140, 210].map((step) => method.plan(step).depth),
    [3, 6, 9, 12],
  );
  t.same(
    [69, 70, 140, 279, 280].map((step) => method.plan(step).forwardOnly),
    [undefined, 3, 6, 9, undefined],
  );
  t.end();
});

t.test('the new layers are copies of the topmost ones', (t) => {
  t.same(grownLayers(layerGrowth(make(), 70)), [0, 1, 2, 0, 1, 2]);
  t.same(grownLayers(layerGrowth(make(), 140)), [0, 1, 2, 3, 4, 5, 3, 4, 5]);
  const uneven = make({ stageLayers: [8, 12], boundaries: { fractions: [0.5] } });
  t.same(grownLayers(layerGrowth(uneven, 200)), [0, 1, 2, 3, 4, 5, 6, 7, 4, 5, 6, 7]);
  t.same(
    layerGrowth(make(), 70).copies.map(({ moments }) => moments),
    ['zero', 'zero', 'zero'],
    'old layers keep theirs',
  );
  t.end();
});

t.test('only new layers and the head train, without the table that embeddings and head share', (t) => {
  const method = make();
  for (const kind of ['gpt-base', 'bert-base']) {
    const names = createModel(preset(kind))
      .parameters(12)
      .map(({ name }) => name);
    const trained = names.filter(method.plan(250).trainable!);
    const layers = [...new Set(trained.map((name) => /^layer\.(\d+)/.exec(name)?.[1]).filter(Boolean))];
    t.same(layers, ['9', '10', '11'], kind);
    const shared = trained.filter((name) => !name.startsWith('layer.'));
    t.same(
      shared,
      kind === 'gpt-base'
        ? ['final.norm.weight', 'final.norm.bias']
        : ['head.transform.weight', 'head.transform.bias', 'head.norm.weight', 'head.norm.bias', 'head.bias'],
    );
  }
  t.equal(method.plan(0).trainable, undefined);
  t.equal(method.plan(399).trainable, undefined);
  t.end();
});

t.test('9 frozen and 3 trained layers of BERT-Base: 427,299,840 FLOPs a token, 60.1 % of full training', (t) => {
  const size = { seq: 512, tokens: 1 };
  const { model } = stepFlops(preset('bert-base'), make().plan(250), size);
  t.equal(model, 427_299_840);
  t.equal((model / stepFlops(preset('bert-base'), { depth: 12 }, size).model).toFixed(3), '0.601');
  t.end();
});

t.test('wrong settings are refused', (t) => {
  t.throws(() => make({ stageLayers: [3, 12], boundaries: { fractions: [0.5] } }), {
    message: /mslt\.stageLayers: .* at most double .* 3 -> 12/,
  });
  t.throws(() => make({ joint: 1.5 }), { code: 'BAD_CONFIG', message: /mslt\.joint/ });
  t.end();
});

t.test('layers of a stage that was skipped are not frozen before they have trained', (t) => {
  const method = make({ totalSteps: 60, boundaries: { steps: [20, 20, 40] } });
  t.same(
    [19, 20, 39, 40].map((step) => method.plan(step).forwardOnly),
    [undefined, 3, 3, 9],
  );
  t.ok(method.plan(20).trainable!('layer.3.attention.query.weight'));
  t.notOk(method.plan(20).trainable!('layer.2.attention.query.weight'));
  const early = make({ boundaries: { steps: [0, 0, 40] } });
  t.equal(early.plan(0).forwardOnly, undefined, 'layers with random weights');
  t.equal(early.plan(40).forwardOnly, 9);
  t.end();
});

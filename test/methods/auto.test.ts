import t from 'tap';
import { nearestEvidence } from '../../lib/methods/auto-evidence.js';
import { auto, createMethod, stackbert } from '../../lib/methods/index.js';
import { createModel, parameterCount, withDefaults } from '../../lib/models/index.js';

type Kind = 'gpt' | 'bert' | 'llama';

const modelOf = (kind: Kind, layers: number) =>
  withDefaults({ kind, layers, hidden: 64, heads: 4, vocabSize: 64, maxPositions: 16 });
const make = (kind: Kind, layers: number, options: object = {}) =>
  auto({ layers, totalSteps: 400, seed: 1, ...options }, { model: modelOf(kind, layers) });
const growths = (method: ReturnType<typeof auto>) =>
  Array.from({ length: 400 }, (_, step) => step).filter((step) => method.growth(step));

t.test('the same stages for every kind; GPT and Llama calibrate new layers, BERT puts them behind gates', (t) => {
  const gpt = make('gpt', 12);
  t.match(gpt, {
    name: 'auto',
    layers: 12,
    settings: { stageLayers: [1, 3, 6, 12], calibrate: true, gate: undefined },
  });
  t.same(growths(gpt), [40, 100, 200]);
  t.same(make('llama', 12).settings, gpt.settings, 'Llama is pre-norm as well');
  const bert = make('bert', 12);
  t.match(bert.settings, { stageLayers: [1, 3, 6, 12], calibrate: false, gate: { share: 0.05 } });
  t.same(growths(bert), growths(gpt));
  for (const [method, model] of [
    [gpt, modelOf('gpt', 12)],
    [bert, modelOf('bert', 12)],
  ] as const) {
    const same = stackbert(method.settings as never, { model });
    for (let step = 0; step < 400; step++) {
      t.same(JSON.stringify(method.plan(step)), JSON.stringify(same.plan(step)));
      t.same(method.growth(step), same.growth(step));
    }
  }
  t.end();
});

t.test('stages of other depths: those that add no layer are left out', (t) => {
  const stageLayers = (layers: number) => make('gpt', layers).settings['stageLayers'];
  t.same([24, 8, 5, 4, 3, 2].map(stageLayers), [
    [2, 6, 12, 24],
    [1, 2, 4, 8],
    [1, 2, 5],
    [1, 2, 4],
    [1, 3],
    [1, 2],
  ]);
  t.same(growths(make('gpt', 4)), [100, 200]);
  t.same(growths(make('bert', 2)), [200], 'to all layers at the last boundary');
  const single = make('gpt', 1);
  t.same([single.settings['stageLayers'], growths(single)], [[1], []]);
  t.same(single.plan(0), { trainedLayers: 1, depth: 1, layerMap: [0] });
  t.end();
});

t.test('in a run of 20 tokens per parameter or more a pre-norm model grows earlier', (t) => {
  for (const kind of ['gpt', 'llama', 'bert'] as const) {
    const model = modelOf(kind, 12);
    const parameters = parameterCount(createModel(model).parameters(12));
    const at = (tokensPerParameter: number) =>
      growths(
        auto(
          { layers: 12, totalSteps: 400, seed: 1 },
          { model, tokensPerStep: (tokensPerParameter * parameters) / 400 },
        ),
      );
    t.same(at(19.9), [40, 100, 200], kind);
    t.same(at(20.1), kind === 'bert' ? [40, 100, 200] : [20, 40, 100], kind);
  }
  t.end();
});

t.test('a setting that is given counts', (t) => {
  t.same(growths(make('bert', 12, { boundaries: { fractions: [0.1, 0.2, 0.3] } })), [40, 80, 120]);
  const own = make('gpt', 12, {
    stageLayers: [6, 12],
    boundaries: { fractions: [0.5] },
    moments: 'reset',
    rewarmSteps: 5,
  });
  t.match(own.settings, { stageLayers: [6, 12], moments: 'reset', rewarmSteps: 5 });
  t.same(growths(own), [200]);
  t.equal(make('gpt', 12, { gate: { share: 0.1 } }).settings['calibrate'], false, 'a gate takes its place');
  t.equal(make('gpt', 12, { calibrate: false }).settings['calibrate'], false);
  t.throws(() => make('gpt', 12, { stageLayers: [6, 12] }), {
    code: 'BAD_CONFIG',
    message: /also give auto\.boundaries/,
  });
  t.throws(() => make('gpt', 12, { unit: 3 }), { code: 'BAD_CONFIG', message: /auto: there is no setting "unit"/ });
  t.throws(() => make('bert', 12, { calibrate: true }), { code: 'BAD_CONFIG', message: /auto\.calibrate: / });
  t.throws(() => createMethod('auto', { layers: 2, totalSteps: 9, seed: 1 }), {
    code: 'BAD_CONFIG',
    message: /needs its configuration/,
  });
  t.end();
});

t.test('the nearest measurement is of the same kind and optimizer', (t) => {
  t.match(nearestEvidence('gpt', 'adamw', 20), { kind: 'gpt', optimizer: 'adamw' });
  t.match(nearestEvidence('bert', 'adamw', 1e-3), { kind: 'bert' });
  // By ratio: 100 is 2.2 times 44.6, and 178.3 is 1.8 times 100.
  for (const [ratio, nearest] of [
    [12, 11.1],
    [30, 44.6],
    [80, 44.6],
    [100, 178.3],
    [1000, 178.3],
  ] as const) {
    t.equal(nearestEvidence('gpt', 'adamw', ratio)?.tokensPerParameter, nearest, `${ratio}`);
  }
  t.match(nearestEvidence('llama', 'adamw', 10), { kind: 'llama', seeds: 3 });
  t.equal(nearestEvidence('own', 'adamw', 10), undefined, 'of other families there is none');
  t.equal(nearestEvidence('llama', 'muon', 10), undefined, 'nor of this optimizer');
  t.end();
});

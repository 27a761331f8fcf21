import t from 'tap';
import { compose, interpolate } from '../../lib/growth/index.js';
import { type ApolloOptions, apollo } from '../../lib/methods/apollo.js';
import { layerGrowth } from './support.js';

const base = { layers: 12, totalSteps: 1000, seed: 42 };
const make = (options: Partial<ApolloOptions> = {}) => apollo({ ...base, ...options });

t.test('stages come at 5, 10 and 25 percent unless told otherwise', (t) => {
  const method = make();
  t.same(
    [0, 49, 50, 99, 100, 249, 250, 999].map((step) => method.stageAt(step).trainedLayers),
    [1, 1, 3, 3, 6, 6, 12, 12],
  );
  const same = [
    make({ boundaries: { steps: [50, 100, 250] } }),
    make({ boundaries: { epochs: [2, 4, 10], stepsPerEpoch: 25 } }),
    make({ boundaries: { tokens: [50_000, 100_000, 250_000], tokensPerStep: 1000 } }),
  ];
  for (const other of same) {
    for (let step = 0; step < 1000; step++)
      t.equal(other.stageAt(step).trainedLayers, method.stageAt(step).trainedLayers);
  }
  t.same(make({ layers: 24 }).settings['stageLayers'], [1, 3, 6, 12, 24]);
  t.same(apollo({ layers: 4, totalSteps: 100, seed: 1 }).settings['boundaries'], { fractions: [0.1, 0.25] });
  t.end();
});

t.test('a plan is a function of the step: any order of asking gives the same run', (t) => {
  for (const stream of ['philox', 'release'] as const) {
    const forwards = make({ stream });
    const backwards = make({ stream });
    const plans = Array.from({ length: 300 }, (_, step) => forwards.plan(step));
    for (let step = 299; step >= 0; step--) t.same(backwards.plan(step), plans[step]);
    for (const plan of plans) {
      if (plan.layerMap.length !== plan.depth) t.fail('the map is as long as the depth');
      if (plan.layerMap.join() !== interpolate(plan.trainedLayers, plan.depth).join())
        t.fail('the map is the interpolation');
    }
    t.ok(new Set(plans.slice(100, 250).map((plan) => plan.depth)).size > 3, 'depths vary within a stage');
    t.same(plans[299], { trainedLayers: 12, depth: 12, layerMap: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11] });
  }
  const depths = (seed: number) => Array.from({ length: 100 }, (_, step) => make({ seed }).plan(step).depth).join();
  t.not(depths(1), depths(2));
  t.end();
});

t.test('with the stream of the release, the depths are those of its logs', (t) => {
  const method = make({ stream: 'release', boundaries: { steps: [4, 8, 20] }, totalSteps: 40 });
  const logged = [1, 8, 1, 2, 3, 3, 3, 8, 6, 12, 8, 6, 12, 9, 6, 6, 8, 6, 6, 12];
  t.same(
    logged.map((_, step) => method.plan(step).depth),
    logged,
  );
  t.end();
});

t.test('the learning rate may rise again after each switch', (t) => {
  const method = make({ rewarmSteps: 4 });
  const factors = (steps: number[]) =>
    steps.map((step) => (method.plan(step).learningRate as { factor: number })?.factor);
  t.same(factors([0, 49, 50, 51, 52, 53, 54, 100, 250]), [
    undefined,
    undefined,
    1 / 4,
    2 / 4,
    3 / 4,
    undefined,
    undefined,
    1 / 4,
    1 / 4,
  ]);
  t.equal(make().plan(50).learningRate, undefined);
  t.end();
});

t.test('samplers and expansions are taken by name', (t) => {
  t.equal(make({ sampler: 'full' }).plan(0).depth, 12);
  t.equal(make({ sampler: 'none' }).plan(60).depth, 3);
  t.same(make({ sampler: 'full', expansion: 'stack' }).plan(60).layerMap, [0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2]);
  t.same(make({ expansion: 'stackModulo' }).evaluationMaps(60).full, [0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2]);
  const mean = (end: number) => {
    const method = make({ samplerShape: { end }, boundaries: { steps: [300, 300, 300] } });
    return Array.from({ length: 300 }, (_, step) => method.plan(step).depth).reduce((a, b) => a + b) / 300;
  };
  t.ok(mean(0.2) < mean(1));
  t.end();
});

t.test('evaluation runs at full depth through the map of the stage, and at the depth of the stage', (t) => {
  const method = make();
  t.same(method.evaluationMaps(60), { full: [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2], stage: [0, 1, 2] });
  t.same(method.evaluationMaps(999).full, method.evaluationMaps(999).stage);
  t.end();
});

t.test('growth happens exactly at the boundaries and leaves the full network as it was', (t) => {
  const method = make();
  const switches = Array.from({ length: 1000 }, (_, step) => step).filter((step) => method.growth(step));
  t.same(switches, [50, 100, 250]);
  for (const step of switches) {
    const plan = layerGrowth(method, step);
    t.same([plan.from, plan.to], [method.stageAt(step - 1).trainedLayers, method.stageAt(step).trainedLayers]);
    // Carry the copies out on layers that know their name: what is at each place must be what the map says.
    const layers = Array.from({ length: 12 }, (_, i) => i);
    for (const { from, to } of plan.copies) layers[to] = layers[from] as number;
    const before = method.evaluationMaps(step - 1).full;
    t.same(compose(layers, method.evaluationMaps(step).full), before);
  }
  t.end();
});

t.test('two boundaries on one step make one growth', (t) => {
  const method = make({ boundaries: { steps: [10, 10, 20] } });
  t.match(method.growth(10), { from: 1, to: 6 });
  t.equal(method.growth(9), undefined);
  t.equal(make({ boundaries: { steps: [0, 10, 20] } }).growth(0), undefined, 'nothing to copy before the first step');
  t.end();
});

t.test('the four rules for the optimizer state, 3 -> 6 layers', (t) => {
  const rules = (moments: NonNullable<ApolloOptions['moments']>) => layerGrowth(make({ moments }), 100).copies;
  const copies = (rule: (from: number, to: number) => unknown, places: [number, number][]) =>
    places.map(([from, to]) => ({ from, to, moments: rule(from, to) }));
  // Map 0 0 1 1 2 2, from the top down; layer 0 stays where it is.
  const moved: [number, number][] = [
    [2, 5],
    [2, 4],
    [1, 3],
    [1, 2],
    [0, 1],
  ];
  t.same(
    rules('copy'),
    copies(() => 'copy', moved),
  );
  t.same(
    rules('release'),
    copies((_, to) => (to >= 3 ? 'zero' : 'keep'), moved),
  );
  t.same(
    rules('reset'),
    copies(() => 'zero', [...moved, [0, 0]]),
  );
  const scaled = rules('copyScaled');
  t.same(
    scaled.map(({ from, to }) => [from, to]),
    [...moved, [0, 0]],
  );
  for (const [step, ratio] of [
    [50, 0.797],
    [100, 0.844],
    [250, 0.841],
  ] as const) {
    for (const { moments } of layerGrowth(make({ moments: 'copyScaled' }), step).copies) {
      const { scale } = moments as { scale: number };
      t.ok(Math.abs(scale - ratio) < 5e-4, `scale at ${step}: ${scale}`);
    }
  }
  t.end();
});

t.test('settings that are wrong are named', (t) => {
  const fails = (options: Record<string, unknown>, message: RegExp, code = 'BAD_CONFIG') =>
    t.throws(() => apollo({ ...base, ...options } as ApolloOptions), { code, message });
  fails({ sampler: 'lpvs' }, /apollo\.sampler: .*lvps.*got "lpvs"/);
  fails({ expansion: 'extend' }, /apollo\.expansion: .*got "extend"/);
  fails({ moments: 3 }, /apollo\.moments/);
  fails({ layers: 0 }, /apollo\.layers: .*got 0/);
  fails({ seed: 2 ** 60 }, /apollo\.seed/);
  fails({ samplerShape: { end: 2 } }, /apollo\.samplerShape\.end: .*got 2/);
  fails({ sampler: 'none', samplerShape: { end: 0.5 } }, /apollo\.samplerShape: the sampler "none" has no constants/);
  fails({ rewarmPeak: 1.3 }, /apollo\.rewarmPeak: it has no effect without rewarmSteps/);
  fails({ rewarmPeak: 1.3, rewarmSteps: 5, rewind: true }, /apollo\.rewarmPeak: it has no effect with rewind/);
  fails({ steps: [1] }, /there is no setting "steps"\. Known: layers, totalSteps, seed, stageLayers, boundaries/);
  fails({ stageLayers: [1, 3, 6] }, /apollo\.stageLayers: the last stage must train all 12 layers; got \[1, 3, 6\]/);
  fails({ stageLayers: [3, 1, 12], boundaries: { steps: [1, 2] } }, /each larger/, 'BAD_ARGUMENT');
  fails({ boundaries: { steps: [1, 2] } }, /need 3 boundaries; got 2/, 'BAD_ARGUMENT');
  fails({ boundaries: { epochs: [1, 2, 3] } }, /apollo\.boundaries: expected one of/);
  fails({ boundaries: { steps: [1], fractions: [0.1] } }, /apollo\.boundaries: expected one of/);
  fails({ boundaries: { fractions: [0.1, 0.2, 1.3] } }, /apollo\.boundaries\.fractions\[2\]: .*got 1\.3/);
  t.end();
});

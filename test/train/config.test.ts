import t from 'tap';
import { scratch } from '../../lib/methods/scratch.js';
import { withDefaults } from '../../lib/models/index.js';
import { differences, identityOf, lastStep, resolveConfig, type TrainOptions } from '../../lib/train/config.js';

const base: TrainOptions = { steps: 1000, batch: 4, seq: 32 };
const model = withDefaults({ kind: 'gpt', layers: 2, hidden: 32, vocabSize: 16, maxPositions: 32 });
const identity = (options: Partial<TrainOptions> = {}, corpus = 'a') =>
  identityOf(resolveConfig({ ...base, ...options }), model, scratch({ layers: 2, totalSteps: 1000, seed: 1 }), corpus);

t.test("defaults are the paper's recipe", (t) => {
  t.match(resolveConfig(base), {
    seed: 42,
    accumulation: 1,
    learningRate: 1e-4,
    warmupSteps: 25,
    beta1: 0.9,
    beta2: 0.999,
    epsilon: 1e-8,
    weightDecay: 0.01,
    maxNorm: 1,
  });
  t.equal(resolveConfig({ ...base, warmupSteps: 0 }).warmupSteps, 0);
  t.end();
});

t.test('settings that are wrong are named with what came', (t) => {
  const fails = (options: Record<string, unknown>, message: RegExp) =>
    t.throws(() => resolveConfig({ ...base, ...options } as TrainOptions), { code: 'BAD_CONFIG', message });
  fails({ batch: 0 }, /train\.batch: .*got 0/);
  fails({ steps: 1.5 }, /train\.steps: .*got 1\.5/);
  fails({ precision: 'fp16' }, /train\.precision: .*bf16.*got "fp16"/);
  fails({ learningRate: -1 }, /train\.learningRate: .*got -1/);
  fails({ warmupSteps: 1001 }, /train\.warmupSteps: at most train\.steps \(1000\); got 1001/);
  fails({ keepAt: [1000, 1001] }, /train\.keepAt: expected steps from 1 to train\.steps \(1000\); got 1001/);
  const phases =
    /train\.decay: the warm-up of 600 steps and the decay phase of 500 do not fit into the 1000 steps of the run/;
  fails({ schedule: 'wsd', warmupSteps: 600, decay: { share: 0.5 } }, phases);
  t.equal(resolveConfig({ ...base, schedule: 'wsd', warmupSteps: 600, decay: { share: 0.4 } }).warmupSteps, 600);
  t.equal(resolveConfig({ ...base, steps: 1, schedule: 'wsd' }).warmupSteps, 1, 'rounded up, in a very short run');
  fails({ lr: 1 }, /^train: setting 'lr' is now 'learningRate'\.$/);
  fails({ stopAfter: { step: 3 } }, /train\.stopAfter: there is no setting "step"/);
  fails({ beta2: 1, maxNorm: -1 }, /train\.beta2: .*\ntrain\.maxNorm: /);
  t.end();
});

t.test('a run ends by its steps, a budget of steps or one of tokens, the first of them', (t) => {
  const end = (stopAfter: NonNullable<TrainOptions['stopAfter']>) =>
    lastStep(resolveConfig({ ...base, accumulation: 2, stopAfter }));
  t.equal(end({}), 1000);
  t.equal(end({ steps: 10 }), 10);
  t.equal(end({ steps: 5000 }), 1000);
  t.equal(end({ tokens: 2560 }), 10, '4 x 32 x 2 tokens a step');
  t.equal(end({ tokens: 2561 }), 11);
  t.equal(end({ tokens: 2561, steps: 3 }), 3);
  t.end();
});

t.test('only what changes the bits belongs to the identity of a run', (t) => {
  t.same(
    differences(
      identity(),
      identity({ evaluateEvery: 7, checkpointEvery: 3, keepCheckpoints: 2, stopAfter: { steps: 5 } }),
    ),
    [],
  );
  t.same(differences(identity({ learningRate: 3e-4 }), identity({ learningRate: 1e-3, seed: 1 })), [
    'seed: 1, was 42',
    'learningRate: 0.001, was 0.0003',
  ]);
  t.same(differences(identity({}, 'a'), identity({}, 'b')), ['corpus: "b", was "a"']);
  t.same(differences({ method: { name: 'a' } }, { method: { name: 'b', stageLayers: [1, 2] } }), [
    'method.name: "b", was "a"',
    'method.stageLayers: [1,2], was absent',
  ]);
  t.same(JSON.parse(JSON.stringify(identity())), identity(), 'an identity survives JSON');
  t.end();
});

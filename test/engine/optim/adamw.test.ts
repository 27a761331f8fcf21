import t, { type Test } from 'tap';
import { accumulateGradients } from '../../../lib/engine/autodiff.js';
import { Device } from '../../../lib/engine/device.js';
import { Graph } from '../../../lib/engine/graph.js';
import { add, sum } from '../../../lib/engine/ops/index.js';
import { AdamW, type StepOptions } from '../../../lib/engine/optim/index.js';
import { ParameterStore } from '../../../lib/engine/parameters.js';
import { relativeError } from '../../cases/compare.js';
import { uniforms } from '../../cases/trace.js';
import { testDevice } from '../../device.js';
import { adamwMoments } from '../../moments.js';
import { referenceDevice } from '../../reference/device.js';

const shapes: Record<string, number[]> = { matrix: [13, 7], vector: [17], one: [1] };
const names = Object.keys(shapes);

/** A store of three parameters, and a program that adds inputs `g.<name>` to their gradients. */
async function setup(t: Test, device: Device, precision: 'f32' | 'bf16' = 'f32', closes = true) {
  if (closes) t.teardown(() => device.close());
  const store = new ParameterStore(device, { precision });
  const g = new Graph();
  const parts = names.map((name, i) => {
    store.declare({ name, shape: shapes[name]!, workingCopy: name === 'matrix', decay: name === 'matrix' });
    return { name, size: shapes[name]!.reduce((a, b) => a * b), seed: i + 1 };
  });
  accumulateGradients(
    parts
      .map(({ name }) => sum(g.parameter(name, shapes[name]!).mul(g.input(`g.${name}`, shapes[name]!))))
      .reduce(add)
      .reshape([]),
  );
  for (const { name, size, seed } of parts)
    await store.write(
      name,
      Float32Array.from(uniforms(size, seed), (u) => u - 0.5),
    );
  const program = await device.compile(g, { store });
  const feed = (scale: number) =>
    program.run(
      Object.fromEntries(
        parts.map(({ name, size, seed }) => [
          `g.${name}`,
          Float32Array.from(uniforms(size, seed + 10), (u) => (u - 0.5) * scale),
        ]),
      ),
    );
  return { store, feed };
}

t.test('ten updates agree with float64', async (t) => {
  const options = { beta1: 0.9, beta2: 0.99, epsilon: 1e-6, weightDecay: 0.1, maxNorm: 1 };
  const ran = await Promise.all(
    [await testDevice({ threads: 2 }), new Device(referenceDevice())].map(async (device) => {
      const { store, feed } = await setup(t, device);
      const adamw = new AdamW(store, options);
      const norms: number[] = [];
      for (let step = 0; step < 10; step++) {
        await feed(step % 3); // some steps clip, some do not, some have no gradient at all
        norms.push((await adamw.step(names, { learningRate: 0.01 / (step + 1), gradScale: 0.5 })).gradNorm);
      }
      const values = await Promise.all(names.map((name) => store.read(name)));
      const moments = await Promise.all(names.map(async (name) => adamwMoments(await store.moments(name))));
      return { norms, values, moments, gradient: await store.gradient('matrix') };
    }),
  );
  const [native, reference] = ran as [(typeof ran)[0], (typeof ran)[0]];
  t.ok(relativeError(native.norms, reference.norms) < 1e-6);
  t.ok(Math.max(...native.norms) > 1, 'clipping took part');
  names.forEach((name, i) => {
    t.ok(relativeError(native.values[i]!, reference.values[i]!) < 1e-5, `${name}: value`);
    t.ok(relativeError(native.moments[i]!.m, reference.moments[i]!.m) < 1e-5, `${name}: m`);
    t.ok(relativeError(native.moments[i]!.v, reference.moments[i]!.v) < 1e-5, `${name}: v`);
    t.equal(native.moments[i]!.count, 10);
  });
  t.ok(
    native.gradient.every((g) => g === 0),
    'gradients are zeroed by the step',
  );
});

t.test('one update by hand: decay first, bias-corrected moments, only decayed tensors shrink', async (t) => {
  const device = await testDevice({ threads: 1 });
  const { store, feed } = await setup(t, device);
  const before = await Promise.all(names.map((name) => store.read(name)));
  await feed(2);
  const gradient = await store.gradient('matrix');
  await new AdamW(store, { weightDecay: 0.5, maxNorm: 0, epsilon: 1e-12 }).step(names, { learningRate: 0.1 });
  // At the first step m / (1 - beta1) = g and v / (1 - beta2) = g^2: the update is lr times the sign of g.
  const matrix = await store.read('matrix');
  const wanted = before[0]!.map((value, i) => value * (1 - 0.1 * 0.5) - 0.1 * Math.sign(gradient[i]!));
  t.ok(relativeError(matrix, wanted) < 1e-5);
  const vector = await store.read('vector');
  t.ok(
    vector.every((value, i) => Math.abs(Math.abs(value - before[1]![i]!) - 0.1) < 1e-5),
    'no decay',
  );
});

t.test('the working copy is the rounded value after a step', async (t) => {
  const device = await testDevice({ threads: 1 });
  const { store, feed } = await setup(t, device, 'bf16');
  await feed(2);
  await new AdamW(store).step(names, { learningRate: 0.1 });
  const g = new Graph();
  g.output('copy', g.parameter('matrix', shapes.matrix!, 'bf16'));
  g.output('value', g.parameter('matrix value', [1]));
  store.declare({ name: 'matrix value', shape: [1], workingCopy: false, decay: false });
  const { outputs } = await (await device.compile(g, { store })).run();
  const value = await store.read('matrix');
  const worst = Math.max(...value.map((v, i) => Math.abs(outputs.copy![i]! - v) / Math.abs(v)));
  t.ok(worst <= 2 ** -8 && worst > 0, `rounded to 8 bits: ${worst}`);
});

t.test('a step with an infinite gradient is skipped and leaves no trace', async (t) => {
  const device = await testDevice({ threads: 1 });
  const { store, feed } = await setup(t, device);
  const adamw = new AdamW(store);
  await feed(1);
  t.match(await adamw.step(names, { learningRate: 0.1 }), { applied: true });
  const before = await Promise.all([store.read('matrix'), store.moments('matrix')]);
  await feed(Infinity);
  const result = await adamw.step(names, { learningRate: 0.1 });
  t.equal(result.applied, false);
  t.notOk(Number.isFinite(result.gradNorm));
  t.strictSame(await Promise.all([store.read('matrix'), store.moments('matrix')]), before);
  t.ok(
    (await store.gradient('matrix')).every((g) => g === 0),
    'the gradients are gone',
  );
});

t.test('each parameter counts its own steps; steps asked for at once run in turn', async (t) => {
  const device = await testDevice({ threads: 1 });
  const { store, feed } = await setup(t, device);
  const adamw = new AdamW(store);
  await feed(1);
  await Promise.all([
    adamw.step(names, { learningRate: 0.1 }),
    adamw.step(['vector'], { learningRate: 0.1 }),
    adamw.step(names, { learningRate: 0.1 }),
  ]);
  t.strictSame(
    names.map((name) => store.count(name)),
    [2, 3, 2],
  );
});

t.test('arguments are checked', async (t) => {
  const device = await testDevice({ threads: 1 });
  const { store } = await setup(t, device);
  const adamw = new AdamW(store);
  const bad = { code: 'BAD_ARGUMENT' };
  await t.rejects(adamw.step([], { learningRate: 1 }), bad);
  await t.rejects(adamw.step(['one', 'one'], { learningRate: 1 }), bad);
  await t.rejects(adamw.step(['nobody'], { learningRate: 1 }), { ...bad, message: /'nobody'/ });
  await t.rejects(adamw.step(names, { learningRate: NaN }), { ...bad, message: /learningRate .* NaN/ });
  await t.rejects(adamw.step(names, { learningRate: 1, gradScale: 0 }), bad);
  t.throws(() => new AdamW(store, { beta1: 1 }), bad);
  t.throws(() => new AdamW(store, { maxNorm: -1 }), bad);
  store.dispose();
  await t.rejects(adamw.step(names, { learningRate: 1 }), { code: 'CLOSED' });
});

t.test('rate factors scale the rate of one tensor, and 1 changes no bit', async (t) => {
  const device = await testDevice({ threads: 1 });
  const run = async (options: (learningRate: number) => Partial<StepOptions>) => {
    const { store, feed } = await setup(t, device, 'f32', false);
    const adamw = new AdamW(store, { weightDecay: 0.5 });
    for (const learningRate of [0.1, 0.05]) {
      await feed(1);
      await adamw.step(names, { learningRate, ...options(learningRate) });
    }
    return Promise.all(names.map(async (name) => ({ value: await store.read(name), ...(await store.moments(name)) })));
  };
  t.teardown(() => device.close());
  const plain = await run(() => ({}));
  t.strictSame(await run(() => ({ rateFactor: () => 1, active: () => true })), plain);
  const quarter = await run((learningRate) => ({ learningRate: 4 * learningRate, rateFactor: () => 0.25 }));
  t.strictSame(quarter, plain, 'four times the rate at a quarter');
  const [matrix, vector] = await run(() => ({ rateFactor: (name) => (name === 'matrix' ? 0 : 1) }));
  const { store } = await setup(t, device, 'f32', false);
  t.strictSame(matrix!.value, await store.read('matrix'), 'a factor of 0: no decay and no move');
  t.strictSame(matrix!.slots, plain[0]!.slots, 'but its moments follow the gradient');
  t.strictSame(vector, plain[1]);
});

t.test('an inactive tensor is left bit by bit, and out of the norm', async (t) => {
  const device = await testDevice({ threads: 1 });
  const { store, feed } = await setup(t, device, 'bf16');
  const adamw = new AdamW(store);
  await feed(1);
  await adamw.step(names, { learningRate: 0.1 });
  const contents = (name: string) => Promise.all([store.read(name), store.moments(name)]);
  const before = await contents('matrix');
  const vector = await store.read('vector');
  await feed(Infinity);
  t.match(await adamw.step(['matrix'], { learningRate: 0.1, active: () => false }), { gradNorm: 0, applied: true });
  await store.zeroGradients();
  await feed(1);
  const gradients = await Promise.all(['vector', 'one'].map((name) => store.gradient(name)));
  const { gradNorm } = await adamw.step(names, { learningRate: 0.1, active: (name) => name !== 'matrix' });
  t.ok(relativeError([gradNorm], [Math.hypot(...gradients.flatMap((g) => [...g]))]) < 1e-6);
  t.strictSame(await contents('matrix'), before, 'value, moments and count');
  t.ok(
    (await store.gradient('matrix')).every((g) => g === 0),
    'its gradient is gone',
  );
  t.ok(
    (await store.read('vector')).some((x, i) => x !== vector[i]),
    'the others are updated',
  );
  await t.rejects(adamw.step(names, { learningRate: 0.1, rateFactor: () => -1 }), {
    code: 'BAD_ARGUMENT',
    message: /-1/,
  });
});

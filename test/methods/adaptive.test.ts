import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { RunRecorder } from '../../lib/compare/recorder.js';
import { curveBoundaries } from '../../lib/growth/curve.js';
import { makeSampler, relativeCost } from '../../lib/growth/index.js';
import { AdaptiveMethod, apollo, createMethod } from '../../lib/methods/index.js';
import { headFlops, layerFlops } from '../../lib/models/index.js';
import { readCheckpointState } from '../../lib/train/index.js';
import { testDevice } from '../device.js';
import { runTiny, tinyModel } from '../train/tiny.js';

const steps = 80;
const options = { layers: 4, totalSteps: steps, seed: 5, boundaries: { steps: [30, 70] } };
/** Windows of 4 steps; stages end early here, so that a short run shows both kinds of end. */
const curved = createMethod(
  'apollo',
  { ...options, curve: { window: 0.05, margin: 1.4 } },
  { model: tinyModel.config },
);

const device = await testDevice({ threads: 1 });
t.teardown(() => device.close());

t.test('a method that does not adapt stays what it is', (t) => {
  const method = apollo(options);
  const adaptive = new AdaptiveMethod(method);
  for (let step = 0; step < 50; step++) adaptive.add(5 - step / 10);
  t.equal(adaptive.current, method);
  t.equal(adaptive.seen, undefined);
  t.end();
});

t.test('windows close after their steps, and losses that are not finite are left out of their means', (t) => {
  const adaptive = new AdaptiveMethod(curved);
  for (const loss of [9, Number.NaN, 7, 8]) adaptive.add(loss);
  t.same(adaptive.seen, { means: [8], steps: 0, sum: 0, count: 0 });
  for (const loss of [Number.NaN, Number.POSITIVE_INFINITY, Number.NaN, Number.NaN, 3]) adaptive.add(loss);
  t.same(adaptive.seen, { means: [8, null], steps: 1, sum: 3, count: 1 });
  const again = new AdaptiveMethod(curved, JSON.parse(JSON.stringify(adaptive.seen)));
  t.same(again.seen, adaptive.seen);
  t.end();
});

t.test('before any loss the stages are the latest that may be', (t) => {
  t.equal(curved.stageAt(29).trainedLayers, 1);
  t.equal(curved.stageAt(30).trainedLayers, 2);
  t.equal(curved.stageAt(70).trainedLayers, 4);
  // Without boundaries of its own: twice the usual fractions.
  const usual = createMethod('apollo', { layers: 12, totalSteps: 100, seed: 1, curve: {} });
  t.same(usual.settings['boundaries'], { fractions: [0.1, 0.2, 0.5] });
  t.end();
});

t.test(
  'stages end where the losses of the run say, and a run that is cut anywhere resumes to the same bits',
  async (t) => {
    const root = t.testdir();
    const whole = join(root, 'whole');
    const recorder = new RunRecorder({
      method: curved,
      seed: 5,
      model: tinyModel.config,
      size: { seq: 16, tokens: 128 },
    });
    const deps = { method: curved, checkpointDir: whole, resume: 'auto' as const };
    const events = await runTiny(device, { steps }, deps, (event) => recorder.add(event));
    const losses = events.flatMap((event) => (event.type === 'step' ? [event.loss] : []));
    const growths = events.flatMap((event) => (event.type === 'growth' ? [event.step] : []));
    const sampler = makeSampler('lvps');
    const flops = { layer: layerFlops(tinyModel.config, 16), head: headFlops(tinyModel.config) };
    const means = Array.from({ length: steps / 4 }, (_, window) => {
      const own = losses.slice(4 * window, 4 * window + 4);
      return own.reduce((sum, loss) => sum + loss, 0) / 4;
    });
    const expected = curveBoundaries(means, {
      window: 4,
      costs: [1, 2, 4].map((trainedLayers) => relativeCost(sampler, trainedLayers, 4, flops)),
      latest: [30, 70],
      margin: 1.4,
    });
    t.same(growths, expected);
    t.ok((growths[0] as number) < 30, `the first stage ends at ${growths[0]}, before its latest`);
    t.same(
      recorder.record().stages.map(({ step, trainedLayers }) => [step, trainedLayers]),
      [[0, 1], ...growths.map((step, index) => [step, [2, 4][index]])],
    );

    const cut = join(root, 'cut');
    const resumed = new RunRecorder({
      method: curved,
      seed: 5,
      model: tinyModel.config,
      size: { seq: 16, tokens: 128 },
    });
    for (const stop of [3, 4, ...growths, ...growths.map((step) => step + 1), steps].sort((a, b) => a - b)) {
      await runTiny(device, { steps, stopAfter: { steps: stop } }, { ...deps, checkpointDir: cut }, (event) =>
        resumed.add(event),
      );
    }
    for (const file of ['model.safetensors', 'optimizer.safetensors']) {
      const [a, b] = [whole, cut].map((folder) => readFileSync(join(folder, 'step-00000080', file)));
      t.ok((a as Buffer).equals(b as Buffer), `${file} has the same bits`);
    }
    t.same((await readCheckpointState(join(cut, 'step-00000080'))).seen?.means, means);
  },
);

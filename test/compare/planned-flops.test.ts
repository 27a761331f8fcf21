import t from 'tap';
import { PlannedFlops } from '../../lib/compare/index.js';
import { createMethod } from '../../lib/methods/index.js';
import { createModel, preset } from '../../lib/models/index.js';
import { flopsOfStep } from '../../lib/train/index.js';

t.test('sums are those of all steps in their order, and no step is planned again and again', async (t) => {
  const steps = 2500;
  const method = createMethod('apollo', { layers: 12, totalSteps: steps, seed: 3 });
  const model = createModel(preset('gpt-base'));
  const size = { seq: 7, tokens: 21 };
  let asked = 0;
  const counted = { ...method, plan: (step: number) => method.plan(step + 0 * asked++) };
  const planned = new PlannedFlops(counted, model, size);
  const sums = [0];
  for (let step = 0; step < steps; step++) sums.push(sums[step]! + flopsOfStep(method, model.config, step, size).model);
  for (const upTo of [1500, steps, 0, 1, 1023, 1024, 1025, 2048, 2499, steps])
    t.equal(planned.upTo(upTo), sums[upTo], `${upTo}`);
  asked = 0;
  for (let times = 0; times < 3; times++) planned.upTo(steps);
  t.equal(asked, 3 * (steps - 2048), 'from the last sum that is kept');
});

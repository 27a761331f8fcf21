import t from 'tap';
import { createMethod, type MethodName, methodNames, type StepPlan } from '../../lib/methods/index.js';
import { createModel } from '../../lib/models/index.js';
import { methodContext, optionsOf } from './support.js';

const names = createModel(methodContext.model)
  .parameters(12)
  .map(({ name }) => name);
/** A plan as plain data: which of the model's parameters train in place of the function. */
const plain = ({ trainable, ...plan }: StepPlan) => ({
  ...plan,
  frozen: trainable && names.filter((n) => !trainable(n)),
});

t.test('methods are made by name', (t) => {
  for (const name of methodNames) {
    const method = createMethod(name, optionsOf(name), methodContext);
    t.equal(method.name, name);
    t.equal(method.layers, 12);
    t.same(
      method.evaluationMaps(199).full,
      [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11],
      'every method ends with the full model',
    );
    t.same(JSON.parse(JSON.stringify(method.settings)), method.settings, 'settings survive JSON');
    // The settings a method reports make the same method again, and a plan depends on nothing but the step.
    const again = createMethod(name, method.settings as never, methodContext);
    for (let step = 199; step >= 0; step--) t.same(plain(again.plan(step)), plain(method.plan(step)));
  }
  t.throws(() => createMethod('appolo' as 'apollo', { layers: 1, totalSteps: 1, seed: 0 }), {
    code: 'BAD_CONFIG',
    message: /no training method "appolo"; did you mean "apollo"\? Known: auto, scratch, apollo/,
  });
  // @ts-expect-error: the settings of a method of the package are typed
  t.throws(() => createMethod('apollo', { layers: 1, totalSteps: 1, seed: 0, sampler: 'lvsp' }), {
    code: 'BAD_CONFIG',
  });
  t.end();
});

t.test('stages, plans and growths fit together at every step', (t) => {
  for (const name of methodNames) {
    const method = createMethod(name as MethodName, optionsOf(name), methodContext);
    let before = method.stageAt(0);
    for (let step = 0; step < 200; step++) {
      const stage = method.stageAt(step);
      const plan = method.plan(step);
      if (plan.trainedLayers !== stage.trainedLayers) t.fail(`${name}: plan and stage of step ${step} differ`);
      if (plan.layerMap.length !== plan.depth) t.fail(`${name}: the map of step ${step} is not as long as the depth`);
      if (plan.layerMap.some((unit) => unit < 0 || unit >= plan.trainedLayers))
        t.fail(`${name}: a unit that is not there`);
      if (plan.branchScales && plan.branchScales.length !== plan.depth) t.fail(`${name}: branch scales`);
      const growth = method.growth(step);
      if ((growth !== undefined) !== (stage.index !== before.index)) t.fail(`${name}: growth at step ${step}`);
      if (growth && (growth.from !== before.trainedLayers || growth.to !== stage.trainedLayers))
        t.fail(`${name}: growth of ${step}`);
      before = stage;
    }
    t.pass(name);
  }
  t.end();
});

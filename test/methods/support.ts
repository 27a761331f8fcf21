/** Helpers of the tests of methods. */
import type { LayerGrowth, MethodName, MethodOptions, TrainingMethod } from '../../lib/methods/index.js';
import { withDefaults } from '../../lib/models/index.js';

/** A finished model that every method can be made for. */
export const methodContext = {
  model: withDefaults({ kind: 'gpt', layers: 12, hidden: 64, heads: 4, vocabSize: 64, maxPositions: 16 }),
};

/** Options with which a method called `name` can be made for `methodContext`. */
export function optionsOf<Name extends MethodName>(name: Name): MethodOptions[Name] {
  const common = { layers: 12, totalSteps: 200, seed: 3 };
  return { ...common, ...own[name] } as unknown as MethodOptions[Name];
}

/** The small model that methods begin with which grow one that was trained before. */
export const smallShape = { layers: 2, hidden: 16, heads: 1, ffn: 64 };

/** Options of a method in addition to the common ones. */
const own: Partial<Record<MethodName, object>> = {
  bert2bert: { small: smallShape, source: 'small', subModel: { layers: 2, fraction: 0.2 } },
  net2net: { small: smallShape, source: 'small' },
  ligo: { small: smallShape, source: 'small', operatorSteps: 20 },
  dpt: { mixingSteps: 20 },
};

/** The growth at the beginning of `step`, which must be one by copies of layers. */
export function layerGrowth(method: TrainingMethod, step: number): LayerGrowth {
  const plan = method.growth(step);
  if (plan?.kind !== 'layers') throw new Error(`step ${step} of ${method.name}: no growth by copies`);
  return plan;
}

/** Layers that know where their weights come from, after a growth. */
export function grownLayers({ from, to, copies }: LayerGrowth): (number | undefined)[] {
  const layers: (number | undefined)[] = Array.from({ length: to }, (_, layer) => (layer < from ? layer : undefined));
  for (const copy of copies) layers[copy.to] = layers[copy.from];
  return layers;
}

/** Carries a method's growth plan out on the parameter store. */
import type { ParameterStore } from '../engine/parameters.js';
import { ApolloError } from '../errors.js';
import type { LayerCopy, LayerGrowth, MomentRule } from '../methods/method.js';
import { declareParameters, initialValue, type LanguageModel, type ParameterSpec } from '../models/index.js';

/** Parameters of one layer, in the model's order, which is the same for every layer. */
function ofLayer(specs: readonly ParameterSpec[], layer: number): ParameterSpec[] {
  return specs.filter((spec) => spec.layer === layer);
}

async function copyLayer(store: ParameterStore, specs: readonly ParameterSpec[], copy: LayerCopy): Promise<void> {
  const sources = ofLayer(specs, copy.from);
  const targets = ofLayer(specs, copy.to);
  if (sources.length === 0 || sources.length !== targets.length) {
    throw new ApolloError(
      'BAD_ARGUMENT',
      `A growth plan copies layer ${copy.from} to ${copy.to}; they have ${sources.length} and ${targets.length} parameters.`,
    );
  }
  for (const [i, source] of sources.entries()) {
    if (copy.from === copy.to) await changeMoments(store, source.name, copy.moments);
    else await store.copy(source.name, (targets[i] as ParameterSpec).name, { moments: copy.moments });
  }
}

/** Applies a moment rule to a layer that keeps its weights. */
async function changeMoments(store: ParameterStore, name: string, rule: MomentRule): Promise<void> {
  if (rule === 'copy' || rule === 'keep') return;
  const { m, v, count } = await store.moments(name);
  const [ofM, ofV] = rule === 'zero' ? [0, 0] : [rule.m, rule.v];
  await store.writeMoments(name, {
    m: m.map((x) => x * ofM),
    v: v.map((x) => x * ofV),
    count: rule === 'zero' ? 0 : count,
  });
}

/**
 * Declares the new layers, copies weights and moments as planned, and gives layers that no copy fills their initial
 * values. Only the layers in use are ever held, so memory grows with the stages.
 */
export async function growStore(
  store: ParameterStore,
  model: LanguageModel,
  plan: LayerGrowth,
  seed: number,
): Promise<void> {
  const specs = declareParameters(store, model, plan.to);
  const filled = new Set(plan.copies.map((copy) => copy.to));
  for (const copy of plan.copies) await copyLayer(store, specs, copy);
  for (const spec of specs) {
    const isNew = spec.layer !== undefined && spec.layer >= plan.from;
    if (isNew && !filled.has(spec.layer as number)) await store.write(spec.name, initialValue(spec, seed));
  }
}

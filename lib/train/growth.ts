/** Carries a method's growth plan out on the parameter store. */
import type { Graph, Tensor } from '../engine/graph.js';
import { cast } from '../engine/ops/index.js';
import { type MomentSlot, slotFactor } from '../engine/optim/slots.js';
import type { ParameterStore } from '../engine/parameters.js';
import { ApolloError } from '../errors.js';
import type { GrowthPlan, LayerCopy, LayerGrowth, MomentRule, StateGrowth } from '../methods/method.js';
import { declarationOf, declareSpecs, drawnValue, type ParameterSpec } from '../models/index.js';
import { scaledValues } from '../pauses.js';
import { type CalibrationBatch, calibrate, streamMeter } from './calibrate.js';
import type { StageNetwork } from './stage.js';

/** Result and cost of a calibration. */
export interface Calibration {
  readonly factor: number;
  /** Forward passes of the batch through a layer. */
  readonly layerPasses: number;
  /** Executed FLOPs. */
  readonly flops: number;
}

export interface GrowthSite {
  readonly store: ParameterStore;
  readonly before: StageNetwork;
  readonly after: StageNetwork;
  /** Seed of layers that no copy fills. */
  readonly seed: number;
  /** Batch on which a calibration is measured. */
  readonly batch: () => Promise<CalibrationBatch>;
  /** The factor of a calibration that all ranks take, given that of this one. Default: this one's. */
  readonly agree?: (factor: number) => Promise<number>;
}

/** Makes what `after` holds out of what `before` holds. Only what a stage uses is ever held, so memory grows with them. */
export async function grow(plan: GrowthPlan, site: GrowthSite): Promise<Calibration | undefined> {
  switch (plan.kind) {
    case 'layers':
      if (plan.calibrate) return calibratedCopies(plan, site);
      await copyLayers(plan, site);
      return undefined;
    case 'state':
      await replaceByGrown(plan, site);
      return undefined;
    case 'materialise':
      await materialise(site);
      return undefined;
  }
}

/** Copies layers and keeps the size of the residual stream, measured on one batch. */
async function calibratedCopies(plan: LayerGrowth, site: GrowthSite): Promise<Calibration> {
  const { store, before, after } = site;
  const batch = await site.batch();
  const meter = await streamMeter(before, store, batch);
  let target: number;
  try {
    target = await meter.measure(1);
  } finally {
    meter.dispose();
  }
  await copyLayers(plan, site);
  const { agree = async (own) => own } = site;
  const { factor, passes, flops } = await calibrate(after, store, batch, { target, from: plan.from, agree });
  return { factor, layerPasses: plan.from + passes * plan.to, flops: flops + meter.flops };
}

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
  if (rule === 'zero') return store.zeroMoments(name);
  const { slots, count } = await store.moments(name);
  const changed: MomentSlot[] = [];
  for (const slot of slots) {
    changed.push({ ...slot, values: await scaledValues(slot.values, slotFactor(rule.scale, slot)) });
  }
  await store.writeMoments(name, { slots: changed, count });
}

/** Copies layers on the device; layers that no copy fills get their initial values. */
async function copyLayers(plan: LayerGrowth, { store, after, seed }: GrowthSite): Promise<void> {
  const { specs } = after;
  declareSpecs(store, specs);
  const filled = new Set(plan.copies.map((copy) => copy.to));
  for (const copy of plan.copies) await copyLayer(store, specs, copy);
  for (const { name, layer } of specs) {
    if (plan.shared === 'zero' && layer === undefined) await changeMoments(store, name, 'zero');
  }
  for (const spec of specs) {
    const isNew = spec.layer !== undefined && spec.layer >= plan.from;
    if (isNew && !filled.has(spec.layer as number)) await store.write(spec.name, await drawnValue(spec, seed));
  }
}

/** Every parameter becomes an expression of the one of its name. */
async function replaceByGrown(plan: StateGrowth, { store, before, after }: GrowthSite): Promise<void> {
  const shapes = new Map(before.specs.map(({ name, shape }) => [name, shape]));
  const expression = (name: string, grown: (before: Tensor) => Tensor) => (graph: Graph) =>
    grown(graph.parameter(name, shapes.get(name)!));
  await store.rebuild(
    after.specs.map((spec) => ({
      spec: declarationOf(spec),
      value: expression(spec.name, (value) => plan.value(spec, value)),
      moment: plan.moment && ((slot) => expression(spec.name, (moment) => plan.moment!(spec, slot, moment))),
      count: plan.moment ? store.count(spec.name) : 0,
    })),
  );
}

/** The expressions of a reparameterised stage become weights, computed from the f32 master weights; moments are zero. */
async function materialise({ store, before, after }: GrowthSite): Promise<void> {
  await store.rebuild(
    after.specs.map((spec) => ({
      spec: declarationOf(spec),
      value: (graph) => cast(before.weights(graph, 'f32')(spec.name, spec.shape, spec.role), 'f32'),
      count: 0,
    })),
  );
}

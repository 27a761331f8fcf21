/**
 * Initial values of parameters. A value is a pure function of (seed, parameter name, position in the tensor), so layer 5
 * starts alike whether it is made at the beginning of a run or at a later stage, on any machine.
 */
import { createHash } from 'node:crypto';
import type { ParameterDeclaration, ParameterStore } from '../engine/parameters.js';
import { check } from '../errors.js';
import { philox4x32, seedWords } from '../growth/philox.js';
import type { LanguageModel, ParameterSpec } from './model.js';

/** Last word of the Philox counter; lib/growth and dropout use others, so streams never meet. */
const initStream = 0xfffffffe;

/** Fills `values` with N(0, std): Box-Muller in f64 on Philox words, four values a counter; no value beyond 6.7 std. */
function fillNormal(values: Float32Array, std: number, name: string, seed: number): void {
  const digest = createHash('sha256').update(name).digest();
  const low = digest.readUInt32LE(0);
  const high = digest.readUInt32LE(4);
  const key = seedWords(seed);
  for (let i = 0; i < values.length; i += 4) {
    const words = philox4x32([i / 4, low, high, initStream], key);
    for (let pair = 0; pair < 4; pair += 2) {
      const radius = std * Math.sqrt(-2 * Math.log(((words[pair] as number) + 1) / 4294967296)); // of (0, 1]
      const angle = (2 * Math.PI * (words[pair + 1] as number)) / 4294967296;
      values[i + pair] = radius * Math.cos(angle); // beyond the end of the array: ignored
      values[i + pair + 1] = radius * Math.sin(angle);
    }
  }
}

/** The initial value of one parameter, row-major. @throws ApolloError BAD_ARGUMENT for a seed that is not a safe integer. */
export function initialValue(spec: ParameterSpec, seed: number): Float32Array {
  const values = new Float32Array(spec.shape.reduce((a, b) => a * b, 1));
  if (spec.init.kind === 'ones') values.fill(1);
  if (spec.init.kind === 'normal') fillNormal(values, spec.init.std, spec.name, seed);
  if (spec.zeroRow !== undefined) {
    const width = values.length / (spec.shape[0] as number);
    values.fill(0, spec.zeroRow * width, (spec.zeroRow + 1) * width);
  }
  return values;
}

/** Declares the shared parameters and those of layers 0 to units - 1 in the store; ones that are there stay as they are. */
export function declareParameters(store: ParameterStore, model: LanguageModel, units: number): ParameterSpec[] {
  check(
    Number.isInteger(units) && units >= 0 && units <= model.config.layers,
    `units must be a whole number from 0 to ${model.config.layers} (the model's layers); got ${units}.`,
  );
  const specs = model.parameters(units);
  declareSpecs(store, specs);
  return specs;
}

/** Declares `specs` in the store; ones that are there stay as they are. */
export function declareSpecs(store: ParameterStore, specs: readonly ParameterSpec[]): void {
  for (const spec of specs) if (!store.has(spec.name)) store.declare(declarationOf(spec));
}

/** What the engine needs to know of a parameter. */
export function declarationOf({ name, shape, role, decay, layer, columns }: ParameterSpec): ParameterDeclaration {
  const hidden = layer !== undefined && role === 'matrix' && shape.length === 2;
  const matrices = hidden ? (columns ?? [shape[1] as number]) : undefined;
  return { name, shape, workingCopy: role === 'matrix', decay, ...(matrices && { matrices }) };
}

/** Declares `specs` and writes their initial values. */
export async function initialiseSpecs(
  store: ParameterStore,
  specs: readonly ParameterSpec[],
  seed: number,
): Promise<void> {
  declareSpecs(store, specs);
  for (const spec of specs) await store.write(spec.name, initialValue(spec, seed));
}

/** Declares the parameters of a model and writes their initial values. */
export async function initialiseParameters(
  store: ParameterStore,
  model: LanguageModel,
  units: number,
  seed: number,
): Promise<void> {
  await initialiseSpecs(store, declareParameters(store, model, units), seed);
}

/**
 * Initial values of parameters. A value is a pure function of (seed, parameter name, position in the tensor), so layer 5
 * starts with the same values at the start of a run and at a later stage, on any machine.
 */

import { createHash } from 'node:crypto';
import type { ParameterDeclaration, ParameterStore } from '../engine/parameters.js';
import { size } from '../engine/shape.js';
import { check } from '../errors.js';
import { inPieces } from '../pauses.js';
import { philox4x32, seedWords } from '../random/philox.js';
import { families } from '../random/streams.js';
import type { LanguageModel, ParameterSpec } from './model.js';

/**
 * Fills values [from, to) with N(0, std): Box-Muller in f64 on Philox words, four values per counter; no value beyond 6.7
 * std. `from` is a multiple of 4.
 */
type Fill = (values: Float32Array, from: number, to: number) => void;

function normal(std: number, name: string, seed: number): Fill {
  const digest = createHash('sha256').update(name).digest();
  const low = digest.readUInt32LE(0);
  const high = digest.readUInt32LE(4);
  const key = seedWords(seed);
  return (values, from, to) => {
    for (let i = from; i < to; i += 4) {
      const words = philox4x32([i / 4, low, high, families.initial], key);
      for (let pair = 0; pair < 4; pair += 2) {
        const radius = std * Math.sqrt(-2 * Math.log(((words[pair] as number) + 1) / 4294967296)); // of (0, 1]
        const angle = (2 * Math.PI * (words[pair + 1] as number)) / 4294967296;
        values[i + pair] = radius * Math.cos(angle); // beyond the end of the array: ignored
        values[i + pair + 1] = radius * Math.sin(angle);
      }
    }
  };
}

function fillOf({ init, name }: ParameterSpec, seed: number): Fill {
  switch (init.kind) {
    case 'normal':
      return normal(init.std, name, seed);
    case 'ones':
      return (values, from, to) => values.fill(1, from, to);
    case 'zeros':
      return () => {};
  }
}

function emptyValue({ shape }: ParameterSpec): Float32Array {
  return new Float32Array(size(shape));
}

function clearZeroRow(values: Float32Array, { shape, zeroRow }: ParameterSpec): Float32Array {
  const width = values.length / (shape[0] as number);
  return zeroRow === undefined ? values : values.fill(0, zeroRow * width, (zeroRow + 1) * width);
}

/** The initial value of one parameter, row-major. @throws ApolloError BAD_ARGUMENT for a seed that is not a safe integer. */
export function initialValue(spec: ParameterSpec, seed: number): Float32Array {
  const values = emptyValue(spec);
  fillOf(spec, seed)(values, 0, values.length);
  return clearZeroRow(values, spec);
}

/** The same, with pauses in which the event loop runs: a large table takes a second. */
export async function drawnValue(spec: ParameterSpec, seed: number): Promise<Float32Array> {
  const values = emptyValue(spec);
  const fill = fillOf(spec, seed);
  await inPieces(values.length, (from, to) => fill(values, from, to));
  return clearZeroRow(values, spec);
}

/** Declares the shared parameters and those of layers 0 to trainedLayers - 1 in the store; ones that are there stay as they are. */
export function declareParameters(store: ParameterStore, model: LanguageModel, trainedLayers: number): ParameterSpec[] {
  check(
    Number.isInteger(trainedLayers) && trainedLayers >= 0 && trainedLayers <= model.config.layers,
    `trainedLayers must be a whole number from 0 to ${model.config.layers} (the model's layers); got ${trainedLayers}.`,
  );
  const specs = model.parameters(trainedLayers);
  declareSpecs(store, specs);
  return specs;
}

/** Declares `specs` in the store; ones that are there stay as they are. */
export function declareSpecs(store: ParameterStore, specs: readonly ParameterSpec[]): void {
  for (const spec of specs) if (!store.has(spec.name)) store.declare(declarationOf(spec));
}

/** The engine's declaration of a parameter. */
export function declarationOf({ name, shape, role, decay, layer, axes }: ParameterSpec): ParameterDeclaration {
  const hidden = layer !== undefined && role === 'matrix' && shape.length === 2;
  const matrices = hidden ? (axes?.columns.map(({ size }) => size) ?? [shape[1] as number]) : undefined;
  return { name, shape, workingCopy: role === 'matrix', decay, ...(matrices && { matrices }) };
}

/** Declares `specs` and writes their initial values. */
export async function initialiseSpecs(
  store: ParameterStore,
  specs: readonly ParameterSpec[],
  seed: number,
): Promise<void> {
  declareSpecs(store, specs);
  for (const spec of specs) await store.write(spec.name, await drawnValue(spec, seed));
}

/** Declares the parameters of a model and writes their initial values. */
export async function initialiseParameters(
  store: ParameterStore,
  model: LanguageModel,
  trainedLayers: number,
  seed: number,
): Promise<void> {
  await initialiseSpecs(store, declareParameters(store, model, trainedLayers), seed);
}

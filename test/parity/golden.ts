/** Loads golden files into models and stores, and measures how far results are from them. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Device, Graph, ParameterStore } from '../../lib/engine/index.js';
import { configFromHuggingFace, huggingFaceOf } from '../../lib/interop/hugging-face-config.js';
import { readForeign } from '../../lib/interop/hugging-face-names.js';
import { SafetensorsReader } from '../../lib/interop/safetensors.js';
import {
  type BatchShape,
  createModel,
  initialiseParameters,
  type LanguageModel,
  modelWeights,
  type Trace,
  type TraceOptions,
} from '../../lib/models/index.js';

const folder = join(import.meta.dirname, '../fixtures/golden');

export const goldenJson = async (path: string): Promise<Record<string, unknown>> =>
  JSON.parse(await readFile(join(folder, path), 'utf8'));

export const golden = (path: string): Promise<SafetensorsReader> => SafetensorsReader.open(join(folder, path));

export const goldenModel = async (name: string): Promise<LanguageModel> =>
  createModel(configFromHuggingFace(await goldenJson(`${name}/config.json`)));

/** All layers, each once. */
export const plainMap = (model: LanguageModel): number[] => Array.from({ length: model.config.layers }, (_, i) => i);

/**
 * A store with the model's parameters from the golden checkpoint; what a bare encoder lacks keeps its initial value.
 */
export async function goldenStore(
  device: Device,
  model: LanguageModel,
  name: string,
  { precision = 'f32', decayAll = false }: { precision?: 'f32' | 'bf16'; decayAll?: boolean } = {},
): Promise<ParameterStore> {
  const store = new ParameterStore(device, { precision });
  const specs = model.parameters(model.config.layers);
  for (const { name: parameter, shape, role, decay } of specs) {
    store.declare({ name: parameter, shape, workingCopy: role === 'matrix', decay: decay || decayAll });
  }
  await initialiseParameters(store, model, model.config.layers, 1);
  await using reader = await golden(`${name}/model.safetensors`);
  for (const spec of specs) {
    const values = await readForeign(reader, huggingFaceOf(model.config), spec);
    if (values) await store.write(spec.name, values);
  }
  return store;
}

/** Traces the model with the store's parameters in a new graph. */
export function traceModel(
  model: LanguageModel,
  store: ParameterStore,
  batch: BatchShape,
  options: Partial<TraceOptions> = {},
): { graph: Graph; trace: Trace } {
  const graph = new Graph();
  const weights = modelWeights(graph, model, store.precision);
  const trace = model.trace(graph, weights, batch, { layerMap: plainMap(model), training: true, ...options });
  graph.output('loss', trace.loss);
  return { graph, trace };
}

/** max |actual - expected| / max |expected|: the error in units of the tensor's own size; infinite when one is not finite. */
export function relativeError(actual: Float32Array | Int32Array, expected: Float32Array): number {
  if (actual.length !== expected.length) return Number.POSITIVE_INFINITY;
  let error = 0;
  let size = 0;
  for (let i = 0; i < expected.length; i++) {
    const difference = Math.abs((actual[i] as number) - (expected[i] as number));
    if (!Number.isFinite(difference)) return Number.POSITIVE_INFINITY;
    error = Math.max(error, difference);
    size = Math.max(size, Math.abs(expected[i] as number));
  }
  return error / size;
}

/** GPT's labels: the next token at each position, -100 at the last of each sequence. */
export function shiftedLabels(tokens: Int32Array, seq: number): Int32Array {
  return tokens.map((_, i) => ((i + 1) % seq === 0 ? -100 : (tokens[i + 1] as number)));
}

/**
 * Tensors that are in one safetensors file or, as Hugging Face splits large models, in several with an index
 * (`model.safetensors.index.json`). Readers of both look alike.
 */
import { basename, dirname, join } from 'node:path';
import { ApolloError } from '../errors.js';
import { readJsonObject } from '../fs/json-object.js';
import { SafetensorsReader, type TensorInfo } from './safetensors.js';

/** A reader of named tensors, from one or more files. Names are those of the files; errors name the file. */
export interface TensorReader {
  readonly source: string;
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  /** @throws ApolloError BAD_CHECKPOINT when there is no such tensor, or it has another shape than `shape`. */
  info(name: string, shape?: readonly number[]): TensorInfo;
  /** A tensor of floats of 8 to 64 bits as 32-bit floats, row-major. */
  readFloat32(name: string, shape?: readonly number[]): Promise<Float32Array>;
  close(): Promise<void>;
}

const bad = (source: string, message: string): ApolloError =>
  new ApolloError('BAD_CHECKPOINT', `${source}: ${message}`);

/** Which file each tensor is in: the index's `weight_map`, whose files must be next to it. */
async function readIndex(path: string): Promise<Map<string, string>> {
  const map = (await readJsonObject(path, 'BAD_CHECKPOINT'))['weight_map'];
  if (typeof map !== 'object' || map === null || Array.isArray(map)) {
    throw bad(path, 'has no "weight_map" that names the file of each tensor.');
  }
  const entries = Object.entries(map);
  if (entries.length === 0) throw bad(path, 'its "weight_map" names no tensor.');
  for (const [name, file] of entries) {
    if (typeof file !== 'string' || file === '' || basename(file) !== file || file === '..') {
      throw bad(path, `tensor "${name}": expected the name of a file beside the index; got ${JSON.stringify(file)}.`);
    }
  }
  return new Map(entries as [string, string][]);
}

/**
 * Opens all files of an index and checks that each tensor is where the index says.
 * @throws ApolloError BAD_CHECKPOINT naming the file that is missing, damaged or lacks a tensor.
 */
export async function openShards(indexPath: string): Promise<TensorReader> {
  const places = await readIndex(indexPath);
  const readers = new Map<string, SafetensorsReader>();
  const close = async (): Promise<void> => {
    for (const reader of readers.values()) await reader.close();
  };
  try {
    const tensors = new Map<string, TensorInfo>();
    for (const [name, file] of places) {
      const reader = readers.get(file) ?? (await SafetensorsReader.open(join(dirname(indexPath), file)));
      readers.set(file, reader);
      const info = reader.tensors.get(name);
      if (!info) throw bad(indexPath, `says that "${name}" is in ${file}, which does not have it.`);
      tensors.set(name, info);
    }
    const holder = (name: string): SafetensorsReader => {
      const file = places.get(name);
      if (file === undefined) throw bad(indexPath, `tensor "${name}" is missing.`);
      return readers.get(file) as SafetensorsReader;
    };
    return {
      source: indexPath,
      tensors,
      info: (name, shape) => holder(name).info(name, shape),
      readFloat32: async (name, shape) => holder(name).readFloat32(name, shape),
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

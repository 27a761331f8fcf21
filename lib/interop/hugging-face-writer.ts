/**
 * Writes a model as a folder that Hugging Face's `from_pretrained` loads: config.json, the weights as one safetensors
 * file or several with an index, and any small files that the caller adds. The folder is written atomically.
 */

import { join } from 'node:path';
import { ApolloError } from '../errors.js';
import { writeSynced } from '../fs/durable.js';
import { writeWholeFolder } from '../fs/whole-folder.js';
import type { ModelConfig } from '../models/config.js';
import { type Element, float16Overflow, widthOf } from './elements.js';
import { checkExportFolder, isExported } from './export-folder.js';
import { configToHuggingFace, huggingFaceOf } from './hugging-face-config.js';
import { configFile, indexFile, weightsFile } from './hugging-face-folder.js';
import { type NamedShape, writeForeign } from './hugging-face-names.js';
import { type TensorToWrite, writeSafetensors } from './safetensors.js';
import { elementsOf } from './safetensors-header.js';

export type ExportDtype = 'f32' | 'bf16' | 'f16';

const dtypes: Readonly<Record<ExportDtype, { readonly element: Element; readonly torch: string }>> = {
  f32: { element: 'F32', torch: 'float32' },
  bf16: { element: 'BF16', torch: 'bfloat16' },
  f16: { element: 'F16', torch: 'float16' },
};
export const exportDtypes = Object.keys(dtypes) as ExportDtype[];

/** A small text file next to the weights. */
export interface TextFile {
  readonly name: string;
  readonly content: string;
}

/** How a folder is written. */
export interface WriteOptions {
  /** Type of the written weights; narrower ones are rounded. Default: 'f32'. */
  readonly dtype?: ExportDtype;
  /** Bytes of weights in one file at most, except that a tensor is never cut; beyond that they are split and get an index. Default: one file. */
  readonly shardBytes?: number;
  /** Replaces an exported model that is there. Default: false. */
  readonly force?: boolean;
  /** Stops the export with ABORT_ERR; nothing is left behind then. */
  readonly signal?: AbortSignal | undefined;
  /** Share of the weights that is written, 0 to 1. */
  readonly onProgress?: ((done: number) => void) | undefined;
}

export interface FolderToWrite extends WriteOptions {
  readonly config: ModelConfig;
  readonly specs: readonly NamedShape[];
  /** The f32 value of a parameter; asked for when it is written, once for each. */
  readonly read: (name: string) => Promise<Float32Array>;
  /** Further fields of config.json, such as ids of special tokens. */
  readonly fields?: Readonly<Record<string, unknown>>;
  readonly files?: readonly TextFile[];
}

/** A file that was written. */
export interface WrittenFile {
  readonly name: string;
  readonly bytes: number;
}

const bytesOf = ({ shape, dtype }: TensorToWrite): number => elementsOf(shape) * widthOf(dtype);

/** Tensors by files, in order, as many in each as `limit` bytes hold and at least one. */
export function shardsOf(tensors: readonly TensorToWrite[], limit: number): TensorToWrite[][] {
  const shards: TensorToWrite[][] = [];
  let room = 0;
  for (const tensor of tensors) {
    const bytes = bytesOf(tensor);
    const last = shards.at(-1);
    if (last && bytes <= room) last.push(tensor);
    else {
      shards.push([tensor]);
      room = limit;
    }
    room -= bytes;
  }
  return shards;
}

/** Reads each parameter once, though its tensors (query, key, value) are written apart. */
function readOnce(read: FolderToWrite['read'], name: string, uses: number): () => Promise<Float32Array> {
  let held: Promise<Float32Array> | undefined;
  let left = uses;
  return () => {
    held ??= read(name);
    const value = held;
    left -= 1;
    if (left === 0) held = undefined;
    return value;
  };
}

/** @throws ApolloError BAD_ARGUMENT when a value is finite in f32 and would not be in f16. */
function checkFloat16(name: string, values: Float32Array): void {
  const beyond = values.find((value) => Number.isFinite(value) && Math.abs(value) >= float16Overflow);
  if (beyond === undefined) return;
  throw new ApolloError(
    'BAD_ARGUMENT',
    `"${name}" holds ${beyond}, which f16 cannot (its largest number is 65504). Export as bf16 or f32.`,
  );
}

/** All tensors of the folder, each checked and counted when it is written. */
function tensorsOf(model: FolderToWrite, onTensor: (bytes: number) => void): TensorToWrite[] {
  const { config, specs, dtype = 'f32', signal } = model;
  const { element } = dtypes[dtype];
  const family = huggingFaceOf(config);
  return specs.flatMap((spec) => {
    let value: () => Promise<Float32Array>;
    const parts = writeForeign(family, spec, () => value(), config.tied);
    value = readOnce(model.read, spec.name, parts.length);
    return parts.map((tensor): TensorToWrite => {
      const typed = { ...tensor, dtype: element };
      return {
        ...typed,
        async data() {
          signal?.throwIfAborted();
          const values = (await (tensor.data as () => Promise<Float32Array>)()) as Float32Array;
          if (dtype === 'f16') checkFloat16(tensor.name, values);
          onTensor(bytesOf(typed));
          return values;
        },
      };
    });
  });
}

const json = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`;

/**
 * Writes the folder `path` and returns its files. Tied tensors are written once; `from_pretrained` ties them again.
 * @throws ApolloError BAD_ARGUMENT when the folder may not be written (see checkExportFolder) or a value does not fit the
 * dtype; FILE_SYSTEM when the disk refuses; ABORT_ERR when stopped by the signal. Nothing is left behind then.
 */
export async function writeHuggingFaceFolder(path: string, model: FolderToWrite): Promise<WrittenFile[]> {
  const { config, dtype = 'f32', shardBytes = Number.POSITIVE_INFINITY, fields = {}, files = [] } = model;
  let done = 0;
  let total = 0;
  const tensors = tensorsOf(model, (bytes) => {
    done += bytes;
    model.onProgress?.(done / total);
  });
  total = tensors.reduce((sum, tensor) => sum + bytesOf(tensor), 0);
  const shards = shardsOf(tensors, shardBytes);
  const nameOf = (index: number) =>
    shards.length === 1
      ? weightsFile
      : `model-${String(index + 1).padStart(5, '0')}-of-${String(shards.length).padStart(5, '0')}.safetensors`;
  const small: TextFile[] = [
    {
      name: configFile,
      content: json({ ...configToHuggingFace(config), torch_dtype: dtypes[dtype].torch, ...fields }),
    },
    ...files,
  ];
  if (shards.length > 1) {
    const places = shards.flatMap((shard, index) => shard.map(({ name }) => [name, nameOf(index)] as const));
    const map = Object.fromEntries(places.sort(([a], [b]) => (a < b ? -1 : 1)));
    small.push({ name: indexFile, content: json({ metadata: { total_size: total }, weight_map: map }) });
  }
  const written: WrittenFile[] = [];
  await checkExportFolder(path, model.force);
  const fill = async (folder: string) => {
    for (const [index, shard] of shards.entries()) {
      const name = nameOf(index);
      const { bytes } = await writeSynced(join(folder, name), (file) =>
        writeSafetensors(file, shard, { format: 'pt' }),
      );
      written.push({ name, bytes });
    }
    for (const { name, content } of small) {
      const { bytes } = await writeSynced(join(folder, name), (file) => file.append(content));
      written.push({ name, bytes });
    }
    if (model.signal?.aborted) throw new ApolloError('ABORT_ERR', 'The export was stopped; nothing was written.');
  };
  await writeWholeFolder(path, 'The exported model', fill, (entry) => !isExported(entry)).catch((error: unknown) => {
    if (!model.signal?.aborted) throw error;
    throw new ApolloError('ABORT_ERR', 'The export was stopped; nothing was written.', { cause: error });
  });
  return written.sort((a, b) => (a.name < b.name ? -1 : 1));
}

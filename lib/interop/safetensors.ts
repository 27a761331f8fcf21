/**
 * Reads and writes safetensors files (8-byte little-endian header length, JSON header, tensor data). Reading trusts
 * nothing: every length, offset, shape and type is checked before a byte of data is touched. Tensors are read and
 * written one at a time, so that a checkpoint is never in memory twice.
 */
import { type FileHandle, open } from 'node:fs/promises';
import { ApolloError } from '../errors.js';
import type { FileWriter } from '../fs/durable.js';
import * as is from '../is.js';
import { isLfsPointer, lfsPointerMessage, pointerBytes } from '../lfs-pointer.js';
import {
  decodeFloat32,
  decodeInt32,
  type Element,
  elements,
  encode,
  floatDtypes,
  isElement,
  type TensorData,
  widthOf,
} from './elements.js';
import { bad, checkHeaderLength, elementsOf, parseHeader, type TensorInfo } from './safetensors-header.js';

export type { TensorInfo } from './safetensors-header.js';

/** A tensor to be written. `data` may be a function, called when its turn comes, so that only one is held at a time. */
export interface TensorToWrite {
  /** Name of the tensor, unique in the file and not `__metadata__`. */
  readonly name: string;
  /** Element type of the file: F32, BF16, F16, I32 or I64; `data` of another type is refused. */
  readonly dtype: Element;
  /** Extents, outermost first: whole numbers of 0 or more. */
  readonly shape: readonly number[];
  /** Row-major elements, as many as the shape has; BF16 and F16 take their bits (Uint16Array) or floats. */
  readonly data: TensorData | (() => TensorData | Promise<TensorData>);
}

/** Where bytes come from: fills a new array with [position, position + length). */
type ByteSource = (position: number, length: number) => Promise<Uint8Array>;

const shape = is.optional(is.shape);
const takesOpen = is.takes('SafetensorsReader.open', { path: is.path });
const takesFromBytes = is.takes('SafetensorsReader.fromBytes', { bytes: is.bytes, source: is.string });
const takesInfo = is.takes('SafetensorsReader.info', { name: is.string, shape });
const takesReadFloat32 = is.takes('SafetensorsReader.readFloat32', { name: is.string, shape });
const takesReadInt32 = is.takes('SafetensorsReader.readInt32', { name: is.string, shape });

/**
 * An open safetensors file. Tensors are read when asked for; close it when done.
 * @example
 * const reader = await SafetensorsReader.open('model.safetensors');
 * for (const [name, { shape }] of reader.tensors) console.log(name, shape);
 * const values = await reader.readFloat32('wte.weight');
 * await reader.close();
 */
export class SafetensorsReader {
  /** Path of the file, or the name of the bytes; messages start with it. */
  readonly source: string;
  /** The texts of `__metadata__` by name; empty where the file has none. */
  readonly metadata: Readonly<Record<string, string>>;
  /** The header's entry of each tensor, by name. */
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  readonly #dataStart: number;
  readonly #read: ByteSource;
  readonly #close: () => Promise<void>;
  #closing: Promise<void> | undefined;

  private constructor(
    source: string,
    parsed: ReturnType<typeof parseHeader>,
    dataStart: number,
    read: ByteSource,
    close: () => Promise<void>,
  ) {
    this.source = source;
    this.metadata = parsed.metadata;
    this.tensors = parsed.tensors;
    this.#dataStart = dataStart;
    this.#read = read;
    this.#close = close;
  }

  static async #from(
    source: string,
    size: number,
    read: ByteSource,
    close: () => Promise<void>,
  ): Promise<SafetensorsReader> {
    if (size < 8) throw bad(source, `a safetensors file has at least 8 bytes; this one has ${size}.`);
    const start = await read(0, Math.min(size, pointerBytes));
    if (isLfsPointer(start)) throw new ApolloError('BAD_CHECKPOINT', `${source} ${lfsPointerMessage}`);
    const length = new DataView(start.buffer, start.byteOffset, 8).getBigUint64(0, true);
    checkHeaderLength(source, length, size);
    const headerBytes = Number(length);
    const parsed = parseHeader(source, await read(8, headerBytes), size - 8 - headerBytes);
    return new SafetensorsReader(source, parsed, 8 + headerBytes, read, close);
  }

  /**
   * Opens a file and checks its header.
   * @throws ApolloError BAD_CHECKPOINT when it cannot be opened or anything in the header is wrong.
   */
  static async open(path: string): Promise<SafetensorsReader> {
    takesOpen(path);
    let handle: FileHandle;
    try {
      handle = await open(path, 'r');
    } catch (error) {
      throw bad(path, `cannot be opened (${(error as Error).message}).`, error);
    }
    try {
      const { size } = await handle.stat();
      const read: ByteSource = async (position, length) => {
        const bytes = new Uint8Array(length);
        let filled = 0;
        while (filled < length) {
          const part = Math.min(length - filled, 1 << 30); // one read call is limited to 2 GiB
          const { bytesRead } = await handle.read(bytes, filled, part, position + filled);
          if (bytesRead === 0) throw bad(path, `ended at byte ${position + filled}; it was cut while being read.`);
          filled += bytesRead;
        }
        return bytes;
      };
      return await SafetensorsReader.#from(path, size, read, () => handle.close());
    } catch (error) {
      await handle.close();
      throw error instanceof ApolloError ? error : bad(path, `cannot be read (${(error as Error).message}).`, error);
    }
  }

  /** Reads from memory; `source` names the bytes in errors. The bytes are not copied until a tensor is read. */
  static async fromBytes(bytes: Uint8Array, source = 'safetensors bytes'): Promise<SafetensorsReader> {
    takesFromBytes(bytes, source);
    const plain = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength); // Buffer's slice would not copy
    const read: ByteSource = async (position, length) => plain.slice(position, position + length);
    return SafetensorsReader.#from(source, bytes.byteLength, read, async () => {});
  }

  /**
   * The header entry of a tensor.
   * @throws ApolloError BAD_CHECKPOINT when the file has no such tensor, or another shape than `shape`.
   */
  info(name: string, shape?: readonly number[]): TensorInfo {
    takesInfo(name, shape);
    const info = this.tensors.get(name);
    if (!info) throw bad(this.source, `tensor "${name}" is missing.`);
    if (shape && (shape.length !== info.shape.length || shape.some((extent, axis) => extent !== info.shape[axis]))) {
      throw bad(this.source, `tensor "${name}" has shape [${info.shape.join(', ')}]; expected [${shape.join(', ')}].`);
    }
    return info;
  }

  /** A tensor of floats of 8 to 64 bits as 32-bit floats, row-major; checked against `shape` when given. */
  async readFloat32(name: string, shape?: readonly number[]): Promise<Float32Array> {
    takesReadFloat32(name, shape);
    const info = this.info(name, shape);
    const values = decodeFloat32(info.dtype, await this.#bytes(info));
    if (!values)
      throw bad(this.source, `tensor "${name}" is ${info.dtype}; expected one of ${floatDtypes.join(', ')}.`);
    return values;
  }

  /** A tensor of I32 or I64 as 32-bit integers; a value that does not fit is an error. */
  async readInt32(name: string, shape?: readonly number[]): Promise<Int32Array> {
    takesReadInt32(name, shape);
    const info = this.info(name, shape);
    const values = decodeInt32(info.dtype, await this.#bytes(info));
    if (values === 'range') throw bad(this.source, `tensor "${name}" has values beyond 32 bits.`);
    if (!values) throw bad(this.source, `tensor "${name}" is ${info.dtype}; expected I32 or I64.`);
    return values;
  }

  async #bytes(info: TensorInfo): Promise<Uint8Array> {
    if (this.#closing) throw new ApolloError('CLOSED', `${this.source} is closed; open it again to read from it`);
    return this.#read(this.#dataStart + info.begin, info.end - info.begin);
  }

  /** Closes the file; reading a tensor afterwards throws CLOSED. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/** Lays the tensors out (widest elements first, then by name, so that all are aligned) and builds the padded header. */
function layOut(tensors: readonly TensorToWrite[], metadata: Readonly<Record<string, string>>) {
  const reject = (message: string): never => {
    throw new ApolloError('BAD_ARGUMENT', `safetensors: ${message}`);
  };
  const seen = new Set<string>();
  for (const { name, dtype, shape } of tensors) {
    if (name === '__metadata__' || seen.has(name))
      reject(`the tensor name "${name}" is ${seen.has(name) ? 'given twice' : 'reserved'}.`);
    if (!isElement(dtype))
      reject(`tensor "${name}": dtype must be one of ${elements.join(', ')}; got ${String(dtype)}.`);
    if (!shape.every((extent) => Number.isSafeInteger(extent) && extent >= 0))
      reject(`tensor "${name}": bad shape [${shape.join(', ')}].`);
    seen.add(name);
  }
  const width = (tensor: TensorToWrite): number => widthOf(tensor.dtype);
  const ordered = [...tensors].sort((a, b) => width(b) - width(a) || (a.name < b.name ? -1 : 1));
  const entries: [string, unknown][] = Object.keys(metadata).length > 0 ? [['__metadata__', metadata]] : [];
  let offset = 0;
  for (const tensor of ordered) {
    const end = offset + elementsOf(tensor.shape) * width(tensor);
    entries.push([tensor.name, { dtype: tensor.dtype, shape: tensor.shape, data_offsets: [offset, end] }]);
    offset = end;
  }
  const json = new TextEncoder().encode(JSON.stringify(Object.fromEntries(entries)));
  const headerBytes = Math.ceil(json.length / 8) * 8;
  const header = new Uint8Array(8 + headerBytes).fill(0x20);
  new DataView(header.buffer).setBigUint64(0, BigInt(headerBytes), true);
  header.set(json, 8);
  return { ordered, header, totalBytes: header.length + offset };
}

async function dataOf(tensor: TensorToWrite): Promise<Uint8Array> {
  const data = typeof tensor.data === 'function' ? await tensor.data() : tensor.data;
  const expected = elementsOf(tensor.shape);
  if (data.length !== expected) {
    throw new ApolloError(
      'BAD_ARGUMENT',
      `safetensors: tensor "${tensor.name}" of shape [${tensor.shape.join(', ')}] needs ${expected} elements; got ${data.length}.`,
    );
  }
  const bytes = encode(tensor.dtype, data);
  if (!bytes) {
    throw new ApolloError(
      'BAD_ARGUMENT',
      `safetensors: tensor "${tensor.name}" is ${tensor.dtype}, which a ${data.constructor.name} cannot fill.`,
    );
  }
  return bytes;
}

const takesEncodeSafetensors = is.takes('encodeSafetensors', {
  tensors: is.list(
    is.object('a tensor { name, dtype, shape, data }', { name: is.name, dtype: is.string, shape: is.shape }),
  ),
  metadata: is.texts,
});

/**
 * The whole file as bytes; for small files. Throws BAD_ARGUMENT for names, shapes or data that do not fit.
 * @param tensors Names, dtypes, shapes and data, in any order.
 * @param metadata Text by key for the header's `__metadata__`. Default: none.
 * @example
 * const bytes = await encodeSafetensors([{ name: 'w', dtype: 'F32', shape: [2], data: Float32Array.of(1, 2) }]);
 */
export async function encodeSafetensors(
  tensors: readonly TensorToWrite[],
  metadata: Readonly<Record<string, string>> = {},
): Promise<Uint8Array> {
  takesEncodeSafetensors(tensors, metadata);
  const { ordered, header, totalBytes } = layOut(tensors, metadata);
  const file = new Uint8Array(totalBytes);
  file.set(header, 0);
  let position = header.length;
  for (const tensor of ordered) {
    const bytes = await dataOf(tensor);
    file.set(bytes, position);
    position += bytes.length;
  }
  return file;
}

/**
 * Writes the file to `file`, which is empty, one tensor at a time, while the next one is made. Opening it under a temporary
 * name, syncing and renaming it are the caller's, who knows which files belong together.
 */
export async function writeSafetensors(
  file: Pick<FileWriter, 'append'>,
  tensors: readonly TensorToWrite[],
  metadata: Readonly<Record<string, string>> = {},
): Promise<void> {
  const { ordered, header } = layOut(tensors, metadata);
  const made = (tensor: TensorToWrite | undefined) => {
    const bytes = tensor && dataOf(tensor);
    bytes?.catch(() => undefined); // reported where it is waited for
    return bytes;
  };
  let next = made(ordered[0]);
  await file.append(header);
  for (let i = 1; next; i++) {
    const bytes = await next;
    next = made(ordered[i]);
    await file.append(bytes);
  }
}

/**
 * The header of a safetensors file: its JSON, and every check that a file must pass before a byte of its data is touched.
 */
import { ApolloError } from '../errors.js';
import { bitsOf } from './elements.js';

/** One entry of a file's header; `begin` and `end` count bytes from the start of the data. */
export interface TensorInfo {
  /** Name of the tensor, unique in the file. */
  readonly name: string;
  /** Element type as the format spells it, 'F32' or 'BF16'; it may be one that cannot be read here. */
  readonly dtype: string;
  /** Extents, outermost first; `[]` for a scalar. The data are row-major. */
  readonly shape: readonly number[];
  /** First byte of the tensor, counted from the start of the data. */
  readonly begin: number;
  /** Byte after its last one, counted likewise. */
  readonly end: number;
}

/** The limit of the format's own implementation on the header's length. */
const headerLimit = 100_000_000;

export const bad = (source: string, message: string, cause?: unknown): ApolloError =>
  new ApolloError('BAD_CHECKPOINT', `${source}: ${message}`, cause === undefined ? undefined : { cause });

/** The number of elements of a shape; infinite or NaN where it cannot be counted. */
export const elementsOf = (shape: readonly number[]): number => shape.reduce((product, extent) => product * extent, 1);

/**
 * Checks the length that the file's first 8 bytes give its header, before anything of that size is read.
 * @throws ApolloError BAD_CHECKPOINT.
 */
export function checkHeaderLength(source: string, length: bigint, fileBytes: number): void {
  const room = fileBytes - 8;
  if (length > BigInt(room)) {
    throw bad(
      source,
      `the header claims ${length} bytes, the file has ${room} after its length; not a safetensors file, or cut short.`,
    );
  }
  if (length > BigInt(headerLimit)) {
    throw bad(source, `the header claims ${length} bytes; the format allows ${headerLimit}.`);
  }
  if (length < 2n) throw bad(source, `the header claims ${length} bytes; even an empty one has 2.`);
}

/** The first key that an object in `text`, which is valid JSON, has twice. JSON.parse would keep its last value. */
function duplicateKey(text: string): string | undefined {
  const tokens = /"[^"\\]*(?:\\.[^"\\]*)*"|[{}:]/g;
  const open: Set<string>[] = [];
  let last: string | undefined;
  for (const [token] of text.matchAll(tokens)) {
    if (token === '{') open.push(new Set());
    else if (token === '}') open.pop();
    else if (token === ':') {
      const key = JSON.parse(last as string) as string;
      const keys = open.at(-1) as Set<string>;
      if (keys.has(key)) return key;
      keys.add(key);
    } else last = token;
  }
  return undefined;
}

/** The bytes that a shape takes, if they can be counted exactly; elements of 4 or 6 bits must fill whole bytes. */
function bytesOf(source: string, where: string, shape: readonly number[], width: number): number {
  let bits = width;
  for (const extent of shape) {
    if (extent !== 0 && bits > Number.MAX_SAFE_INTEGER / extent) {
      throw bad(source, `${where}: shape [${shape.join(', ')}] has more elements than any file can hold.`);
    }
    bits *= extent;
  }
  if (bits % 8 !== 0) throw bad(source, `${where}: shape [${shape.join(', ')}] ends within a byte.`);
  return bits / 8;
}

/** Checks one header entry by itself. */
function parseEntry(source: string, name: string, value: unknown, dataBytes: number): TensorInfo {
  const entry = value as { dtype?: unknown; shape?: unknown; data_offsets?: unknown } | null;
  const where = `tensor "${name}"`;
  if (typeof entry !== 'object' || entry === null || Array.isArray(entry)) {
    throw bad(source, `${where}: its header entry must be an object.`);
  }
  const { dtype, shape, data_offsets: offsets } = entry;
  if (typeof dtype !== 'string' || !/^[A-Z]\w*$/.test(dtype)) {
    throw bad(source, `${where}: dtype must be the name of one, such as "F32"; got ${JSON.stringify(dtype)}.`);
  }
  if (!Array.isArray(shape) || !shape.every((extent) => Number.isSafeInteger(extent) && extent >= 0)) {
    throw bad(source, `${where}: shape must be a list of whole numbers; got ${JSON.stringify(shape)}.`);
  }
  if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every((o) => Number.isSafeInteger(o) && o >= 0)) {
    throw bad(source, `${where}: data_offsets must be two whole numbers; got ${JSON.stringify(offsets)}.`);
  }
  const [begin, end] = offsets as [number, number];
  if (begin > end) throw bad(source, `${where}: data_offsets [${begin}, ${end}] end before they start.`);
  if (end > dataBytes) {
    throw bad(source, `${where}: data_offsets [${begin}, ${end}] lie outside the ${dataBytes} bytes of data.`);
  }
  // A type that is newer than this reader may be next to the tensors that are wanted; how wide it is, is not known.
  const width = bitsOf(dtype);
  const bytes = width === undefined ? end - begin : bytesOf(source, where, shape as number[], width);
  if (bytes !== end - begin) {
    throw bad(
      source,
      `${where}: shape [${shape.join(', ')}] of ${dtype} takes ${bytes} bytes, its offsets span ${end - begin}.`,
    );
  }
  return { name, dtype, shape: shape as number[], begin, end };
}

/** The header's tensors and metadata, checked; `dataBytes` is what follows the header in the file. */
export function parseHeader(source: string, bytes: Uint8Array, dataBytes: number) {
  let text: string;
  let header: unknown;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
    header = JSON.parse(text);
  } catch (error) {
    throw bad(source, `the header is not JSON in UTF-8 (${(error as Error).message}).`, error);
  }
  if (typeof header !== 'object' || header === null || Array.isArray(header)) {
    throw bad(source, 'the header must be a JSON object.');
  }
  const twice = duplicateKey(text);
  if (twice !== undefined) throw bad(source, `the header has the name ${JSON.stringify(twice)} twice.`);
  let metadata: Record<string, string> = {};
  const tensors = new Map<string, TensorInfo>();
  for (const [name, value] of Object.entries(header)) {
    if (name !== '__metadata__') {
      tensors.set(name, parseEntry(source, name, value, dataBytes));
      continue;
    }
    // The format's own reader takes null for no metadata.
    const pairs = typeof value === 'object' && !Array.isArray(value) ? Object.entries(value ?? {}) : undefined;
    if (!pairs?.every(([, text]) => typeof text === 'string')) {
      throw bad(source, '__metadata__ must map names to text.');
    }
    metadata = Object.fromEntries(pairs as [string, string][]);
  }
  // The data must be covered exactly once: no overlap, no hole, nothing after the last tensor.
  let covered = 0;
  for (const info of [...tensors.values()].sort((a, b) => a.begin - b.begin || a.end - b.end)) {
    if (info.begin !== covered) {
      const what = info.begin < covered ? 'overlaps the tensor before it' : 'leaves a hole before it';
      throw bad(source, `tensor "${info.name}" starts at byte ${info.begin} and ${what} (byte ${covered} expected).`);
    }
    covered = info.end;
  }
  if (covered !== dataBytes) {
    throw bad(
      source,
      `${dataBytes - covered} bytes after the last tensor; the file is incomplete or has data appended.`,
    );
  }
  return { tensors, metadata };
}

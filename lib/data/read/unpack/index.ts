/** The kinds of packed files. A new one is a file next to this and a line here. */
import { gzip } from './gzip.js';
import type { Packing } from './unpack.js';
import { zstd } from './zstd.js';

export const packings: readonly Packing[] = [gzip, zstd];

/**
 * The bytes of a file that is held whole, unpacked where its first bytes say that it is packed, regardless of its name.
 * @throws DamagedPacking when the data is cut off or wrong.
 */
export async function unpackWhole(bytes: Uint8Array): Promise<Uint8Array> {
  const packing = packings.find(({ starts }) => starts(bytes));
  if (packing === undefined) return bytes;
  async function* stored(): AsyncGenerator<Uint8Array> {
    yield bytes;
  }
  const parts: Uint8Array[] = [];
  for await (const part of packing.unpack(stored())) parts.push(part.slice());
  return Buffer.concat(parts);
}

export { DamagedPacking, type Packing } from './unpack.js';

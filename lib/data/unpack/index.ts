/** The kinds of packed files. A new one is a file beside this and a line here. */
import { gzip } from './gzip.js';
import type { Packing } from './unpack.js';
import { zstd } from './zstd.js';

export const packings: readonly Packing[] = [gzip, zstd];

export { DamagedPacking, type Packing } from './unpack.js';

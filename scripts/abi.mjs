// Prints a number for the headers through which the engine and its libraries (CUDA, MPI, NCCL) share classes: the engine
// refuses a library that was built from others. With --headers, these files instead, divided by semicolons.
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const native = resolve(dirname(fileURLToPath(import.meta.url)), '..', 'native');
const inFolder = (folder) =>
  readdirSync(join(native, folder))
    .filter((name) => name.endsWith('.h'))
    .map((name) => `${folder}/${name}`);
const headers = [...inFolder('core'), ...inFolder('comm'), 'comm/nccl/api.h', 'cuda/api.h'].sort();

if (process.argv[2] === '--headers') {
  console.log(headers.map((header) => join(native, header)).join(';'));
} else {
  const hash = createHash('sha256');
  for (const header of headers) hash.update(readFileSync(join(native, header)));
  console.log(`0x${hash.digest('hex').slice(0, 8)}u`);
}

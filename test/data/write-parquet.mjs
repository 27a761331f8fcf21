// Writes a Parquet file to stdout from options as JSON on stdin. A process of its own, since the loader of the tests does
// not resolve hyparquet-writer's imports.
import { readFileSync } from 'node:fs';
import { parquetWriteBuffer } from 'hyparquet-writer';

const options = JSON.parse(readFileSync(0, 'utf8'));
process.stdout.write(new Uint8Array(parquetWriteBuffer(options)));

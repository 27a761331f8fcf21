/** gzip, of one or several members. */
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import { DamagedPacking, type Packing } from './unpack.js';

export const gzip: Packing = {
  name: 'gzip',
  ending: '.gz',
  starts: (head) => head[0] === 0x1f && head[1] === 0x8b,
  unpack,
};

async function* unpack(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const stream = createGunzip({ chunkSize: 1 << 18 });
  const fed = pipeline(source, stream).catch(() => {}); // what goes wrong is thrown by the stream
  try {
    for await (const chunk of stream) yield chunk as Buffer;
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === 'Z_BUF_ERROR')
      throw new DamagedPacking('ends before its gzip data does. The file was cut off; copy it again.');
    if (code?.startsWith('Z_'))
      throw new DamagedPacking(`holds damaged gzip data (${message}) at or before byte ${stream.bytesWritten}.`, {
        cause: error,
      });
    throw error;
  } finally {
    stream.destroy();
    await fed;
  }
}

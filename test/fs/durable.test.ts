import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import t from 'tap';
import { FileWriter, writeSynced } from '../../lib/fs/durable.js';

const megabyte = 1 << 20;

/** A handle that keeps what is written, at most `most` bytes per call. */
function handle(most: number, datasync: () => Promise<void> = async () => {}) {
  const state = { pieces: [] as Uint8Array[], bytes: 0, flushes: 0, syncs: 0 };
  const fake = {
    async write(bytes: Uint8Array, offset: number, length: number, position: number) {
      t.equal(position, state.bytes, 'each write follows the one before');
      const bytesWritten = Math.min(length, most);
      state.pieces.push(bytes.subarray(offset, offset + bytesWritten));
      state.bytes += bytesWritten;
      return { bytesWritten };
    },
    async datasync() {
      state.flushes++;
      await datasync();
    },
    async sync() {
      state.syncs++;
    },
  };
  return { state, handle: fake as unknown as ConstructorParameters<typeof FileWriter>[0] };
}

t.test('a file is as it was appended, and so is its checksum', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'apollo-durable-'));
  t.teardown(() => rm(folder, { recursive: true }));
  const path = join(folder, 'file');
  const bytes = Buffer.alloc(9 * megabyte + 5, 'some bytes, again and again. ');
  const checksum = await writeSynced(path, async (file) => {
    await file.append('é');
    await file.append(new Uint8Array(0));
    await file.append(bytes);
  });
  const written = await readFile(path);
  t.ok(written.equals(Buffer.concat([Buffer.from('é'), bytes])));
  t.same(checksum, { bytes: written.length, crc32: crc32(written) });
  await t.rejects(
    writeSynced(path, async () => {}),
    { code: 'EEXIST' },
    'a file that is there stays',
  );
});

t.test('a write that takes a part of the bytes is continued', async (t) => {
  const { state, handle: short } = handle(1000);
  const file = new FileWriter(short);
  await file.append(Buffer.alloc(2500, 'abc'));
  await file.append('end');
  const contents = Buffer.concat(state.pieces);
  t.equal(contents.toString(), `${Buffer.alloc(2500, 'abc')}end`);
  t.same(file.checksum, { bytes: 2503, crc32: crc32(contents) });
});

t.test('the disk works beside the writing, and what fails there is reported at the end', async (t) => {
  const piece = Buffer.alloc(40 * megabyte);
  const good = handle(megabyte * 64);
  const file = new FileWriter(good.handle);
  for (let i = 0; i < 3; i++) await file.append(piece);
  t.equal(good.state.flushes, 1, 'after 64 MiB');
  await file.sync();
  t.equal(good.state.syncs, 1);

  const error = Object.assign(new Error('EIO'), { code: 'EIO' });
  const bad = handle(megabyte * 64, () => Promise.reject(error));
  const failing = new FileWriter(bad.handle);
  for (let i = 0; i < 2; i++) await failing.append(piece);
  await t.rejects(failing.sync(), { code: 'EIO' });
  t.equal(bad.state.syncs, 0);
});

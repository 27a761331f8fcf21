/** gzip as files hold it: members, headers with fields, zeros behind; anything else behind is reported with its position. */
import { randomBytes } from 'node:crypto';
import { crc32, deflateRawSync, gzipSync } from 'node:zlib';
import t from 'tap';
import { gzip } from '../../../../lib/data/read/unpack/gzip.js';
import { unpackWhole } from '../../../../lib/data/read/unpack/index.js';

const text = Buffer.from('Some text, again and again. '.repeat(500));

/** A member with the header's optional fields (RFC 1952). */
function member(content: Buffer, flags: number, fields: Buffer): Buffer {
  const trailer = Buffer.alloc(8);
  trailer.writeUInt32LE(crc32(content), 0);
  trailer.writeUInt32LE(content.length, 4);
  const header = Buffer.from([0x1f, 0x8b, 8, flags, 0, 0, 0, 0, 0, 255]);
  return Buffer.concat([header, fields, deflateRawSync(content), trailer]);
}

async function unpacked(bytes: Buffer, chunk: number): Promise<Buffer> {
  async function* source() {
    for (let start = 0; start < bytes.length; start += chunk) yield bytes.subarray(start, start + chunk);
  }
  const parts: Buffer[] = [];
  for await (const part of gzip.unpack(source())) parts.push(Buffer.from(part));
  return Buffer.concat(parts);
}

t.test('members, fields of the header and zeros behind, in chunks of any size', async (t) => {
  const fields = Buffer.concat([Buffer.from([3, 0, 1, 2, 3]), Buffer.from('name\0comment\0'), Buffer.from([9, 9])]);
  const full = member(text, 2 | 4 | 8 | 16, fields);
  const packed = gzipSync(text);
  for (const chunk of [1, 7, 300, 1 << 18]) {
    t.ok((await unpacked(packed, chunk)).equals(text), `one member in chunks of ${chunk}`);
    t.ok((await unpacked(Buffer.concat([packed, full, packed]), chunk)).equals(Buffer.concat([text, text, text])));
    t.ok((await unpacked(Buffer.concat([packed, Buffer.alloc(512)]), chunk)).equals(text), 'zeros');
  }
  const large = randomBytes(1 << 20);
  t.ok((await unpacked(Buffer.concat([gzipSync(large), packed]), 1 << 16)).equals(Buffer.concat([large, text])));
  t.ok((await unpacked(gzipSync(''), 5)).equals(Buffer.alloc(0)), 'an empty member');
});

t.test('what follows the data is reported with its offset', async (t) => {
  const packed = gzipSync(text);
  for (const [garbage, members] of [
    ['garbage', 1],
    ['\n', 2],
    ['\0\0x', 1],
    ['\x1f', 1],
  ] as const) {
    const bytes = Buffer.concat([...Array<Buffer>(members).fill(packed), Buffer.from(garbage, 'latin1')]);
    for (const chunk of [11, 1 << 18]) {
      await t.rejects(unpacked(bytes, chunk), {
        message: new RegExp(`^contains other data after its gzip data, from byte ${members * packed.length} on`),
      });
    }
  }
});

t.test('cut, changed and foreign data', async (t) => {
  const packed = gzipSync(text);
  for (const length of [5, 10, packed.length - 9, packed.length - 8, packed.length - 1])
    await t.rejects(unpacked(packed.subarray(0, length), 64), { message: /ends before its gzip data does/ });
  const size = Buffer.from(packed);
  size[size.length - 1] = 1;
  await t.rejects(unpacked(size, 64), { message: /incorrect length check/ });
  await t.rejects(unpacked(Buffer.concat([packed, Buffer.from([0x1f, 0x8b, 7, 0, 0, 0, 0, 0, 0, 0])]), 64), {
    message: new RegExp(`no header of a member\\) at or before byte ${packed.length}`),
  });
});

t.test('the error of a source is what the reader gets, and reading may end early', async (t) => {
  async function* failing() {
    yield gzipSync(text).subarray(0, 40);
    throw new Error('the disk is gone');
  }
  await t.rejects(
    async () => {
      for await (const _ of gzip.unpack(failing()));
    },
    { message: 'the disk is gone' },
  );
  async function* endless() {
    for (;;) yield gzipSync(randomBytes(1 << 18));
  }
  for await (const part of gzip.unpack(endless())) {
    t.ok(part.length > 0);
    break;
  }
});

t.test('whole files are unpacked by their first bytes', async (t) => {
  t.ok(Buffer.from(await unpackWhole(gzipSync(text))).equals(text));
  t.ok(Buffer.from(await unpackWhole(text)).equals(text));
});

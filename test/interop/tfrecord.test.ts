import t from 'tap';
import { crc32c, frameRecord, readRecords } from '../../lib/interop/tfrecord.js';

t.test('CRC-32C gives the check values of RFC 3720, section B.4', async (t) => {
  const value = (bytes: Uint8Array) => crc32c(bytes).toString(16);
  t.equal(value(Buffer.from('123456789')), 'e3069283');
  t.equal(value(new Uint8Array(32)), '8a9136aa');
  t.equal(value(new Uint8Array(32).fill(255)), '62a8ab43');
  t.equal(value(Uint8Array.from({ length: 32 }, (_, index) => index)), '46dd794e');
  t.equal(value(Uint8Array.from({ length: 32 }, (_, index) => 31 - index)), '113fdb5c');
});

t.test('records come back as they were framed, and a torn last one is left out', async (t) => {
  const records = ['', 'a', 'x'.repeat(1000)].map((text) => Buffer.from(text));
  const file = Buffer.concat(records.map((record) => frameRecord(record)));
  t.same([...readRecords(file)], records);
  for (const cut of [1, 5, 1000, 1011]) {
    t.same([...readRecords(file.subarray(0, file.length - cut))], records.slice(0, 2), `${cut} bytes short`);
  }
  t.same([...readRecords(Buffer.alloc(0))], []);
});

t.test('a changed byte is found, wherever it is', async (t) => {
  const record = frameRecord(Buffer.from('some data'));
  for (let at = 0; at < record.length; at++) {
    const changed = Buffer.from(record);
    changed[at]! ^= 4;
    t.throws(() => [...readRecords(changed)], { code: 'BAD_ARGUMENT', message: /byte 0 is damaged/ }, `byte ${at}`);
  }
});

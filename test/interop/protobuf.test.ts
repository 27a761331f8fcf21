import t from 'tap';
import {
  bytesField,
  decodeFields,
  doubleField,
  doublesField,
  floatField,
  messageField,
  varintField,
} from '../../lib/interop/protobuf.js';

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');

t.test('fields are encoded as in the examples of the format description', async (t) => {
  t.equal(hex(varintField(1, 150)), '089601');
  t.equal(hex(bytesField(2, 'testing')), '120774657374696e67');
  t.equal(hex(messageField(3, [varintField(1, 150)])), '1a03089601');
  t.equal(hex(varintField(1, -2)), '08feffffffffffffffff01', "negative numbers as two's complement");
  t.equal(hex(varintField(16, 0)), '800100', 'field numbers beyond 15 take two bytes');
  t.equal(hex(doubleField(1, 1)), '09000000000000f03f');
  t.equal(hex(floatField(1, 1)), '0d0000803f');
  t.equal(hex(doublesField(1, [1, 2])), '0a10000000000000f03f0000000000000040');
});

t.test('what was encoded is decoded', async (t) => {
  const message = Buffer.concat([varintField(1, 2n ** 63n), bytesField(2, ''), floatField(3, 0.5), varintField(1, -1)]);
  t.same(
    [...decodeFields(message)].map(({ field, varint, bytes }) => [field, varint, bytes.toString('hex')]),
    [
      [1, 2n ** 63n, ''],
      [2, 0n, ''],
      [3, 0n, '0000003f'],
      [1, 2n ** 64n - 1n, ''],
    ],
  );
});

t.test('bytes that are no message are refused', async (t) => {
  for (const bytes of ['08', '0a05ffff', '09000000', '0b', '08ffffffffffffffffffffff', '08ffffffffffffffffffffff01']) {
    t.throws(() => [...decodeFields(Buffer.from(bytes, 'hex'))], { code: 'BAD_ARGUMENT' }, bytes);
  }
});

/** Strict decoding against Node's own check, on every way to cut a text and on random bytes. */
import { isUtf8 } from 'node:buffer';
import t from 'tap';
import { firstInvalid, Utf8Reader } from '../../../lib/data/read/utf8.js';
import { philox4x32 } from '../../../lib/random/philox.js';

t.test('a text cut at any byte decodes to itself', async (t) => {
  const text = 'aé文🙂\u07ff\u0800\uffff\u{10000}z';
  const bytes = Buffer.from(text);
  for (let cut = 0; cut <= bytes.length; cut++) {
    const reader = new Utf8Reader();
    t.equal(reader.decode(bytes.subarray(0, cut)) + reader.decode(bytes.subarray(cut)), text);
    reader.end();
  }
  const byByte = new Utf8Reader();
  t.equal(Array.from(bytes, (byte) => byByte.decode(Buffer.from([byte]))).join(''), text);
});

t.test('the first invalid byte is where the longest valid beginning ends', async (t) => {
  let invalid = 0;
  const wrong: string[] = [];
  for (let i = 0; i < 3000; i++) {
    const words = Uint32Array.from(philox4x32([i, 0, 0, 0], [7, 7]));
    // Few distinct bytes of each class, so that both valid and nearly valid sequences occur.
    const choices = [0x41, 0x80, 0xbf, 0x9f, 0xa0, 0x8f, 0xc2, 0xe0, 0xed, 0xef, 0xf0, 0xf4, 0xf5, 0xc1, 0x90, 0x7f];
    const bytes = Buffer.from(Array.from(new Uint8Array(words.buffer), (byte) => choices[byte & 15]!)).subarray(
      0,
      1 + (i % 8),
    );
    const found = firstInvalid(bytes);
    // Every beginning of the bytes up to `found` that ends between characters is valid, and none beyond it.
    const longestValid = Math.max(
      ...Array.from({ length: bytes.length + 1 }, (_, end) => (isUtf8(bytes.subarray(0, end)) ? end : 0)),
    );
    if ((found ?? bytes.length) !== longestValid) wrong.push(bytes.toString('hex'));
    if (found !== undefined) invalid++;
  }
  t.strictSame(wrong, []);
  t.ok(invalid > 1000);
});

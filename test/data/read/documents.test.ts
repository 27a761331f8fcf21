/** Documents of files of both layouts, for any size of the pieces, and the message for each kind of damage. */
import { truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import t from 'tap';
import { type ReadProgress, readDocuments } from '../../../lib/data/read/documents.js';
import { describe } from '../../../lib/data/read/files.js';
import { continuation } from '../../../lib/data/tokenizer/continuation.js';
import { loadTokenizer } from '../../../lib/data/tokenizer/tokenizer.js';
import { bert, failure, fixture, gpt2 } from '../support.js';

/** The documents of a file, each as its pieces. */
async function documents(path: string, progress?: ReadProgress): Promise<string[][]> {
  const result: string[][] = [[]];
  for await (const { text, isLast } of readDocuments(describe(path), progress)) {
    result.at(-1)!.push(text);
    if (isLast) result.push([]);
  }
  t.strictSame(result.pop(), [], 'the last piece closes the last document');
  return result;
}

const joined = async (path: string): Promise<string[]> => (await documents(path)).map((pieces) => pieces.join(''));

t.test('a plain file is one document, packed or not, without its byte order mark', async (t) => {
  const text = 'One.\n\nTwo, ünïcode 文字 🙂.\n';
  const folder = t.testdir({
    'a.txt': text,
    'a.txt.gz': gzipSync(text),
    'bom.txt': `\ufeff${text}`,
    'one-line.txt': 'no line end',
  });
  for (const name of ['a.txt', 'a.txt.gz', 'bom.txt']) t.strictSame(await joined(join(folder, name)), [text], name);
  t.strictSame(await joined(join(folder, 'one-line.txt')), ['no line end']);
});

t.test('a gzip of several members is read to its end', async (t) => {
  const folder = t.testdir({ 'a.gz': Buffer.concat([gzipSync('one '), gzipSync('two')]) });
  t.strictSame(await joined(join(folder, 'a.gz')), ['one two']);
});

t.test('<doc> blocks are documents, their lines as they are', async (t) => {
  const text =
    '\n<doc id="1" url="u" title="First">\nFirst\n\nA text with <br> and 1 < 2.\n\n</doc>\n\n' +
    '<doc id="2" title="Empty">\n</doc>\r\n<doc id="3">\r\nThird\r\n</doc>';
  const folder = t.testdir({ wiki_00: text });
  t.strictSame(await joined(join(folder, 'wiki_00')), ['First\n\nA text with <br> and 1 < 2.\n\n', '', 'Third\r\n']);
});

t.test('a file that only mentions <doc later is one document', async (t) => {
  const folder = t.testdir({ 'a.txt': 'Text.\n<doc id="1">\n' });
  t.strictSame(await joined(join(folder, 'a.txt')), ['Text.\n<doc id="1">\n']);
});

t.test('pieces of a long document join to it, and are tokenised like the whole', async (t) => {
  const sentences = [
    "It's 1801, said he.  ",
    'Ünd\u00a0so\n\n\n  weiter; ',
    'naïve 文字 🙂!\t',
    "\n'Tis ",
    'end.\n',
    'x\nY',
  ];
  let text = '';
  for (let i = 0; text.length < 400_000; i++) text += sentences[(i * i) % 6]! + i;
  // About where pieces end, no blank but after line ends.
  for (const at of [1 << 17, 1 << 18]) text = `${text.slice(0, at - 40)}${'end.\nNew'.repeat(20)}${text.slice(at)}`;
  const folder = t.testdir({ 'long.txt': text, 'block.txt': `<doc id="1">\n${text}\n</doc>\n` });
  const [pieces] = await documents(join(folder, 'long.txt'));
  t.ok(pieces!.length >= 3, `${pieces!.length} pieces`);
  t.ok(pieces!.join('') === text);
  const llamas = ['llama-2', 'llama-3', 'qwen-2', 'smollm'].map((name) =>
    loadTokenizer(fixture(`tokenizers/llama/${name}.json.gz`)),
  );
  for (const [i, tokenizer] of [bert(), gpt2(), ...llamas].entries()) {
    const continued = continuation(tokenizer.definition);
    const ids = pieces!.flatMap((piece, i) => [...tokenizer.encode(i === 0 ? piece : continued(piece))]);
    t.ok(ids.join() === tokenizer.encode(text).join(), `tokenizer ${i}`);
  }
  t.ok((await joined(join(folder, 'block.txt')))[0] === `${text}\n`);
});

t.test('text without any blank is cut between two code points', async (t) => {
  const text = `a${'🙂'.repeat(2_200_000)}`;
  const folder = t.testdir({ 'dense.txt': text });
  const [pieces] = await documents(join(folder, 'dense.txt'));
  t.strictSame(
    pieces!.map((piece) => piece.length),
    [4_194_303, 205_698],
  );
  t.ok(pieces!.join('') === text);
});

t.test('reading reports the bytes on disk and the digest of the file', async (t) => {
  const folder = t.testdir({ 'abc.txt': 'abc' });
  let bytes = 0;
  let digest = '';
  await documents(join(folder, 'abc.txt'), {
    onBytes: (count) => (bytes += count),
    onDigest: (sha256) => (digest = sha256),
  });
  t.equal(bytes, 3);
  t.equal(digest, 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'); // FIPS 180-2, B.1
});

t.test('each kind of damage has its message', async (t) => {
  const packed = gzipSync('A text that is long enough to be cut. '.repeat(100));
  const wrong = Buffer.from(packed);
  wrong[wrong.length - 6]! ^= 1; // in the checksum
  const folder = t.testdir({
    'latin1.txt': Buffer.concat([Buffer.from('0123456789 caf'), Buffer.from([0xe9]), Buffer.from(' au lait')]),
    'overlong.txt': Buffer.from([0x41, 0xc0, 0xaf]),
    'surrogate.txt': Buffer.from([0x41, 0x42, 0xed, 0xa0, 0x80]),
    'cut-character.txt': Buffer.from('caf\u00e9').subarray(0, 4),
    'image.txt': Buffer.from([0x89, 0x50, 0x4e, 0x47, 0, 0, 0]),
    'zero.txt': Buffer.from('plain text\0and more'),
    'packed.txt': packed,
    'plain.txt.gz': 'plain text',
    'cut.txt.gz': packed.subarray(0, packed.length - 20),
    'checksum.txt.gz': wrong,
    'latin1.txt.gz': gzipSync(Buffer.from([0x61, 0x62, 0xff])),
    'open.txt': '<doc id="1">\nText\n</doc>\n<doc id="2">\nmore\n',
    'nested.txt': '<doc id="1">\nText\n<doc id="2">\nmore\n</doc>\n',
    'outside.txt': '<doc id="1">\nText\n</doc>\nstray words\n',
    'empty.txt': '',
    folder: {},
  });
  const expected: Record<string, RegExp> = {
    'latin1.txt': /latin1\.txt is not UTF-8: byte 14 does not fit/,
    'overlong.txt': /overlong\.txt is not UTF-8: byte 1 /,
    'surrogate.txt': /surrogate\.txt is not UTF-8: byte 2 /,
    'cut-character.txt': /ends inside a UTF-8 character that starts at byte 3\. The file was cut off/,
    'image.txt': /image\.txt is not UTF-8: byte 0 does not fit/,
    'zero.txt': /has a zero byte at byte 10, so it is binary/,
    'packed.txt': /packed\.txt holds gzip data\. Name it .*packed\.txt\.gz/,
    'plain.txt.gz': /is named \.gz and does not hold gzip data/,
    'cut.txt.gz': /cut\.txt\.gz ends before its gzip data does\. The file was cut off/,
    'checksum.txt.gz': /holds damaged gzip data \(incorrect data check\)/,
    'latin1.txt.gz': /is not UTF-8: byte 2 of the unpacked text does not fit/,
    'open.txt': /the <doc> block that starts at line 4 has no <\/doc>/,
    'nested.txt': /line 3 opens a <doc> block inside the one of line 1/,
    'outside.txt': /line 4 is outside of the <doc> blocks: "stray words"/,
    'empty.txt': /empty\.txt is empty \(0 bytes\)/,
    'missing.txt': /There is no file or folder .*missing\.txt/,
    folder: /folder is not a regular file/,
  };
  for (const [name, message] of Object.entries(expected)) {
    const found = await failure(() => documents(join(folder, name)));
    t.match(found, message, name);
    t.match(found, /^BAD_CORPUS: /);
  }
});

t.test('an offset counts from the start of the file, far from it too', async (t) => {
  const bytes = Buffer.alloc(3_000_000, 'abcdefgh ');
  bytes[2_345_678] = 0xff;
  const folder = t.testdir({ 'far.txt': bytes });
  t.match(await failure(() => documents(join(folder, 'far.txt'))), /byte 2345678 does not fit/);
});

t.test('an aborted signal ends the reading', async (t) => {
  const folder = t.testdir({ 'a.txt': 'text' });
  t.match(await failure(() => documents(join(folder, 'a.txt'), { signal: AbortSignal.abort() })), /^ABORT_ERR: /);
});

t.test('a file that loses its end between two looks is seen as it is', async (t) => {
  const folder = t.testdir({ 'a.txt': 'text and more' });
  const path = join(folder, 'a.txt');
  const before = describe(path).fingerprint;
  truncateSync(path, 4);
  t.not(describe(path).fingerprint, before);
  writeFileSync(path, 'text and mire');
  t.not(describe(path).fingerprint, before, 'same size, other times');
});

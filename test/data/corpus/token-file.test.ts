/** Token files read back what was written, in both widths, are llm.c's files, and show damage. */
import { readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { arraySource, rangeSource } from '../../../lib/data/batches/token-source.js';
import { TokenFile, TokenFileWriter } from '../../../lib/data/corpus/token-file.js';
import { failure } from '../support.js';

function write(path: string, vocabSize: number, ...parts: number[][]): void {
  const writer = new TokenFileWriter(path, vocabSize);
  for (const part of parts) writer.append(Uint32Array.from(part));
  writer.finish();
}

for (const [vocabSize, width, magic, version] of [
  [65536, 2, 20240520, 1],
  [65537, 4, 20240801, 7],
] as const) {
  t.test(`a vocabulary of ${vocabSize} takes ${width} bytes a token, in llm.c's layout`, async (t) => {
    const path = join(t.testdir(), 'tokens.bin');
    const ids = Array.from({ length: 5000 }, (_, i) => (i * 7919) % vocabSize);
    write(path, vocabSize, ids.slice(0, 1), [], ids.slice(1));
    const bytes = readFileSync(path);
    t.equal(bytes.length, 1024 + 5000 * width);
    t.strictSame(
      [0, 4, 8].map((at) => bytes.readInt32LE(at)),
      [magic, version, 5000],
    );
    const file = new TokenFile(path);
    t.equal(file.vocabSize, vocabSize);
    file.verify();
    const out = new Int32Array(5002);
    file.readInto(0, 5000, out, 1);
    t.strictSame([...out], [0, ...ids, 0]);
    file.close();
    file.close();
  });
}

t.test('a file of llm.c is read; it does not say its vocabulary', async (t) => {
  const header = Buffer.alloc(1024);
  header.writeInt32LE(20240520, 0);
  header.writeInt32LE(1, 4);
  header.writeInt32LE(3, 8);
  const folder = t.testdir({ 'val.bin': Buffer.concat([header, Buffer.from(Uint16Array.of(5, 50256, 7).buffer)]) });
  const path = join(folder, 'val.bin');
  t.match(await failure(() => new TokenFile(path)), /^BAD_ARGUMENT: .*does not say its vocabulary size/);
  const file = new TokenFile(path, 50257);
  const out = new Int32Array(3);
  file.readInto(0, 3, out, 0);
  t.strictSame([...out], [5, 50256, 7]);
  file.verify();
  file.close();
});

t.test('each kind of damage is seen', async (t) => {
  const folder = t.testdir({ 'text.bin': 'no tokens', 'short.bin': '' });
  const at = (name: string): string => join(folder, name);
  for (const name of ['cut.bin', 'longer.bin', 'flipped.bin'])
    write(
      at(name),
      100,
      Array.from({ length: 50 }, (_, i) => i),
    );
  truncateSync(at('cut.bin'), 1024 + 99);
  writeFileSync(at('longer.bin'), Buffer.alloc(3), { flag: 'a' });
  const flipped = readFileSync(at('flipped.bin'));
  flipped[1030]! ^= 1;
  writeFileSync(at('flipped.bin'), flipped);
  const unfinished = new TokenFileWriter(at('unfinished.bin'), 100);
  unfinished.append(Uint32Array.of(1, 2, 3));
  unfinished.abandon();

  const open = (name: string) => failure(() => new TokenFile(at(name)).close());
  t.match(await open('missing.bin'), /^BAD_CORPUS: .*cannot be opened/);
  t.match(await open('text.bin'), /^BAD_CORPUS: .*is not a token file, or its writing was cut off/);
  t.match(await open('short.bin'), /^BAD_CORPUS: .*is not a token file/);
  t.match(await open('unfinished.bin'), /^BAD_CORPUS: .*its writing was cut off/);
  t.match(await open('cut.bin'), /^BAD_CORPUS: .*should have 1124 bytes for 50 tokens and has 1123: it was cut off/);
  t.match(await open('longer.bin'), /^BAD_CORPUS: .*should have 1124 bytes for 50 tokens and has 1127/);
  t.equal(await open('flipped.bin'), '', 'opening does not read all of it');
  const file = new TokenFile(at('flipped.bin'));
  t.match(await failure(() => file.verify()), /^BAD_CORPUS: .*its SHA-256 is not the one in its header/);
  truncateSync(at('flipped.bin'), 1024 + 20);
  t.match(
    await failure(() => file.readInto(0, 50, new Int32Array(50), 0)),
    /^BAD_CORPUS: .*ended at token 10 while it was read/,
  );
  file.close();
});

t.test('a file that is closed says so', async (t) => {
  const path = join(t.testdir(), 'tokens.bin');
  write(path, 1000, [1, 2, 3]);
  const file = new TokenFile(path);
  file.close();
  file.close();
  t.throws(() => file.readInto(0, 1, new Int32Array(1), 0), { code: 'CLOSED', message: /corpus is closed/ });
});

t.test('ranges of a file read as one row, across every seam', async (t) => {
  const path = join(t.testdir(), 'tokens.bin');
  write(
    path,
    1000,
    Array.from({ length: 100 }, (_, i) => i),
  );
  const file = new TokenFile(path);
  const starts = [3, 10, 11, 90];
  const ends = [5, 11, 40, 100];
  const expected = starts.flatMap((start, i) => Array.from({ length: ends[i]! - start }, (_, k) => start + k));
  const source = rangeSource(file, {
    starts: Float64Array.from(starts),
    ends: Float64Array.from(ends),
    tokenCount: expected.length,
  });
  let same = true;
  for (let offset = 0; offset <= expected.length; offset++) {
    for (let length = 0; offset + length <= expected.length; length++) {
      same &&= source.read(offset, length).join() === expected.slice(offset, offset + length).join();
    }
  }
  t.ok(same);
  t.equal(source.vocabSize, 1000);
  for (const [offset, length] of [
    [-1, 2],
    [40, 3],
    [0, 43],
    [0.5, 1],
  ] as const) {
    t.match(
      await failure(() => source.read(offset, length)),
      /^BAD_ARGUMENT: Tokens \[.*are not inside the source, which has 42/,
    );
  }
  t.match(await failure(() => arraySource([1, 2], 3).read(1, 2)), /^BAD_ARGUMENT: /);
  file.close();
});

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { AskedThread } from '../../../lib/data/read/asked-thread.js';
import { type ParquetContents, ParquetReader } from '../../../lib/data/read/formats/parquet-reader.js';
import { failure } from '../support.js';

const fixture = readFileSync(join(import.meta.dirname, '../../fixtures/corpora/gzip-v2.parquet'));
const patient = { limitMs: 60e3 };

function started(t: Test, name: string, contents: Uint8Array): AskedThread<unknown> {
  const path = join(t.testdir({ [name]: Buffer.from(contents) }), name);
  const thread = new AskedThread('formats/parquet-worker', { path, sizeBytes: contents.length, field: 'text' });
  t.teardown(() => thread.end());
  return thread;
}

t.test('questions are answered, and errors come as they were thrown', async (t) => {
  const thread = started(t, 'whole.parquet', fixture);
  const answer = await thread.ask('contents', patient);
  t.match(answer, { kind: 'value', value: { column: 'text', groups: [{ rows: 6 }] } });
  const { groups } = (answer as { value: ParquetContents }).value;
  t.equal(groups.length, 1);
  t.match(await thread.ask({ group: 0 }, patient), { kind: 'value', value: { length: 6 } });
  t.match(await failure(() => thread.ask({ group: 7 }, patient)), /^INTERNAL: /);
  const cut = started(t, 'cut.parquet', fixture.subarray(0, 700));
  t.match(await failure(() => cut.ask('contents', patient)), /^BAD_CORPUS: .*cut\.parquet starts as a Parquet file/);
});

t.test('a footer that contradicts itself is an error of the file', async (t) => {
  const whole = readFileSync(join(import.meta.dirname, '../../fixtures/corpora/lz4.parquet'));
  const path = join(t.testdir({ 'x.parquet': '' }), 'x.parquet');
  const messages: string[] = [];
  // A byte of the schema: fewer, or more, columns than there are.
  for (let bit = 0; bit < 8; bit++) {
    const bytes = Buffer.from(whole);
    bytes[952]! ^= 1 << bit;
    writeFileSync(path, bytes);
    messages.push(await failure(async () => (await ParquetReader.open(path, bytes.length, 'text')).close()));
  }
  t.ok(messages.some((message) => message.includes('contradicts itself')));
  for (const message of messages) t.match(message, /^(BAD_CORPUS: |$)/);
});

t.test('what does not end is late, and ended; the signal is heard meanwhile', async (t) => {
  // The header of the page is gone, and the library reads the same byte endlessly.
  const damaged = Buffer.from(fixture);
  damaged.fill(0, 384, 524);
  const thread = started(t, 'damaged.parquet', damaged);
  t.match(await thread.ask('contents', patient), { kind: 'value' });
  t.same(await thread.ask({ group: 0 }, { limitMs: 200 }), { kind: 'late' });
  const controller = new AbortController();
  setTimeout(() => controller.abort(), 50);
  t.match(await failure(() => thread.ask({ group: 0 }, { ...patient, signal: controller.signal })), /^ABORT_ERR/);
  await thread.end();
  t.match(await thread.ask('contents', patient), { kind: 'ended' });
  t.match(await failure(() => thread.ask('contents', { ...patient, signal: controller.signal })), /^ABORT_ERR/);
});

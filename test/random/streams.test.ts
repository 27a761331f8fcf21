import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { families, orderStream, uniformStreams } from '../../lib/random/streams.js';

t.test('streams differ', (t) => {
  for (const list of [families, uniformStreams]) {
    const ids = Object.values(list);
    t.equal(new Set(ids).size, ids.length);
    t.ok(ids.every((id) => Number.isInteger(id) && id >= 0 && id <= 0xffff_ffff));
  }
  const { sampling, ...others } = uniformStreams;
  const samples = 2 ** 20; // of one prompt
  t.notOk(Object.values(others).some((id) => id >= sampling && id < sampling + samples));
  // Dropout's third and fourth words, and the fourth of block orders, are small.
  t.ok([...Object.values(families), orderStream].every((id) => id > 2 ** 30));
  t.end();
});

t.test('no stream is declared elsewhere', (t) => {
  const root = join(import.meta.dirname, '../../lib');
  const files = readdirSync(root, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.ts'));
  const own = files.filter((file) => /Stream = (0x|\d)/.test(readFileSync(join(root, file), 'utf8')));
  t.same(own, ['random/streams.ts']);
  t.end();
});

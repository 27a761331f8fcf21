import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { jsonObject, readJsonObject } from '../../lib/fs/json-object.js';

const read = (content: string | Buffer) => () => jsonObject(Buffer.from(content as string), 'a.json', 'BAD_CORPUS');

t.test('a byte order mark is dropped', async (t) => {
  t.same(read('\ufeff{"a": "é"}')(), { a: 'é' });
});

const refused: readonly (readonly [string, string | Buffer, RegExp])[] = [
  ['a text that is cut off', '{"a": 1', /^a\.json is not JSON: /],
  ['an empty file', '', /^a\.json is not JSON: /],
  ['UTF-16', Buffer.from('\ufeff{}', 'utf16le'), /^a\.json is UTF-16, expected UTF-8: save it as UTF-8\.$/],
  ['Latin-1', Buffer.from('{"a": "\xe9"}', 'latin1'), /^a\.json is not UTF-8, as JSON has to be\.$/],
  [
    'a Git LFS pointer',
    'version https://git-lfs.github.com/spec/v1\n',
    /^a\.json is a Git LFS pointer, .*git lfs pull/,
  ],
  ['null', 'null', /^a\.json should hold a JSON object, and holds null\.$/],
  ['a list', '[1]', /and holds an array\.$/],
  ['a number', '3', /and holds a number\.$/],
];
for (const [name, content, message] of refused) {
  t.test(`${name} is refused`, async (t) => {
    t.throws(read(content), { name: 'ApolloError', code: 'BAD_CORPUS', message });
  });
}

t.test('a file that is read', async (t) => {
  const folder = t.testdir({ 'a.json': '{"a": 1}' });
  t.same(await readJsonObject(join(folder, 'a.json'), 'BAD_CHECKPOINT'), { a: 1 });
  await writeFile(join(folder, 'b.json'), '{');
  await t.rejects(readJsonObject(join(folder, 'b.json'), 'BAD_CHECKPOINT'), { message: /b\.json is not JSON: / });
  await t.rejects(readJsonObject(join(folder, 'c.json'), 'BAD_CHECKPOINT'), {
    code: 'BAD_CHECKPOINT',
    message: /c\.json cannot be read: there is no such file or folder \(ENOENT\)\.$/,
  });
});

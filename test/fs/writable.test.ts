/** The folder of results is checked before they are measured. */
import { readdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { checkWritable } from '../../lib/fs/writable.js';

t.test('a folder that is there, or can be made, is fine, and stays as it is', async (t) => {
  const folder = t.testdir({});
  await checkWritable(folder, 'The results');
  await checkWritable(join(folder, 'a', 'b c'), 'The results');
  await checkWritable('no-such-folder', 'The results');
  t.same(readdirSync(folder), []);
});

t.test('a file in its place or above it, or a loop of links, is refused by name', async (t) => {
  const folder = t.testdir({ file: '' });
  const file = join(folder, 'file');
  for (const path of [file, join(file, 'a'), join(file, 'a', 'b')]) {
    await t.rejects(checkWritable(path, 'The results'), {
      code: 'FILE_SYSTEM',
      message: `The results cannot be written: ${path}: a file stands where a folder is needed (ENOTDIR)`,
    });
  }
  symlinkSync('loop', join(folder, 'loop'));
  await t.rejects(checkWritable(join(folder, 'loop'), 'The results'), { code: 'FILE_SYSTEM', message: /\(ELOOP\)/ });
});

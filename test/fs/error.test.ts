import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { ApolloError } from '../../lib/errors.js';
import { fileError, inWords, isSystemError, writing } from '../../lib/fs/error.js';

const systemError = (code: string, path?: string) =>
  Object.assign(new Error(`${code}: as the system says it`), {
    code,
    errno: -1,
    syscall: 'write',
    ...(path && { path }),
  });

t.test(
  'an error of the file system names what was written, the path, the reason in words and what to do',
  async (t) => {
    const codes: Record<string, RegExp> = {
      ENOSPC: /no space is left on the disk \(ENOSPC\)\. Free space/,
      EDQUOT: /the disk quota is used up \(EDQUOT\)/,
      EROFS: /the file system is read-only \(EROFS\)/,
      EACCES: /permission is denied \(EACCES\)/,
      EISDIR: /a folder stands where a file is needed \(EISDIR\)/,
      ENOTDIR: /a file stands where a folder is needed \(ENOTDIR\)/,
      EIO: /the disk reports an input\/output error \(EIO\)/,
      EMFILE: /too many open files \(EMFILE\)/,
      EFBIG: /larger than is allowed there \(EFBIG\)/,
    };
    for (const [code, words] of Object.entries(codes)) {
      const error = fileError(systemError(code), 'The checkpoint of step 20', 'runs/a') as ApolloError;
      t.ok(error instanceof ApolloError, code);
      t.equal(error.code, 'FILE_SYSTEM');
      t.match(error.message, /^The checkpoint of step 20 cannot be written: runs\/a: /);
      t.match(error.message, words);
    }
    t.match(inWords(systemError('EUNKNOWN1')), /as the system says it/, 'a code without words keeps its message');
    t.match(
      (fileError(systemError('ENOENT'), 'The run', '') as Error).message,
      /the name of the file or folder is empty/,
    );
  },
);

t.test('other errors stay as they are', async (t) => {
  const defect = new TypeError('x is not a function');
  t.equal(fileError(defect, 'The run', 'a'), defect);
  const known = new ApolloError('BAD_CONFIG', 'wrong');
  t.equal(fileError(known, 'The run', 'a'), known);
  t.notOk(isSystemError(Object.assign(new Error('x'), { code: 'ERR_INVALID_ARG_TYPE' })));
  const missing = join(t.testdir(), 'missing');
  await t.rejects(
    writing('The text', missing, () => readFile(missing)),
    { code: 'FILE_SYSTEM', message: /missing: there is no such file or folder \(ENOENT\)/ },
  );
});

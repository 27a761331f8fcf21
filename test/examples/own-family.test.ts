import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import t from 'tap';
import { typescript } from '../typescript.js';

t.test('a family from outside the package trains with Apollo, is saved and opened again', async (t) => {
  const script = readFileSync(new URL('../../examples/own-family/family.mjs', import.meta.url), 'utf8');
  const folder = mkdtempSync(fileURLToPath(new URL('./own-family-', import.meta.url)));
  t.teardown(() => rmSync(folder, { recursive: true }));
  // From source instead of from the installed package; nothing else is changed.
  writeFileSync(join(folder, 'family.ts'), script);
  const args = [...typescript, join(folder, 'family.ts'), join(folder, 'checkpoints')];
  const { stdout } = await promisify(execFile)(process.execPath, args);
  t.match(stdout, /^step \d+: growth from \d to 4 layers$/m);
  const [, loss] = /^step 240: loss (\d\.\d+) at depth \d$/m.exec(stdout) ?? [];
  t.ok(Number(loss) < 1, `a loss of ${loss}, far below ln 10`);
  t.match(stdout, /step-00000240: bare, 4 layers x 32$/m);
});

import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import t from 'tap';
import { typescript } from '../typescript.js';

t.test('the example compares three methods on batches and an objective of its own and prints the table', async (t) => {
  const script = readFileSync(new URL('../../examples/compare/methods.mjs', import.meta.url), 'utf8');
  t.ok(script.trimEnd().split('\n').length <= 40, 'forty lines at most');
  const folder = mkdtempSync(fileURLToPath(new URL('./compare-', import.meta.url)));
  t.teardown(() => rmSync(folder, { recursive: true }));
  // From source instead of from the installed package; nothing else is changed.
  writeFileSync(join(folder, 'methods.ts'), script);
  const out = join(folder, 'out');
  const { stdout } = await promisify(execFile)(process.execPath, [...typescript, join(folder, 'methods.ts'), out]);
  t.match(stdout, /^scratch \(reference\) +\d\.\d+/m);
  t.match(stdout, /^auto +\d\.\d+/m);
  t.match(stdout, /^stackbert +\d\.\d+/m);
  t.ok(existsSync(join(out, 'results.json')));
});

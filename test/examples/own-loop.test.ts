import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import t from 'tap';
import { typescript } from '../typescript.js';

t.test('the example trains step by step inside a loop of its own', async (t) => {
  const script = readFileSync(new URL('../../examples/own-loop/loop.mjs', import.meta.url), 'utf8');
  t.ok(script.trimEnd().split('\n').length <= 40, 'forty lines at most');
  const folder = mkdtempSync(fileURLToPath(new URL('./own-loop-', import.meta.url)));
  t.teardown(() => rmSync(folder, { recursive: true }));
  // From source instead of from the installed package; nothing else is changed.
  writeFileSync(join(folder, 'loop.ts'), script);
  const { stdout } = await promisify(execFile)(process.execPath, [...typescript, join(folder, 'loop.ts')]);
  t.match(stdout, /^step \d+: growth from 1 to 2 layers$/m);
  t.match(stdout, /^step \d+: growth from 2 to 4 layers$/m);
  t.match(stdout, /^step \d+: loss 0\.\d+, now 4 strides$/m);
  t.match(stdout, /^trained 240 steps, 4 layers, loss [01]\.\d+$/m);
});

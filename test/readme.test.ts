// What the README shows is true: its program runs, its commands and files exist.
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { run } from '../lib/cli/run.js';
import { engineMissing, memoryIo } from './cli/support.js';

const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8');

t.test('every command and option in the README exists', async (t) => {
  const lines = [...readme.matchAll(/^npx apollo-lm (\w+)(.*)$/gm)];
  t.ok(lines.length >= 5);
  for (const [line, command, rest] of lines) {
    const io = memoryIo();
    t.equal(await run([command!, '--help'], io), 0, line);
    for (const [flag] of rest!.replace(/#.*/, '').matchAll(/--[a-z-]+/g))
      t.ok(io.out().includes(`${flag} `), `${command} ${flag}`);
  }
});

t.test('every file it links to exists', async (t) => {
  const links = [...readme.matchAll(/\]\((?!https?:)([^)]+)\)/g)].map(([, path]) => path!);
  t.ok(links.length > 4);
  for (const path of links) t.ok(existsSync(new URL(`../${path}`, import.meta.url)), path);
});

t.test('its program trains', { skip: engineMissing() }, async (t) => {
  const [, code] = /```ts\n(.*?)```/s.exec(readme)!;
  const folder = mkdtempSync(fileURLToPath(new URL('./readme-', import.meta.url)));
  t.teardown(() => rmSync(folder, { recursive: true }));
  // The same on a short text, for a few steps on one thread, from source and with its files in the test's folder.
  const text = Array.from({ length: 9000 }, (_, i) => `w${(i * i) % 97}`).join(' ');
  writeFileSync(join(folder, 'text.txt'), text);
  const changes: [string, string][] = [
    ["'apollo-lm'", "'../../lib/index.js'"],
    ["'books/*.txt'", `'${folder}/text.txt'`],
    ["'.cache'", `'${folder}/cache'`],
    ["'runs/mine'", `'${folder}/run'`],
    ['steps: 1000, batch: 16, seq: 128', 'steps: 2, batch: 1, seq: 16'],
    ['openDevice()', 'openDevice({ threads: 1 })'],
  ];
  const body = changes.reduce((all, [from, to]) => {
    t.ok(all.includes(from), from);
    return all.replace(from, to);
  }, code!);
  writeFileSync(join(folder, 'program.ts'), body);
  const printed: unknown[][] = [];
  const print = console.log;
  console.log = (...values: unknown[]) => printed.push(values);
  try {
    await import(join(folder, 'program.ts'));
  } finally {
    console.log = print;
  }
  t.same(
    printed.map(([step]) => step),
    [0, 2],
  );
  t.ok(printed.every(([, loss, flops]) => Number.isFinite(loss) && Number.isFinite(flops)));
  t.ok(existsSync(join(folder, 'run/step-00000002/model.safetensors')));
});

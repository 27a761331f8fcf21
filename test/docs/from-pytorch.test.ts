// The program of docs/from-pytorch.md runs as printed, and what its table names exists.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { run } from '../../lib/cli/run.js';
import * as engine from '../../lib/engine/index.js';
import * as apollo from '../../lib/index.js';
import * as nn from '../../lib/nn/index.js';
import { engineMissing, memoryIo } from '../cli/support.js';

const page = readFileSync(new URL('../../docs/from-pytorch.md', import.meta.url), 'utf8');

t.test('its blocks are one program', { skip: engineMissing() }, async (t) => {
  const folder = mkdtempSync(fileURLToPath(new URL('./example-', import.meta.url)));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const sentence = 'The cat sat on the mat, and the dog sat on the log. ';
  writeFileSync(join(folder, 'text.txt'), Array.from({ length: 400 }, (_, i) => sentence + ((i * i) % 97)).join('\n'));

  const blocks = [...page.matchAll(/```ts\n([\s\S]*?)```/g)].map(([, code]) => code!);
  t.equal(blocks.length, 4);
  const replaced: [string, string][] = [
    ['books/*.txt', `${folder}/text.txt`],
    ["'.cache'", `'${folder}/cache'`],
    ["'runs/", `'${folder}/`],
    ['openDevice()', 'openDevice({ threads: 1 })'],
  ];
  const program = replaced.reduce((code, [from, to]) => {
    t.ok(code.includes(from), from);
    return code.replaceAll(from, to);
  }, blocks.join('\n'));
  writeFileSync(join(folder, 'program.ts'), `${program}\nexport { grad, losses, text };\n`);
  const print = console.log;
  console.log = () => {};
  let shown: { grad: Float32Array; losses: number[]; text: string };
  try {
    shown = (await import(join(folder, 'program.ts'))) as typeof shown;
  } finally {
    console.log = print;
  }
  t.same([...shown.grad], [2, 4, 6]);
  t.equal(shown.losses.length, 20);
  t.ok(shown.losses.at(-1)! < shown.losses[0]! - 0.3, `loss ${shown.losses[0]} -> ${shown.losses.at(-1)}`);
  t.match(shown.text, /^The.+/s);
});

t.test('calls, options and flags of the table exist', async (t) => {
  const table = page.slice(page.indexOf('## Their call'), page.indexOf('## A computation'));
  const ours = [...table.matchAll(/^\| .* \| (.*) \|$/gm)].map(([, cell]) => cell!).join('\n');
  const calls = [...ours.matchAll(/\b([a-zA-Z]+)\(/g)]
    .map(([, name]) => name!)
    .filter((name) => !['input', 'step'].includes(name));
  t.ok(calls.length >= 12);
  const known = { ...apollo, ...engine, ...nn };
  t.same(
    calls.filter((name) => !(name in known)),
    [],
  );
  const help = memoryIo();
  for (const command of ['train', 'finetune', 'export', 'generate', 'fill']) await run([command, '--help'], help);
  for (const [flag] of ours.matchAll(/--[a-z][a-z-]+/g)) t.ok(help.out().includes(`${flag} `), flag);
});

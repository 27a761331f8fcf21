// What the README shows is true: its program runs, its commands and files exist.
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { run } from '../lib/cli/run.js';
import { engineMissing, memoryIo } from './cli/support.js';

const textOf = (page: string): string => readFileSync(new URL(`../${page}`, import.meta.url), 'utf8');
const readme = textOf('README.md');

t.test('every command and option in the README and the pages of docs exists', async (t) => {
  const pagesIn = (folder: string) =>
    readdirSync(new URL(`../${folder}`, import.meta.url))
      .filter((name) => name.endsWith('.md'))
      .map((name) => `${folder}/${name}`);
  const pages = readme + [...pagesIn('docs'), ...pagesIn('docs/methods')].map(textOf).join('\n');
  const lines = [...pages.matchAll(/^npx apollo-lm (\w+)((?:[^\n\\]|\\\n)*)$/gm)];
  t.ok(lines.length >= 50, `${lines.length} lines`);
  for (const [line, command, rest] of lines) {
    const io = memoryIo();
    t.equal(await run([command!, '--help'], io), 0, line);
    for (const [flag] of rest!.replace(/#.*/, '').matchAll(/--[a-z-]+/g))
      t.ok(io.out().includes(`${flag} `), `${command} ${flag}`);
  }
});

t.test('every command line has its line on docs/command-line.md', async (t) => {
  const help = memoryIo();
  await run(['--help'], help);
  const commands = [...help.out().matchAll(/^ {2}(\w+) (?:\[|<)/gm)]
    .map(([, name]) => name!)
    .filter((name) => name !== 'help');
  t.ok(commands.length > 10);
  const page = textOf('docs/command-line.md');
  t.same(
    commands.filter((name) => !page.includes(`npx apollo-lm ${name} `)),
    [],
  );
});

t.test(
  'the first screen: a picture, a number with its command, the install line, ten lines of code, the table',
  async (t) => {
    const [, picture] = /^!\[[^\]]+\]\(([^)]+)\)$/m.exec(readme)!;
    t.ok(existsSync(new URL(`../${picture}`, import.meta.url)));
    const table = readFileSync(
      new URL(`../${picture!.replace('loss-flops.svg', 'table.md')}`, import.meta.url),
      'utf8',
    );
    const [, flops, time] = /(\d+\.\d %) fewer FLOPs and (\d+\.\d %) less time/.exec(readme)!;
    t.ok(table.includes(`${flops} fewer FLOPs and ${time} less time`), 'the number is that of the picture');
    const [, code] = /```ts\n(.*?)```/s.exec(readme)!;
    t.ok(code!.split('\n').filter((line) => line !== '').length <= 10);
    const order = ['\n![', '**32', 'npm install apollo-lm', '```ts', '## Which method for what', '## More'].map(
      (part) => readme.indexOf(part),
    );
    t.same(
      order,
      [...order].sort((a, b) => a - b),
    );
    t.ok(order[0]! > 0);
  },
);

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

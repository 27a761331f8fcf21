// What docs/data.md shows works as printed, and names the formats and options that there are.
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { run } from '../../lib/cli/run.js';
import { loadSettings } from '../../lib/cli/settings/config.js';
import { formatNames } from '../../lib/data/read/formats/index.js';
import { memoryIo } from '../cli/support.js';

const page = new URL('../../docs/data.md', import.meta.url);
const text = readFileSync(page, 'utf8');
const block = (name: string): string =>
  new RegExp(`<!-- test: ${name} -->\\n\`\`\`\\w+\\n([\\s\\S]*?)\`\`\``).exec(text)![1]!;

t.test('the program', async (t) => {
  const folder = mkdtempSync(fileURLToPath(new URL('./example-', import.meta.url)));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const local = block('program')
    .replace("'apollo-lm'", "'../../../lib/data/index.js'")
    .replace("'.cache/apollo-lm'", JSON.stringify(join(folder, 'cache')));
  writeFileSync(`${folder}/example.ts`, `${local}\nexport { tokens };\n`);
  const lines: unknown[][] = [];
  const print = console.log;
  console.log = (...values) => lines.push(values);
  const { tokens } = (await import(`${folder}/example.ts`)) as { tokens: Int32Array };
  console.log = print;
  t.equal(tokens.length, 128);
  t.strictSame(
    lines.map(([name, share, documents]) => [name, share, documents]),
    [
      ['data/sample/conrad-typhoon.txt.gz', 0.667, 1],
      ['data/sample/twain-tom-sawyer-detective.txt.gz', 0.333, 1],
    ],
  );
});

t.test('the settings', async (t) => {
  const config = join(t.testdir({ 'run.json': block('settings') }), 'run.json');
  const { data } = loadSettings({ config, flags: {} });
  t.strictSame(
    data!.map((input) => typeof input !== 'string' && [input.weight, input.field]),
    [
      [0.7, undefined],
      [0.3, 'body'],
    ],
  );
});

t.test('formats and options are those there are', async (t) => {
  const table = text.slice(text.indexOf('## Formats'), text.indexOf('## Files'));
  t.strictSame(
    [...table.matchAll(/^\| `(\w+)` \|/gm)].map(([, name]) => name),
    formatNames,
  );
  const help = memoryIo();
  await run(['prepare', '--help'], help);
  for (const [option] of text.matchAll(/--[a-z]+(?:-[a-z]+)*/g)) {
    if (option === '--long' || option === '--steps') continue; // of zstd and of train
    t.ok(help.out().includes(option), `${option} is an option of prepare`);
  }
});

t.test('every file it links to exists', async (t) => {
  for (const [, path] of text.matchAll(/\]\((?!https?:)([^)]+)\)/g)) t.ok(existsSync(new URL(path!, page)), path!);
  for (const [, path] of text.matchAll(/`(lib\/[\w/]+)`/g)) t.ok(existsSync(new URL(`../${path}`, page)), path!);
});

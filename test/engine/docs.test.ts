// The example in docs/engine.md runs as printed and learns.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import t from 'tap';

t.test('the example of docs/engine.md fits its line', async (t) => {
  const page = readFileSync(new URL('../../docs/engine.md', import.meta.url), 'utf8');
  const [, code] = /<!-- test:.*?-->\n```ts\n(.*?)```/s.exec(page)!;
  const folder = mkdtempSync(fileURLToPath(new URL('./example-', import.meta.url)));
  t.teardown(() => rmSync(folder, { recursive: true }));
  t.match(code, /from 'apollo-lm\/engine'/, 'the example imports the package by its name');
  const source = `${code}\nexport { losses, names };\n`;
  writeFileSync(`${folder}/example.ts`, source);
  const print = console.log;
  console.log = () => {};
  const { losses, names } = (await import(`${folder}/example.ts`)) as { losses: number[]; names: string[] };
  console.log = print;
  t.strictSame(names, ['gate', 'up', 'down']);
  t.ok(losses.at(-1)! < losses[0]! / 50, `loss ${losses[0]} -> ${losses.at(-1)}`);
});

// Documentation and messages use one name per concept: the synonyms that docs/glossary.md excludes occur nowhere.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import ts from 'typescript-5';
import { pages, proseOf, root, textOf } from './pages.js';

/** The last cells of the glossary's tables. */
const excluded = [...textOf('docs/glossary.md').matchAll(/^\| \*\*.*\| ([^|]*) \|$/gm)]
  .flatMap(([, cell]) => cell!.split(','))
  .map((word) => word.trim())
  .filter((word) => word !== '');

const pattern = new RegExp(`(?<![\\w-])(${excluded.join('|').replaceAll(' ', '\\s+')})(?![\\w-])`, 'gi');

/** Titles of papers. */
const names = [/BERT Training Speedup/g];

/** "file:line: word" for each excluded word of a text. */
function found(file: string, text: string, firstLine = 1): string[] {
  const plain = names.reduce((all, name) => all.replace(name, 'a title'), text);
  return [...plain.matchAll(pattern)].map(({ 0: word, index }) => {
    const line = firstLine + plain.slice(0, index).split('\n').length - 1;
    return `${file}:${line}: ${word.replace(/\s+/g, ' ')}`;
  });
}

/** Texts of a source file that people may read: literals with a blank in them. */
function messagesOf(file: string): { text: string; line: number }[] {
  const source = ts.createSourceFile(file, readFileSync(join(root, file), 'utf8'), ts.ScriptTarget.Latest);
  const texts: { text: string; line: number }[] = [];
  const visit = (node: ts.Node): void => {
    const isText = ts.isStringLiteralLike(node) || ts.isTemplateHead(node) || ts.isTemplateMiddleOrTemplateTail(node);
    if (isText && node.text.includes(' '))
      texts.push({ text: node.text, line: source.getLineAndCharacterOfPosition(node.getStart(source)).line + 1 });
    ts.forEachChild(node, visit);
  };
  visit(source);
  return texts;
}

const sources = ['lib', 'bench'].flatMap((folder) =>
  readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => join(folder, name)),
);

t.test('the glossary excludes words', async (t) => {
  t.ok(excluded.length > 25, `${excluded.length} words`);
  t.ok(excluded.includes('anew') && excluded.includes('switch'));
  t.same(found('x', 'It begins\nwith a switch.'), ['x:1: begins with', 'x:2: switch']);
});

t.test('pages', async (t) => {
  t.ok(pages.length > 50);
  const read = pages.filter((page) => page !== 'docs/glossary.md');
  t.same(
    read.flatMap((page) => found(page, proseOf(page))),
    [],
  );
});

t.test('messages', async (t) => {
  const texts = sources.flatMap((file) => messagesOf(file).map((message) => ({ file, ...message })));
  t.ok(texts.length > 2000, `${texts.length} texts`);
  t.same(
    texts.flatMap(({ file, text, line }) => found(file, text, line)),
    [],
  );
});

t.test('the help of every command', async (t) => {
  const { memoryIo } = await import('../cli/support.js');
  const { run } = await import('../../lib/cli/run.js');
  const all = memoryIo();
  await run(['--help'], all);
  const commands = [...all.out().matchAll(/^ {2}(\w+) (?:\[|<)/gm)].map(([, name]) => name!);
  for (const command of commands) await run([command, '--help'], all);
  t.ok(commands.length > 10);
  t.same(found('help', all.out()), []);
});

/** The rooms of lib know of each other in one direction (docs/architecture.md), and no files form a circle at run time. */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import t from 'tap';
import ts from 'typescript-5';

const root = join(import.meta.dirname, '../lib');

/** Imports that are allowed for each room, in addition to itself and the files of lib; `nn type`: types of nn alone. */
const allowed: Readonly<Record<string, readonly string[]>> = {
  engine: [],
  dist: ['engine'],
  nn: ['engine'],
  random: [],
  growth: ['random'],
  models: ['engine', 'nn', 'growth', 'random'],
  methods: ['engine', 'nn type', 'growth', 'random', 'models'],
  train: ['dist', 'engine', 'nn type', 'growth', 'random', 'models', 'methods', 'data', 'fs', 'interop'],
  eval: ['engine', 'nn', 'growth', 'random', 'models', 'methods', 'train', 'data', 'fs', 'interop'],
  report: ['fs'],
  compare: ['dist', 'engine type', 'models', 'methods', 'train', 'report', 'fs'],
  cli: ['compare', 'dist', 'engine', 'growth', 'models', 'methods', 'train', 'eval', 'report', 'data', 'fs', 'interop'],
  fs: [],
  data: ['fs', 'random', 'growth'],
  // Folders of a model in other formats: its configuration, its tokenizer, its tensors.
  interop: ['fs', 'data', 'engine', 'models', 'nn type'],
};

interface Import {
  readonly from: string;
  readonly to: string;
  readonly typeOnly: boolean;
}

const named = (elements: readonly { readonly isTypeOnly: boolean }[]): boolean =>
  elements.length > 0 && elements.every(({ isTypeOnly }) => isTypeOnly);

function isTypeOnly(statement: ts.ImportDeclaration | ts.ExportDeclaration): boolean {
  if (ts.isExportDeclaration(statement)) {
    const { exportClause } = statement;
    return statement.isTypeOnly || (!!exportClause && ts.isNamedExports(exportClause) && named(exportClause.elements));
  }
  const clause = statement.importClause;
  if (!clause) return false; // for its effect
  const bindings = clause.namedBindings;
  return clause.isTypeOnly || (!clause.name && !!bindings && ts.isNamedImports(bindings) && named(bindings.elements));
}

/** The imports and re-exports of a file of lib from others. */
function importsOf(file: string): Import[] {
  const source = ts.createSourceFile(file, readFileSync(join(root, file), 'utf8'), ts.ScriptTarget.Latest);
  return source.statements.flatMap((statement) => {
    if (!ts.isImportDeclaration(statement) && !ts.isExportDeclaration(statement)) return [];
    const specifier = statement.moduleSpecifier && (statement.moduleSpecifier as ts.StringLiteral).text;
    if (!specifier?.startsWith('.')) return [];
    const to = relative(root, join(root, dirname(file), specifier)).replace(/\.js$/, '.ts');
    return [{ from: file, to, typeOnly: isTypeOnly(statement) }];
  });
}

const files = readdirSync(root, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.ts'));
const imports = files.flatMap(importsOf);
const roomOf = (file: string): string | undefined => (file.includes('/') ? file.split('/')[0] : undefined);

t.test('imports never run upwards', (t) => {
  const rooms = new Set(files.flatMap((file) => roomOf(file) ?? []));
  t.same([...rooms].sort(), Object.keys(allowed).sort(), 'every room has its line');

  const wrong = imports.filter(({ from, to, typeOnly }) => {
    const [own, other] = [roomOf(from), roomOf(to)];
    if (own === other) return false;
    if (own === undefined) return from !== 'index.ts' && other !== undefined; // helpers know no room
    if (other === undefined) return to === 'index.ts';
    const list = allowed[own] ?? [];
    return !list.includes(other) && !(typeOnly && list.includes(`${other} type`));
  });
  t.same(
    wrong.map(({ from, to }) => `${from} -> ${to}`),
    [],
  );
  t.ok(imports.length > 500, 'imports were found');
  t.end();
});

t.test('no circle at run time', (t) => {
  const next = new Map(files.map((file) => [file, [] as string[]]));
  for (const { from, to, typeOnly } of imports) if (!typeOnly) next.get(from)?.push(to);
  const circles: string[] = [];
  const done = new Set<string>();
  const visit = (file: string, path: readonly string[]): void => {
    const start = path.indexOf(file);
    if (start >= 0) circles.push([...path.slice(start), file].join(' -> '));
    if (start >= 0 || done.has(file)) return;
    for (const other of next.get(file) ?? []) visit(other, [...path, file]);
    done.add(file);
  };
  for (const file of files) visit(file, []);
  t.same(circles, []);
  t.end();
});

/** The same without comments, in which kinds and names of layers are spoken of. */
const sourceOf = (file: string): string => {
  const text = readFileSync(join(root, file), 'utf8');
  return text.replace(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm, '');
};

t.test('what a model is, and what names of its parameters say, is asked in models alone', (t) => {
  const outside = files.filter((file) => roomOf(file) !== 'models');
  const patterns = {
    'a comparison with a kind of model': /\bkind\s*[!=]==?\s*['"](bert|gpt|llama)['"]|case ['"](bert|gpt|llama)['"]:/,
    "a layer's number read out of a name": /layer\\\.\(/,
  };
  for (const [what, pattern] of Object.entries(patterns)) {
    t.same(
      outside.filter((file) => pattern.test(sourceOf(file))),
      [],
      what,
    );
  }
  t.ok(patterns["a layer's number read out of a name"].test(sourceOf('models/layer-names.ts')), 'where it is read');
  t.end();
});

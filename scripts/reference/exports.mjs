// What the package exports, by room, with what its docstrings say.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = resolve(dirname(fileURLToPath(import.meta.url)), '../..');
// TypeScript 7 is a program without functions to call.
export const ts = createRequire(import.meta.url)('typescript-5');

const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));

/** What can be imported: specifier and source, the package itself first. */
export const modules = Object.entries(manifest.exports)
  .filter(([, target]) => typeof target === 'object')
  .map(([subpath, target]) => ({
    specifier: subpath.replace('.', manifest.name),
    source: join(root, target.default.replace('./dist/', 'lib/').replace(/\.js$/, '.ts')),
  }));

const fence = /```ts\n([\s\S]*?)```/g;
/** Code blocks of a text in Markdown. */
export const blocksOf = (text) => [...text.matchAll(fence)].map(([, code]) => code);

/** A description and its examples: `@example`, fenced or plain, and code blocks in the text. */
function documented(symbol, checker) {
  const text = ts.displayPartsToString(symbol.getDocumentationComment(checker));
  const tagged = symbol
    .getJsDocTags(checker)
    .filter(({ name }) => name === 'example')
    .map(({ text: parts }) => ts.displayPartsToString(parts).trim())
    .map((code) => blocksOf(`${code}\n`)[0] ?? code);
  return { description: text.replace(fence, '').trim(), examples: [...tagged, ...blocksOf(`${text}\n`)] };
}

const isInternal = (symbol, checker) => symbol.getJsDocTags(checker).some(({ name }) => name === 'internal');

/** Properties and methods that users see. */
function membersOf(symbol, checker) {
  const own =
    symbol.flags & (ts.SymbolFlags.Class | ts.SymbolFlags.Interface) ? [...(symbol.members?.values() ?? [])] : [];
  const fixed = symbol.flags & ts.SymbolFlags.Class ? [...(symbol.exports?.values() ?? [])] : [];
  const isHidden = (member) =>
    /^(__|#)/.test(member.name) ||
    member.flags & (ts.SymbolFlags.Constructor | ts.SymbolFlags.Prototype | ts.SymbolFlags.TypeParameter) ||
    isInternal(member, checker) ||
    (member.declarations ?? []).some(
      (node) => ts.getCombinedModifierFlags(node) & (ts.ModifierFlags.Private | ts.ModifierFlags.Protected),
    );
  return [...own, ...fixed]
    .filter((member) => !isHidden(member))
    .map((member) => ({
      name: member.name,
      isMethod: (member.flags & ts.SymbolFlags.Method) !== 0,
      ...documented(member, checker),
    }));
}

/** Names of the types that a declaration mentions, through aliases, members and signatures of its own file. */
function mentioned(symbol) {
  const names = new Set();
  const visit = (node) => {
    if (ts.isBlock(node)) return; // of a function: only its signature counts
    if (ts.isIdentifier(node)) names.add(node.text);
    ts.forEachChild(node, visit);
  };
  for (const node of symbol.declarations ?? []) visit(node);
  return names;
}

/** Whether an export is a type to users: also a class that is exported with `export type`. */
function isTypeOnly(exported, checker) {
  for (let symbol = exported; symbol.flags & ts.SymbolFlags.Alias; symbol = checker.getImmediateAliasedSymbol(symbol)) {
    if (symbol.declarations?.some(ts.isTypeOnlyImportOrExportDeclaration)) return true;
  }
  return false;
}

/** All exports, each once: of its room, not of the package itself. */
export function readExports() {
  const { config } = ts.readConfigFile(join(root, 'tsconfig.json'), ts.sys.readFile);
  const { options } = ts.parseJsonConfigFileContent(config, ts.sys, root);
  const program = ts.createProgram(
    modules.map(({ source }) => source),
    options,
  );
  const checker = program.getTypeChecker();
  const seen = new Map();
  const collect = (moduleSymbol, specifier, prefix) => {
    for (const exported of checker.getExportsOfModule(moduleSymbol)) {
      const symbol = exported.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(exported) : exported;
      if (symbol.flags & ts.SymbolFlags.ValueModule) {
        collect(symbol, specifier, `${prefix}${exported.name}.`);
        continue;
      }
      if (seen.has(symbol)) continue;
      const isValue = (symbol.flags & ts.SymbolFlags.Value) !== 0 && !isTypeOnly(exported, checker);
      seen.set(symbol, {
        specifier,
        name: prefix + exported.name,
        isValue,
        ...documented(symbol, checker),
        members: membersOf(symbol, checker),
        mentions: mentioned(symbol),
        place: symbol.declarations?.[0]?.getSourceFile().fileName,
      });
    }
  };
  for (const { specifier, source } of [...modules.slice(1), modules[0]]) {
    collect(checker.getSymbolAtLocation(program.getSourceFile(source)), specifier, '');
  }
  return [...seen.values()];
}

// The examples of docstrings and the code blocks of the documentation, as files that a compiler can check: what an example
// does not declare itself is imported, or is one of the values that context.ts declares.
import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { blocksOf, modules, root, ts } from './exports.mjs';

/** Names that a block declares, and those that it uses without declaring them. */
function namesOf(code) {
  const source = ts.createSourceFile('block.ts', code, ts.ScriptTarget.Latest, true);
  const declared = new Set();
  const used = new Set();
  const visit = (node) => {
    const { parent } = node;
    if (ts.isIdentifier(node)) {
      const isName = parent?.name === node;
      const isKey =
        (ts.isPropertyAccessExpression(parent) && isName) ||
        (ts.isPropertyAssignment(parent) && isName) ||
        (ts.isQualifiedName(parent) && parent.right === node) ||
        (ts.isBindingElement(parent) && parent.propertyName === node) ||
        ts.isPropertySignature(parent) ||
        ts.isMethodDeclaration(parent);
      const isDeclared =
        isName &&
        (ts.isVariableDeclaration(parent) ||
          ts.isBindingElement(parent) ||
          ts.isParameter(parent) ||
          ts.isFunctionDeclaration(parent) ||
          ts.isClassDeclaration(parent) ||
          ts.isInterfaceDeclaration(parent) ||
          ts.isTypeAliasDeclaration(parent));
      if (isDeclared || ts.isImportSpecifier(parent) || ts.isNamespaceImport(parent)) declared.add(node.text);
      else if (!isKey) used.add(node.text);
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return [...used].filter((name) => !declared.has(name));
}

/** Names that context.ts exports. */
function contextNames() {
  const text = readFileSync(join(root, 'scripts/reference/context.ts'), 'utf8');
  return [...text.matchAll(/^export declare const (\w+)/gm)]
    .map(([, name]) => name)
    .concat(['readFile', 'writeFile', 'writeFileSync']);
}

/** The code blocks of pages for users. */
function pageBlocks() {
  const pages = readdirSync(join(root, 'docs'), { recursive: true, encoding: 'utf8' })
    .filter((page) => page.endsWith('.md') && !page.startsWith('api/'))
    .map((page) => join('docs', page));
  return ['README.md', ...pages]
    .sort()
    .flatMap((page) =>
      blocksOf(readFileSync(join(root, page), 'utf8')).map((code, i) => ({ at: `${page}, block ${i + 1}`, code })),
    );
}

/** Files of TypeScript, one for each example, by the place that it stands at. */
export function exampleFiles(exports) {
  const homes = new Map();
  for (const { name, specifier } of exports) {
    const top = name.split('.')[0];
    homes.set(top, [...(homes.get(top) ?? []), specifier]);
  }
  const context = contextNames();
  const fileOf = ({ at, code, own, name }) => {
    const free = namesOf(code);
    const lines = free.flatMap((used) => {
      const rooms = homes.get(used) ?? [];
      // Its own room first; then what examples have at hand; then the other rooms.
      if (own && rooms.includes(own)) return [`import { ${used} } from '${own}';`];
      if (context.includes(used)) return [`import { ${used} } from '../../scripts/reference/context.js';`];
      return rooms.length > 0 ? [`import { ${used} } from '${rooms[0]}';`] : [];
    });
    return { at, name, code: `${lines.join('\n')}\n${code}\nexport {};\n`, uses: free };
  };
  const inDocstrings = exports.flatMap(({ examples, members, name, specifier, place }) =>
    [...examples, ...members.flatMap((member) => member.examples)].map((code) =>
      fileOf({ at: `${relative(root, place)}, ${name}`, code, own: specifier, name }),
    ),
  );
  return [...inDocstrings, ...pageBlocks().map(fileOf)];
}

export const paths = Object.fromEntries(modules.map(({ specifier, source }) => [specifier, [source]]));

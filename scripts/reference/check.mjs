// Checks that everything the package exports is documented, and that all examples compile:
//
// - every function, class and constant has a description and an example (`@example`, or a code block in the description);
// - every type has a description, and an example of its own or a function, class or constant with an example whose declaration
//   mentions the type, or mentions a type that does (TypeScript needs no name for most of them);
// - every method and every property of an exported class or interface has a description, its own or that of the base type;
// - every export has a page of its own in docs/api, with its name and its import;
// - every row of a table in docs/api has a description, but for parameters in a table that describes none of them;
// - the examples, and the TypeScript blocks in README.md and docs, compile against the package as users import it.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { exampleFiles, paths } from './examples.mjs';
import { readExports, root } from './exports.mjs';
import { importOf, pageOf, titleOf } from './places.mjs';
import { undescribedRows } from './rows.mjs';

const exports = readExports();
const label = ({ specifier, name }) => `${specifier}: ${name}`;

/** Types that an example reaches: mentioned by something that has one, at any distance. */
function shownTypes() {
  const byName = new Map();
  for (const each of exports) {
    const last = each.name.split('.').at(-1);
    byName.set(last, [...(byName.get(last) ?? []), each]);
  }
  const shown = new Set(exports.filter(({ examples }) => examples.length > 0));
  const open = [...shown];
  for (let each = open.pop(); each; each = open.pop()) {
    for (const name of each.mentions) {
      for (const type of byName.get(name) ?? []) {
        if (type.isValue && type.examples.length === 0) continue;
        if (!shown.has(type)) open.push(type);
        shown.add(type);
      }
    }
  }
  return shown;
}

/** Methods, or properties, without a description. */
const undescribed = (methods) =>
  exports.flatMap((each) =>
    each.members
      .filter(({ isMethod, description }) => isMethod === methods && description === '')
      .map(({ name }) => `${label(each)}.${name}`),
  );

/** Whether docs/api has the page of an export, and it begins as that page does. */
function hasPage(each) {
  const page = join(root, 'docs/api', pageOf(each));
  if (!existsSync(page)) return false;
  return readFileSync(page, 'utf8').startsWith(`${titleOf(each)}\n\n\`\`\`ts\n${importOf(each)}\n`);
}

/** Rows of the tables in docs/api without a description, as `page:line`, and the number of parameters that need none. */
function rowsOfPages() {
  const pages = readdirSync(join(root, 'docs/api'), { recursive: true, encoding: 'utf8' }).filter((name) =>
    name.endsWith('.md'),
  );
  const found = pages.map((page) => ({ page, ...undescribedRows(readFileSync(join(root, 'docs/api', page), 'utf8')) }));
  return {
    empty: found.flatMap(({ page, empty }) => empty.map((line) => `docs/api/${page}:${line}`)),
    bare: found.reduce((count, { bare }) => count + bare.length, 0),
  };
}

const shown = shownTypes();
const rows = rowsOfPages();
const withoutPage = exports.filter((each) => !hasPage(each));
const without = {
  description: exports.filter(({ description }) => description === '').map(label),
  example: exports.filter((each) => (each.isValue ? each.examples.length === 0 : !shown.has(each))).map(label),
  'description of a method': undescribed(true),
  'description of a property': undescribed(false),
};

/** What the compiler says of the examples. */
function compile(files) {
  const folder = join(root, 'build/examples');
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const names = files.map(({ code }, i) => {
    const name = `example-${String(i).padStart(3, '0')}.ts`;
    writeFileSync(join(folder, name), code);
    return name;
  });
  const compilerOptions = {
    noEmit: true,
    verbatimModuleSyntax: false,
    rootDir: '../..',
    skipLibCheck: true,
    paths,
    lib: ['ES2023', 'ESNext.Disposable', 'DOM'],
  };
  const config = { extends: '../../tsconfig.json', compilerOptions, include: [], files: names };
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(config, undefined, 2));
  const compiler = join(root, 'node_modules/typescript/bin/tsc');
  const { stdout, stderr } = spawnSync(process.execPath, [compiler, '-p', folder, '--pretty', 'false'], {
    encoding: 'utf8',
    cwd: folder,
  });
  const places = (line) => line.replace(/^example-(\d+)\.ts/, (_, number) => files[Number(number)].at);
  return `${stdout}${stderr}`
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith(' '))
    .map(places);
}

const files = exampleFiles(exports);
const errors = compile(files);
const values = exports.filter(({ isValue }) => isValue).length;
console.log(`${exports.length} exports: ${values} functions, classes and constants, ${exports.length - values} types`);
for (const [what, list] of Object.entries(without)) {
  console.log(`without ${what}: ${list.length}`);
  for (const each of list) console.log(`  ${each}`);
}
console.log(`exports without a page: ${withoutPage.length}`);
for (const each of withoutPage) console.log(`  ${label(each)}: docs/api/${pageOf(each)} (run "npm run docs:api")`);
console.log(`rows without description: ${rows.empty.length}; parameters in tables without descriptions: ${rows.bare}`);
for (const each of rows.empty) console.log(`  ${each}`);
console.log(`examples and code blocks: ${files.length}; errors of the compiler: ${errors.length}`);
for (const error of errors) console.log(`  ${error}`);
const lists = [errors, withoutPage, rows.empty, ...Object.values(without)];
process.exitCode = lists.some((list) => list.length > 0) ? 1 : 0;

// Every link within the documentation, and from an error message to it, leads to a file and a heading that exist.
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import t from 'tap';
import { anchorsOf, pages, referencePages, root, textOf, withoutBlocks } from './pages.js';

/** The problem of a link from a page, if there is one. */
function fault(page: string, target: string): string | undefined {
  const [path, anchor] = target.split('#') as [string, string | undefined];
  const file = path === '' ? page : normalize(join(dirname(page), decodeURI(path)));
  if (!existsSync(join(root, file))) return `${page}: ${target}: no such file`;
  if (anchor === undefined) return undefined;
  if (!file.endsWith('.md')) return `${page}: ${target}: only a page has headings`;
  return anchorsOf(file).has(anchor) ? undefined : `${page}: ${target}: no such heading`;
}

/** The folders that a file of the package is in. */
const foldersOf = (file: string): string[] =>
  dirname(file) === '.' ? [] : [dirname(file), ...foldersOf(dirname(file))];

const linksOf = (page: string): { page: string; target: string }[] =>
  [...withoutBlocks(textOf(page)).matchAll(/\]\((?!https?:|mailto:)([^)\s]+)\)/g)].map(([, target]) => ({
    page,
    target: target!,
  }));

t.test('links and anchors of all pages', async (t) => {
  const links = pages.flatMap(linksOf);
  t.ok(links.length > 200, `${links.length} links`);
  t.same(
    links.flatMap(({ page, target }) => fault(page, target) ?? []),
    [],
  );
});

t.test('links and anchors of the reference, and a way to each of its pages from the start page', async (t) => {
  const links = referencePages.flatMap(linksOf);
  t.ok(links.length > 2000, `${links.length} links`);
  t.same(
    links.flatMap(({ page, target }) => fault(page, target) ?? []),
    [],
  );
  const reached = new Set(['docs/api/README.md']);
  for (const page of reached) {
    if (!page.endsWith('README.md')) continue;
    for (const { target } of linksOf(page)) reached.add(normalize(join(dirname(page), target.split('#')[0]!)));
  }
  t.same(
    referencePages.filter((page) => !reached.has(page)),
    [],
    'pages that no index has',
  );
  const folded = new Set(referencePages.map((page) => page.toLowerCase()));
  t.equal(folded.size, referencePages.length, 'no two names of pages differ in case only');
});

t.test('links of a packed page lead to what is packed too', async (t) => {
  const output = execFileSync('npm', ['pack', '--dry-run', '--ignore-scripts', '--json'], {
    ...{ cwd: root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] },
  });
  const [pack] = Object.values(JSON.parse(output)) as { files: { path: string }[] }[];
  const files = pack!.files.map(({ path }) => path);
  const packed = new Set(files.flatMap((file) => [file, ...foldersOf(file)]));
  const links = files.filter((file) => file.endsWith('.md')).flatMap(linksOf);
  t.ok(links.length > 2000, `${links.length} links`);
  const target = (page: string, link: string) => {
    const [path] = link.split('#') as [string];
    return path === '' ? page : normalize(join(dirname(page), path)).replace(/\/$/, '');
  };
  t.same(
    links.filter((link) => !packed.has(target(link.page, link.target))),
    [],
  );
});

t.test('every page of docs is in docs/index.md or in the list of methods', async (t) => {
  const listed = ['docs/index.md', 'docs/methods/README.md'].flatMap((page) =>
    [...textOf(page).matchAll(/\]\(([^)#]+)(?:#[^)]*)?\)/g)].map(([, path]) => normalize(join(dirname(page), path!))),
  );
  const docs = pages.filter((page) => page.startsWith('docs/') && page !== 'docs/index.md');
  t.same(
    docs.filter((page) => !listed.includes(page)),
    [],
  );
});

t.test('pages and headings that error messages name', async (t) => {
  const files = readdirSync(join(root, 'lib'), { recursive: true, encoding: 'utf8' }).filter((name) =>
    name.endsWith('.ts'),
  );
  const pointers = files.flatMap((name) =>
    [...readFileSync(join(root, 'lib', name), 'utf8').matchAll(/\b(docs\/[\w/-]+\.md)(#[\w-]+)?/g)].map(
      ([, page, anchor = '']) => ({ file: join('lib', name), target: `/${page}${anchor}`.slice(1) }),
    ),
  );
  t.ok(pointers.length >= 10, `${pointers.length} pointers`);
  t.ok(
    pointers.filter(({ target }) => target.startsWith('docs/troubleshooting.md#')).length >= 5,
    'to troubleshooting',
  );
  t.same(
    pointers.flatMap(({ file, target }) => (fault('README.md', target) ? `${file}: ${target}` : [])),
    [],
  );
});

t.test('package.json and the issue templates name one repository', async (t) => {
  const manifest = JSON.parse(textOf('package.json')) as {
    repository: { url: string };
    homepage: string;
    bugs: { url: string };
    keywords: string[];
  };
  const [, home] = /^git\+(https:\/\/.*)\.git$/.exec(manifest.repository.url)!;
  t.equal(manifest.homepage, `${home}#readme`);
  t.equal(manifest.bugs.url, `${home}/issues`);
  t.ok(manifest.keywords.length > 5);
  const folder = join(root, '.github/ISSUE_TEMPLATE');
  for (const name of readdirSync(folder)) {
    t.ok(statSync(join(folder, name)).isFile());
    for (const [, path] of readFileSync(join(folder, name), 'utf8').matchAll(/https:\/\/\S+\/blob\/main\/([\w./-]+)/g))
      t.ok(existsSync(join(root, path!)), path!);
  }
});

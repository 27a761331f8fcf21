// The reference in docs/api, made by TypeDoc from the docstrings of what package.json exports: an index for each room of the
// package and a page for each export (layout.mjs). It needs no network and takes about 15 seconds.
//
//   node scripts/reference/make.mjs            writes docs/api
//   node scripts/reference/make.mjs --check    says which pages are not what the docstrings give; exit code 1
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { register } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { modules, root } from './exports.mjs';

const { values: given } = parseArgs({ options: { check: { type: 'boolean', default: false } } });
const kept = join(root, 'docs/api');

// TypeDoc calls the functions of TypeScript 5, which TypeScript 7 does not have; package.json tells npm that any will do.
const hook = `export const resolve = (specifier, context, next) =>
  specifier === 'typescript' ? next('typescript-5', { ...context, parentURL: ${JSON.stringify(import.meta.url)} }) : next(specifier, context);`;
register(`data:text/javascript,${encodeURIComponent(hook)}`);
const { Application, Comment, CommentTag, ReflectionKind } = await import('typedoc');
const { PageRouter, PageTheme } = await import('./layout.mjs');

/** Kinds that have an example of their own; a type's is that of a value which mentions it. */
const values = ReflectionKind.Function | ReflectionKind.Class | ReflectionKind.Variable;

const types = ReflectionKind.Interface | ReflectionKind.TypeAlias;

const commentsOf = (reflection) => [reflection.comment, ...(reflection.signatures ?? []).map(({ comment }) => comment)];
const hasExample = (reflection) =>
  commentsOf(reflection).some(
    (comment) =>
      comment?.blockTags.some(({ tag }) => tag === '@example') ||
      comment?.summary.some(({ kind, text }) => kind === 'code' && text.startsWith('```')),
  );

/** Names the functions and classes whose examples show a type, on the type's own place. */
function linkExamples(project) {
  const shows = new Map();
  for (const reflection of project.getReflectionsByKind(values)) {
    if (!hasExample(reflection)) continue;
    const seen = new Set();
    const visit = (node) => {
      if (typeof node !== 'object' || node === null || seen.has(node)) return;
      seen.add(node);
      if (node.type === 'reference' && node.reflection) {
        const { reflection: type } = node;
        if (type.kindOf(types)) shows.set(type, [...(shows.get(type) ?? []), reflection]);
      }
      for (const key of [
        'type',
        'types',
        'typeArguments',
        'elementType',
        'target',
        'declaration',
        'signatures',
        'parameters',
        'children',
        'elements',
      ])
        for (const child of [node[key]].flat()) visit(child);
    };
    for (const signature of reflection.signatures ?? [reflection]) visit(signature);
  }
  for (const [type, owners] of shows) {
    if (hasExample(type)) continue;
    type.comment ??= new Comment();
    const links = [...new Set(owners)]
      .slice(0, 3)
      .flatMap((owner, i) => [
        ...(i > 0 ? [{ kind: 'text', text: ', ' }] : []),
        { kind: 'inline-tag', tag: '@link', text: owner.name, target: owner },
      ]);
    type.comment.blockTags.push(new CommentTag('@see', links));
  }
}

const addLayout = (app) => {
  app.renderer.defineRouter('page', PageRouter);
  app.renderer.defineTheme('page', PageTheme);
};

/** Order of what follows the description: errors before examples. */
const tagOrder = ['@throws', '@example', '@see'];
const isBlock = ({ kind, text }) => kind === 'code' && text.startsWith('```');

/** Makes the code block that ends a description its example, so that all pages have the same order. */
function orderComment(comment) {
  const { summary, blockTags } = comment;
  const end = summary.findLastIndex(({ kind, text }) => kind !== 'text' || text.trim() !== '');
  if (end > 0 && isBlock(summary[end]) && !blockTags.some(({ tag }) => tag === '@example')) {
    const before = summary[end - 1];
    if (before.kind === 'text') summary[end - 1] = { ...before, text: before.text.trimEnd().replace(/:$/, '.') };
    blockTags.push(new CommentTag('@example', [summary[end]]));
    summary.length = end;
  }
  const errors = blockTags.filter(({ tag }) => tag === '@throws');
  if (errors.length > 1) {
    const items = errors.flatMap(({ content }) => [{ kind: 'text', text: '\n- ' }, ...content]);
    comment.blockTags = [...blockTags.filter((tag) => !errors.includes(tag)), new CommentTag('@throws', items)];
  }
  const rank = ({ tag }) => tagOrder.indexOf(tag);
  comment.blockTags.sort((a, b) => rank(a) - rank(b));
}

async function generate(out) {
  const [main, ...rooms] = modules.map(({ source }) => source);
  const app = await Application.bootstrapWithPlugins({
    plugin: ['typedoc-plugin-markdown', addLayout],
    entryPoints: [...rooms, main],
    tsconfig: join(root, 'tsconfig.json'),
    out,
    name: 'apollo-lm',
    readme: join(root, 'scripts/reference/index.md'),
    router: 'page',
    theme: 'page',
    entryFileName: 'README',
    mergeReadme: true,
    disableSources: true, // line numbers would change with every commit
    disableGit: true,
    excludeInternal: true,
    excludePrivate: true,
    excludeExternals: true,
    sort: ['kind', 'alphabetical'],
    kindSortOrder: ['Class', 'Function', 'Variable', 'Interface', 'TypeAlias'],
    hidePageHeader: true,
    hidePageTitle: true,
    hideBreadcrumbs: true,
    useCodeBlocks: true,
    expandObjects: true,
    interfacePropertiesFormat: 'table',
    classPropertiesFormat: 'table',
    typeDeclarationFormat: 'table',
    propertyMembersFormat: 'table',
    parametersFormat: 'table',
    tableColumnSettings: {
      hideModifiers: true,
      hideDefaults: true,
      hideInherited: true,
      hideOverrides: true,
      hideSources: true,
    },
    treatWarningsAsErrors: true,
    validation: { invalidLink: true, notExported: false, notDocumented: false },
    logLevel: 'Warn',
  });
  const project = await app.convert();
  if (project) app.validate(project);
  if (!project || app.logger.hasErrors() || app.logger.hasWarnings()) process.exit(1);
  linkExamples(project);
  for (const reflection of project.getReflectionsByKind(ReflectionKind.All)) {
    if (reflection.comment && !reflection.kindOf(ReflectionKind.Module)) orderComment(reflection.comment);
    // TypeDoc takes the code of a schema for the default value of its field, and the field for an optional one.
    if (reflection.kindOf(ReflectionKind.Property)) delete reflection.defaultValue;
    // A type that is made from a schema lists its fields; the schema is no export.
    const ofSchema = ({ typeArguments }) => typeArguments?.some(({ type }) => type === 'query');
    if (reflection.extendedTypes?.every(ofSchema)) reflection.typeHierarchy = reflection.typeHierarchy?.next;
  }
  rmSync(out, { recursive: true, force: true });
  await app.generateOutputs(project);
  if (app.logger.hasErrors() || app.logger.hasWarnings()) process.exit(1);
}

const pagesOf = (folder) =>
  new Map(
    readdirSync(folder, { recursive: true, encoding: 'utf8' })
      .filter((page) => page.endsWith('.md'))
      .map((page) => [page, readFileSync(join(folder, page), 'utf8')]),
  );

if (given.check) {
  const out = mkdtempSync(join(tmpdir(), 'apollo-api-'));
  try {
    await generate(out);
    const [made, old] = [pagesOf(out), pagesOf(kept)];
    const differ = [...new Set([...made.keys(), ...old.keys()])].filter((page) => made.get(page) !== old.get(page));
    if (differ.length === 0) console.log(`docs/api is current: ${made.size} pages`);
    else {
      const more = differ.length > 10 ? ` and ${differ.length - 10} more` : '';
      const pages = `${differ.slice(0, 10).join(', ')}${more}`;
      console.error(`docs/api is not what the docstrings give: ${pages}. Run "npm run docs:api".`);
    }
    process.exitCode = differ.length === 0 ? 0 : 1;
  } finally {
    rmSync(out, { recursive: true, force: true });
  }
} else {
  await generate(kept);
  console.log(`${pagesOf(kept).size} pages in docs/api`);
}

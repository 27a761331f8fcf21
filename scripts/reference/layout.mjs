// The layout of docs/api: which page each export has, and what the pages and the indexes of the rooms begin with.
import { ReflectionKind } from 'typedoc';
import { MarkdownTheme, MarkdownThemeContext, MemberRouter } from 'typedoc-plugin-markdown';
import { modules } from './exports.mjs';
import { importOf, pageOf, roomFolder, titleOf } from './places.mjs';

const types = ReflectionKind.Interface | ReflectionKind.TypeAlias;
const containers = ReflectionKind.Module | ReflectionKind.Namespace;

/** The subpath that a room is imported by, and the path of names below it. */
function homeOf(reflection) {
  const names = [];
  let room = reflection;
  for (; !room.kindOf(ReflectionKind.Module); room = room.parent) names.unshift(room.name);
  const { specifier } = modules.find((each) => roomFolder(each.specifier) === room.name);
  return { specifier, name: names.join('.') };
}

const exportOf = (reflection) => ({ ...homeOf(reflection), isValue: !reflection.kindOf(types) });

/** One page for each export, and one index for each room and namespace. */
export class PageRouter extends MemberRouter {
  getIdealBaseName(reflection) {
    if (!reflection.kindOf(containers)) return pageOf(exportOf(reflection)).replace(/\.md$/, '');
    const { specifier, name } = homeOf(reflection);
    return [roomFolder(specifier), ...name.split('.'), this.entryFileName].filter((part) => part !== '').join('/');
  }

  buildPages(project) {
    const pages = super.buildPages(project);
    const seen = new Map();
    for (const { url } of pages) {
      const other = seen.get(url.toLowerCase());
      if (other) throw new Error(`The pages ${other} and ${url} differ in case only: rename one of the exports.`);
      seen.set(url.toLowerCase(), url);
    }
    return pages;
  }
}

const kinds = [
  { title: 'Namespaces', kind: ReflectionKind.Namespace },
  { title: 'Classes', kind: ReflectionKind.Class },
  { title: 'Functions', kind: ReflectionKind.Function },
  { title: 'Constants', kind: ReflectionKind.Variable },
  { title: 'Types', kind: types },
];
const kindNames = new Map([
  [ReflectionKind.Class, 'Class'],
  [ReflectionKind.Function, 'Function'],
  [ReflectionKind.Variable, 'Constant'],
  [ReflectionKind.Interface, 'Interface'],
  [ReflectionKind.TypeAlias, 'Type'],
]);
const byName = (a, b) => a.name.localeCompare(b.name, 'en');
const code = (text) => `\`\`\`ts\n${text}\n\`\`\``;

/** What a name of a room stands for: itself, or the export of another room that it gives again. */
const targetOf = (child) => (child.kindOf(ReflectionKind.Reference) ? child.getTargetReflectionDeep() : child);

/** The first sentence of a text in Markdown. */
function firstSentence(text) {
  const plain = text
    .replace(/```[\s\S]*?```/g, '')
    .split(/\n\s*\n/)[0]
    .replace(/\s+/g, ' ')
    .trim();
  const [sentence] = /^.*?(?<!\b(?:e\.g|i\.e|al|cf|vs))[.!?](?= [^a-z0-9])/.exec(plain) ?? [plain];
  return sentence.replace(/:$/, '.').replace(/(?<!\\)\|/g, '\\|');
}

const table = (heads, rows) =>
  [heads, heads.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n');

/** A table of parameters or properties whose objects have a row for each field; the object's own row need not repeat them. */
function shortened(rows) {
  const lines = rows.split('\n');
  return lines
    .map((line, i) => {
      const [, name] = /^\| (?:<a [^>]*><\/a> )?`([^`?]+)\??` \| \\\{ /.exec(line) ?? [];
      if (!name || !lines[i + 1]?.startsWith(`| \`${name}.`)) return line;
      return line.replace(/ \| \\\{ .* \\\}( \|[^|]*\|)?$/, ' | `object`$1');
    })
    .join('\n');
}

/** Pages of docs that a text names, as links from a page of docs/api. */
function withLinks(text, url) {
  const up = '../'.repeat(url.split('/').length);
  const kept = /(```[\s\S]*?```|`[^`\n]*`|\]\([^)]*\))/;
  const linked = (part) => part.replace(/\bdocs\/([\w/-]+\.md(#[\w-]+)?)/g, `[$&](${up}$1)`);
  return text
    .split(kept)
    .map((part, i) => (i % 2 === 0 ? linked(part) : part))
    .join('');
}

class PageContext extends MarkdownThemeContext {
  constructor(...args) {
    super(...args);
    const { reflection } = this.templates;
    const { parametersTable, propertiesTable, typeDeclarationTable } = this.partials;
    this.partials.parametersTable = (model) => shortened(parametersTable(model));
    this.partials.propertiesTable = (...args) => shortened(propertiesTable(...args));
    this.partials.typeDeclarationTable = (...args) => shortened(typeDeclarationTable(...args));
    this.templates.reflection = (page) => {
      const { model } = page;
      if (model.kindOf(ReflectionKind.Project)) return this.start(model);
      if (model.kindOf(containers)) return this.index(model);
      return `${this.head(model)}\n\n${reflection(page)}`;
    };
  }

  summaryOf(reflection) {
    const comment = reflection.comment ?? reflection.signatures?.find((signature) => signature.comment)?.comment;
    return comment ? this.helpers.getCommentParts(comment.summary) : '';
  }

  /** A link to a room or a namespace, by what it is imported as. */
  linkTo(container) {
    const { specifier, name } = homeOf(container);
    const text = `\`${name === '' ? specifier : name}\``;
    return container === this.page.model ? text : `[${text}](${this.urlTo(container)})`;
  }

  /** docs/api/README.md: a line for each room. */
  start(project) {
    const rooms = [...project.children].sort((a, b) => (homeOf(a).specifier < homeOf(b).specifier ? -1 : 1));
    const rows = rooms.map((room) => [this.linkTo(room), this.descriptionOf(room), `${room.children.length}`]);
    return [
      this.helpers.getCommentParts(project.readme),
      '## Rooms',
      table(['Import', 'Description', 'Exports'], rows),
    ].join('\n\n');
  }

  /** A room's first sentence, without the subpath that it starts with. */
  descriptionOf(container) {
    const text = firstSentence(this.summaryOf(container)).replace(/^`[^`]*`: /, '');
    return text.charAt(0).toUpperCase() + text.slice(1);
  }

  /** The index of a room or namespace: its description, how it is imported, and tables of what it has. */
  index(container) {
    const { specifier, name } = homeOf(container);
    const children = [...container.children].sort(byName);
    const values = children.filter((child) => targetOf(child).kindOf(ReflectionKind.Class | ReflectionKind.Function));
    const shown = values.slice(0, 3).map((child) => child.name);
    const names = name === '' ? shown : name.split('.').slice(0, 1);
    const imports = `import { ${names.join(', ')} } from '${specifier}';`;
    const description = this.summaryOf(container);
    const parent = name === '' ? `[API reference](${this.urlTo(container.project)})` : this.linkTo(container.parent);
    const again = children.some((child) => child.kindOf(ReflectionKind.Reference));
    const sections = kinds.flatMap(({ title, kind }) => {
      const members = children.filter((child) => targetOf(child).kindOf(kind));
      if (members.length === 0) return [];
      const rows = members.map((child) => {
        const target = targetOf(child);
        const sentence = firstSentence(this.summaryOf(target));
        const room = again ? [this.linkTo(target.parent)] : [];
        return [`[${child.name}](${this.urlTo(target)})`, ...room, sentence === '' ? '-' : sentence];
      });
      return [`## ${title}`, table(['Name', ...(again ? ['Room'] : []), 'Description'], rows)];
    });
    const importLine = description.includes(`from '${specifier}'`) ? [] : [code(imports)];
    return [`# ${name === '' ? specifier : name}`, `Up: ${parent}`, description, ...importLine, ...sections].join(
      '\n\n',
    );
  }

  /** What the page of an export starts with: its name, how it is imported, and where it belongs. */
  head(model) {
    const exported = exportOf(model);
    const others = model.project
      .getReflectionsByKind(ReflectionKind.Reference)
      .filter((reference) => reference.getTargetReflectionDeep() === model)
      .map((reference) => this.linkTo(reference.parent));
    const again = others.length > 0 ? `; also exported by ${others.join(', ')}` : '';
    const place = `${kindNames.get(model.kind)} of ${this.linkTo(model.parent)}${again}.`;
    return [titleOf(exported), code(importOf(exported)), place].join('\n\n');
  }
}

export class PageTheme extends MarkdownTheme {
  render(page) {
    return withLinks(super.render(page), page.url);
  }

  getRenderContext(page) {
    return new PageContext(this, page, this.application.options);
  }
}

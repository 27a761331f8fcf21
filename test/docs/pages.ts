/** The pages that users read, their headings' anchors and their text without code. */
import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';

export const root = join(import.meta.dirname, '../..');

/** Pages of this folder and below, as paths from the repository's root. */
function pagesBelow(folder: string): string[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.md') && !name.includes('node_modules'))
    .map((name) => relative(root, join(root, folder, name)));
}

/** Pages written by hand or by a bench; docs/api is made from docstrings and has tests of its own. */
export const pages: readonly string[] = [
  'README.md',
  'CHANGELOG.md',
  'CONTRIBUTING.md',
  'data/sample/README.md',
  ...pagesBelow('docs').filter((page) => !page.startsWith('docs/api/')),
  ...pagesBelow('examples'),
  ...pagesBelow('bench'),
];

/** The reference: the start page, an index for each room, a page for each export. */
export const referencePages: readonly string[] = pagesBelow('docs/api');

export const textOf = (page: string): string => readFileSync(join(root, page), 'utf8');

/** The same without code blocks; lines keep their numbers. */
export const withoutBlocks = (text: string): string =>
  text.replace(/^( *)```[\s\S]*?^\1```/gm, (block) => block.replace(/[^\n]/g, ''));

/** The prose of a page: without code blocks, code spans and the targets of links. */
export const proseOf = (page: string): string =>
  withoutBlocks(textOf(page))
    .replace(/`[^`]*`/g, (code) => code.replace(/[^\n]/g, ' '))
    .replace(/\]\([^)]*\)/g, ']');

/** Anchors of a page: its headings, as GitHub makes them, and elements with an id. */
export function anchorsOf(page: string): Set<string> {
  const seen = new Map<string, number>();
  const anchors = new Set<string>();
  for (const [, heading] of withoutBlocks(textOf(page)).matchAll(/^#{1,6} (.*)$/gm)) {
    const slug = heading!
      .replace(/\[([^\]]*)\]\([^)]*\)/g, '$1')
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\p{M} _-]/gu, '')
      .trim()
      .replace(/ /g, '-');
    const count = seen.get(slug) ?? 0;
    seen.set(slug, count + 1);
    anchors.add(count === 0 ? slug : `${slug}-${count}`);
  }
  for (const [, id] of withoutBlocks(textOf(page)).matchAll(/<a id="([^"]+)">/g)) anchors.add(id!);
  return anchors;
}

/**
 * The files below a folder. Links to folders are followed, and a loop of them is found by real path; what this package
 * writes (own-output.ts) is skipped.
 */
import { type Dirent, readdirSync, realpathSync, statSync } from 'node:fs';
import { join, relative } from 'node:path';
import { ApolloError } from '../../errors.js';
import { ownOutput } from './own-output.js';

/** Entries that are skipped. */
export interface PassedOver {
  /** Folders with output of this package: "runs/a (a run)". */
  readonly own: string[];
  /** Links that lead nowhere. */
  readonly broken: string[];
}

interface Walk {
  readonly passed: PassedOver;
  /** Real paths of the folders above: one that comes again is a loop. */
  readonly above: readonly string[];
  /** Real paths of the folders that were walked, where each is walked once. */
  readonly seen: Set<string> | undefined;
}

/**
 * All files below a folder, in the order of their names; names that start with a dot are left out. A folder that is
 * reached in two ways is walked once.
 * @throws ApolloError BAD_CORPUS for a folder that cannot be read.
 */
export function filesBelow(folder: string, passed: PassedOver): string[] {
  return walk(folder, realPath(folder), { passed, above: [], seen: new Set() });
}

/** Whether a path can be a pattern. It is none where there is such a file or folder: brackets occur in names. */
export const isPattern = (path: string): boolean => /[*?{[]/.test(path);

/**
 * Files that match a pattern of `*`, `?`, `[a-c]`, `[!a]`, `{a,b}` and `**`: walks from its last folder without a wildcard.
 * @throws ApolloError BAD_CORPUS for a folder that cannot be read, or a range such as `[9-0]`.
 */
export function filesMatching(pattern: string, passed: PassedOver): string[] {
  const segments = pattern.split('/');
  const isFolder = (count: number): boolean =>
    statSync(segments.slice(0, count).join('/'), { throwIfNoEntry: false })?.isDirectory() ?? false;
  const fixed = segments.findIndex((segment, i) => isPattern(segment) && !isFolder(i + 1));
  const root = segments.slice(0, fixed).join('/') || (pattern.startsWith('/') ? '/' : '.');
  if (!statSync(root, { throwIfNoEntry: false })?.isDirectory()) return [];
  const matches = expressionOf(segments.slice(fixed), pattern);
  // Not each folder once: the pattern may fit one of its names only.
  const found = walk(root, realPath(root), { passed, above: [], seen: undefined });
  return found.filter((path) => matches.test(relative(root, path)));
}

function walk(folder: string, real: string, { passed, above, seen }: Walk): string[] {
  if (above.includes(real) || seen?.has(real)) return [];
  seen?.add(real);
  let entries: Dirent[];
  try {
    entries = readdirSync(folder, { withFileTypes: true }).filter((entry) => !entry.name.startsWith('.'));
  } catch (error) {
    throw unreadable(folder, error);
  }
  entries.sort((a, b) => (a.name < b.name ? -1 : 1));
  const names = entries.map(({ name }) => name);
  const own = ownOutput(folder, names);
  if (own) passed.own.push(`${folder} (${own.what})`);
  const inside: Walk = { passed, above: [...above, real], seen };
  return entries.flatMap((entry) => {
    if (own?.owns(entry.name)) return [];
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return walk(path, join(real, entry.name), inside);
    if (!entry.isSymbolicLink()) return entry.isFile() ? [path] : [];
    const target = linkTarget(path);
    if (target === undefined) passed.broken.push(path);
    if (target === 'folder') return walk(path, realPath(path), inside);
    return target === 'file' ? [path] : [];
  });
}

/** Target of a link; undefined if there is none or it leads back to itself. */
function linkTarget(path: string): 'file' | 'folder' | 'other' | undefined {
  try {
    const status = statSync(path, { throwIfNoEntry: false });
    if (status?.isDirectory()) return 'folder';
    return status && (status.isFile() ? 'file' : 'other');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ELOOP') return undefined;
    throw unreadable(path, error);
  }
}

function realPath(folder: string): string {
  try {
    return realpathSync(folder);
  } catch (error) {
    throw unreadable(folder, error);
  }
}

function unreadable(folder: string, error: unknown): ApolloError {
  return new ApolloError('BAD_CORPUS', `The folder ${folder} cannot be read: ${(error as Error).message}.`, {
    cause: error,
  });
}

function expressionOf(segments: readonly string[], pattern: string): RegExp {
  try {
    return new RegExp(`^${segments.map(segmentPattern).join('')}$`);
  } catch (error) {
    const message = `The pattern ${pattern} cannot be read: expected ranges in brackets in order, such as [0-9].`;
    throw new ApolloError('BAD_CORPUS', message, { cause: error });
  }
}

function segmentPattern(segment: string, index: number, all: readonly string[]): string {
  const isLast = index === all.length - 1;
  if (segment === '**') return isLast ? '.*' : '(?:[^/]+/)*';
  const text = segment.replace(/\[([!^]?)(\]?[^\]]*)\]|[*?.+^$()|[\]\\]/g, (part, not?: string, inside?: string) => {
    if (part === '*') return '[^/]*';
    if (part === '?') return '[^/]';
    return inside ? `[${not && '^/'}${inside.replace(/[^\w-]/g, escaped)}]` : `\\${part}`;
  });
  const braces = text.replace(/\{([^{}]*)\}/g, (_, choices: string) => `(?:${choices.split(',').join('|')})`);
  return braces + (isLast ? '' : '/');
}

/** A UTF-16 unit that stands for itself in a regular expression. */
const escaped = (unit: string): string => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`;

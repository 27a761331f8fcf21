/** Finds the text files that a corpus consists of: files, folders (searched to the bottom) and glob patterns. */
import { type BigIntStats, readdirSync, statSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';
import { ApolloError } from '../errors.js';

export interface CorpusFile {
  readonly path: string;
  readonly sizeBytes: number;
  /** Changes whenever the file's content may have changed: device, inode, size, mtime and ctime. */
  readonly fingerprint: string;
  /** Latest of mtime and ctime, in milliseconds. */
  readonly changedMs: number;
}

/** In a folder: .txt, .gz, and what WikiExtractor names wiki_00. */
const textName = /(\.txt|\.gz|^wiki_\d+)$/;

/**
 * The files of `inputs`, in the order given, a folder's or pattern's in the order of their paths; a file that is met
 * twice counts once. Patterns know `*`, `?`, `{a,b}` and, as a whole segment, `**`. Names that begin with a dot are
 * passed over in folders and patterns.
 * @throws ApolloError BAD_CORPUS for a path that does not exist, a folder or pattern without a text file, an empty
 * file, or no input at all.
 */
export function findFiles(inputs: readonly string[]): CorpusFile[] {
  if (inputs.length === 0)
    throw bad('No input was given for the corpus: give files, folders or patterns such as "books/*.txt.gz".');
  const found = new Map<string, CorpusFile>();
  for (const input of inputs) {
    const status = statSync(input, { throwIfNoEntry: false });
    let paths: string[];
    if (status?.isDirectory()) {
      paths = walk(input).filter((path) => textName.test(path.slice(path.lastIndexOf('/') + 1)));
      if (paths.length === 0)
        throw bad(`The folder ${input} holds no text: expected files named .txt, .txt.gz or wiki_00 in it or below.`);
    } else if (status !== undefined) {
      paths = [input];
    } else if (/[*?{]/.test(input)) {
      paths = expand(input);
      if (paths.length === 0) throw bad(`The pattern ${input} matches no file.`);
    } else {
      throw bad(`There is no file or folder ${input}.`);
    }
    for (const path of paths) found.set(resolve(path), describe(path));
  }
  return [...found.values()];
}

/** The file as it is now. @throws ApolloError BAD_CORPUS when it is gone, empty or not a regular file. */
export function describe(path: string): CorpusFile {
  const status: BigIntStats | undefined = statSync(path, { bigint: true, throwIfNoEntry: false });
  if (status === undefined) throw bad(`There is no file or folder ${path}.`);
  if (!status.isFile()) throw bad(`${path} is not a regular file.`);
  if (status.size === 0n) throw bad(`${path} is empty (0 bytes). Leave it out, or put text in it.`);
  return {
    path,
    sizeBytes: Number(status.size),
    fingerprint: [status.dev, status.ino, status.size, status.mtimeNs, status.ctimeNs].join('-'),
    changedMs: Number(status.mtimeMs > status.ctimeMs ? status.mtimeMs : status.ctimeMs),
  };
}

/** All files below a folder, in the order of their names. Linked folders are not followed, so no loop can occur. */
function walk(folder: string): string[] {
  const entries = readdirSync(folder, { withFileTypes: true }).filter((entry) => !entry.name.startsWith('.'));
  entries.sort((a, b) => (a.name < b.name ? -1 : 1));
  return entries.flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return walk(path);
    return statSync(path, { throwIfNoEntry: false })?.isFile() ? [path] : [];
  });
}

/** Files that match a pattern: walks from its last folder without a wildcard. */
function expand(pattern: string): string[] {
  const segments = pattern.split('/');
  const fixed = segments.findIndex((segment) => /[*?{]/.test(segment));
  const root = segments.slice(0, fixed).join('/') || (pattern.startsWith('/') ? '/' : '.');
  if (!statSync(root, { throwIfNoEntry: false })?.isDirectory()) return [];
  const matches = new RegExp(`^${segments.slice(fixed).map(segmentPattern).join('')}$`);
  return walk(root).filter((path) => matches.test(relative(root, path)));
}

function segmentPattern(segment: string, index: number, all: readonly string[]): string {
  const isLast = index === all.length - 1;
  if (segment === '**') return isLast ? '.*' : '(?:[^/]+/)*';
  const text = segment
    .replace(/[.+^$()|[\]\\]/g, '\\$&')
    .replace(/\*/g, '[^/]*')
    .replace(/\?/g, '[^/]');
  const braces = text.replace(/\{([^{}]*)\}/g, (_, choices: string) => `(?:${choices.split(',').join('|')})`);
  return braces + (isLast ? '' : '/');
}

function bad(message: string): ApolloError {
  return new ApolloError('BAD_CORPUS', message);
}

/** Finds the files that a corpus consists of: files, folders (searched to the bottom) and glob patterns. */
import { type BigIntStats, type Dirent, readdirSync, statSync } from 'node:fs';
import { basename, join, relative, resolve } from 'node:path';
import { ApolloError } from '../errors.js';
import { formatNames, formats } from './formats/index.js';
import { packings } from './unpack/index.js';

export interface CorpusFile {
  readonly path: string;
  readonly sizeBytes: number;
  /** Changes whenever the file's content may have changed: device, inode, size, mtime and ctime. */
  readonly fingerprint: string;
  /** Latest of mtime and ctime, in milliseconds. */
  readonly changedMs: number;
  /** Name of its format, see formats/. */
  readonly format: string;
  /** Name of how it is packed, see unpack/. */
  readonly packing: string | undefined;
}

/**
 * The files of `inputs`, in the order given, a folder's or pattern's in the order of their paths; a file that is met
 * twice counts once. Patterns know `*`, `?`, `{a,b}` and, as a whole segment, `**`. Names that begin with a dot are
 * passed over in folders and patterns. `format` 'auto' goes by the names; any other is what all files are.
 * @throws ApolloError BAD_CORPUS for a path that does not exist, a folder or pattern without a fitting file, an empty
 * file, a name that says no format, or no input at all; BAD_CONFIG for a format that does not exist.
 */
export function findFiles(inputs: readonly string[], format = 'auto'): CorpusFile[] {
  if (inputs.length === 0)
    throw bad('No input was given for the corpus: give files, folders or patterns such as "books/*.txt.gz".');
  if (!formatNames.includes(format)) {
    throw new ApolloError('BAD_CONFIG', `There is no format "${format}". Known: ${formatNames.join(', ')}.`);
  }
  const found = new Map<string, CorpusFile>();
  for (const input of inputs) {
    const status = statusOf(input);
    let paths: string[];
    if (status?.isDirectory()) {
      paths = walk(input).filter((path) => folderGives(basename(path), format));
      if (paths.length === 0)
        throw bad(
          format === 'auto'
            ? `The folder ${input} holds no text: expected files named .txt, .jsonl, .parquet or wiki_00 in it or below, packed (.gz, .zst) or not. Tables must be asked for: format csv or tsv.`
            : `The folder ${input} holds no file whose name fits format ${format}. Name files, or give a pattern such as "${join(input, '*')}".`,
        );
    } else if (status !== undefined) {
      paths = [input];
    } else if (/[*?{]/.test(input)) {
      paths = expand(input);
      if (paths.length === 0) throw bad(`The pattern ${input} matches no file.`);
    } else {
      throw bad(`There is no file or folder ${input}.`);
    }
    for (const path of paths) found.set(resolve(path), describe(path, format));
  }
  return [...found.values()];
}

/**
 * The file as it is now.
 * @throws ApolloError BAD_CORPUS when it is gone, empty or not a regular file, or its name says no format.
 */
export function describe(path: string, format = 'auto'): CorpusFile {
  const status = statusOf(path);
  if (status === undefined) throw bad(`There is no file or folder ${path}.`);
  if (!status.isFile()) throw bad(`${path} is not a regular file.`);
  if (status.size === 0n) throw bad(`${path} is empty (0 bytes). Leave it out, or put text in it.`);
  return {
    path,
    sizeBytes: Number(status.size),
    fingerprint: [status.dev, status.ino, status.size, status.mtimeNs, status.ctimeNs].join('-'),
    changedMs: Number(status.mtimeMs > status.ctimeMs ? status.mtimeMs : status.ctimeMs),
    ...kindOf(path, format),
  };
}

/** Format and packing by the name's endings. */
function kindOf(path: string, format: string): Pick<CorpusFile, 'format' | 'packing'> {
  const { name, packing } = unpackedName(basename(path));
  const ending = /\.[a-z]\w*$/i.exec(name)?.[0].toLowerCase() ?? ''; // not ".00" of a part's number
  const found = format === 'auto' ? formats.find(({ endings }) => endings.includes(ending)) : named(format);
  if (found === undefined) {
    const hint = ending === '.json' ? ' If it holds an object on each line, that is jsonl.' : '';
    throw bad(
      `${path}: no format is known by the ending "${ending}". Give one with format (--format): ${formatNames.slice(1).join(', ')}.${hint}`,
    );
  }
  if (packing !== undefined && !found.packable)
    throw bad(`${path}: ${found.name} is packed inside already and is not read from ${packing}. Unpack it.`);
  return { format: found.name, packing };
}

const named = (format: string) => formats.find(({ name }) => name === format)!;

function unpackedName(name: string): { name: string; packing: string | undefined } {
  const packing = packings.find(({ ending }) => name.toLowerCase().endsWith(ending));
  return { name: packing ? name.slice(0, -packing.ending.length) : name, packing: packing?.name };
}

function folderGives(fileName: string, format: string): boolean {
  const { name, packing } = unpackedName(fileName);
  if (format !== 'auto') return named(format).takes(name, packing !== undefined, true);
  return formats.some((each) => each.takes(name, packing !== undefined, false));
}

function statusOf(path: string): BigIntStats | undefined {
  try {
    return statSync(path, { bigint: true, throwIfNoEntry: false });
  } catch (error) {
    throw bad(`${path} cannot be read: ${(error as Error).message}.`);
  }
}

/** All files below a folder, in the order of their names. Linked folders are not followed, so no loop can occur. */
function walk(folder: string): string[] {
  let entries: Dirent[];
  try {
    entries = readdirSync(folder, { withFileTypes: true }).filter((entry) => !entry.name.startsWith('.'));
  } catch (error) {
    throw bad(`The folder ${folder} cannot be read: ${(error as Error).message}.`);
  }
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

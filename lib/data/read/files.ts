/** Finds the files that a corpus consists of: files, folders (searched to the bottom) and glob patterns. */
import { type BigIntStats, realpathSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { ApolloError } from '../../errors.js';
import { unknownName } from '../../suggest.js';
import { formatNames, formats } from './formats/index.js';
import { packings } from './unpack/index.js';
import { filesBelow, filesMatching, isPattern, type PassedOver } from './walk.js';

/** Data that shows without reading a file whether it was changed. */
export interface FileStamp {
  readonly path: string;
  readonly sizeBytes: number;
  /** Changes whenever the file's content may have changed: device, inode, size, mtime and ctime. */
  readonly fingerprint: string;
  /** Latest of mtime and ctime, in milliseconds. */
  readonly changedMs: number;
}

export interface CorpusFile extends FileStamp {
  /** The same for all names of one file, links included. */
  readonly identity: string;
  /** Name of its format, see formats/. */
  readonly format: string;
  /** Name of how it is packed, see unpack/. */
  readonly packing: string | undefined;
}

/** Takes what the user should know of the text, one sentence each. */
export type OnNote = (note: string) => void;

/**
 * The files of `inputs`, in the order given, a folder's or pattern's in the order of their paths; a file that is met
 * twice, under any names and links, counts once. Patterns know `*`, `?`, `[a-c]`, `[!a]`, `{a,b}` and, as a whole segment,
 * `**`. In folders and patterns, names that start with a dot and files that this package writes are skipped; `onNote`
 * receives the latter, and of links that lead nowhere. `format` 'auto' goes by the names; any other is what all files are.
 * @throws ApolloError BAD_CORPUS for a path that does not exist, a folder or pattern without a fitting file, an empty
 * file, a name that says no format, or no input at all; BAD_CONFIG for a format that does not exist.
 */
export function findFiles(inputs: readonly string[], format = 'auto', onNote: OnNote = () => {}): CorpusFile[] {
  if (inputs.length === 0)
    throw bad('No input was given for the corpus: give files, folders or patterns such as "books/*.txt.gz".');
  if (!formatNames.includes(format)) {
    throw new ApolloError('BAD_CONFIG', `There is no format ${unknownName(format, formatNames)}`);
  }
  const found = new Map<string, CorpusFile>();
  const passed: PassedOver = { own: [], broken: [] };
  for (const input of inputs) {
    for (const path of pathsOf(input, format, passed)) {
      const file = describe(path, format);
      if (!found.has(file.identity)) found.set(file.identity, file);
    }
  }
  if (passed.own.length > 0) onNote(ownNote(passed));
  if (passed.broken.length > 0) onNote(`Broken links are skipped: ${few(passed.broken)}.`);
  return [...found.values()];
}

function pathsOf(input: string, format: string, passed: PassedOver): string[] {
  const status = statusOf(input);
  const before = passed.own.length;
  const ownHint = (): string => (passed.own.length > before ? ` ${ownNote(passed)}` : '');
  if (status?.isDirectory()) {
    const paths = filesBelow(input, passed).filter((path) => folderGives(basename(path), format));
    if (paths.length > 0) return paths;
    throw bad(
      (format === 'auto'
        ? `The folder ${input} holds no text: expected files named .txt, .jsonl, .parquet or wiki_00 in it or below, compressed (.gz, .zst) or not. Tables require format csv or tsv. See docs/troubleshooting.md#no-text-found.`
        : `The folder ${input} holds no file whose name fits format ${format}. Name files, or give a pattern such as "${join(input, '*')}".`) +
        ownHint(),
    );
  }
  if (status !== undefined) return [input];
  if (isPattern(input)) {
    const paths = filesMatching(input, passed);
    if (paths.length === 0) throw bad(`The pattern ${input} matches no file.${ownHint()}`);
    return paths;
  }
  throw bad(`There is no file or folder ${input}. See docs/troubleshooting.md#no-text-found.`);
}

function ownNote({ own }: PassedOver): string {
  return `Output of apollo-lm and files of models are skipped: ${few(own)}.`;
}

function few(names: readonly string[]): string {
  return names.slice(0, 6).join(', ') + (names.length > 6 ? ` and ${names.length - 6} more` : '');
}

/**
 * The file as it is now.
 * @throws ApolloError BAD_CORPUS when it is gone, empty or not a regular file, or its name says no format.
 */
export function describe(path: string, format = 'auto'): CorpusFile {
  const status = statusOf(path);
  if (status === undefined) throw bad(`There is no file or folder ${path}.`);
  if (!status.isFile()) throw bad(`${path} is not a regular file.`);
  if (status.size === 0n) throw bad(`${path} is empty (0 bytes). Remove it from the inputs, or put text in it.`);
  return {
    ...stampOf(path, status),
    identity: status.ino === 0n ? realpathSync(path) : `${status.dev}-${status.ino}`, // 0: the file system has none
    ...kindOf(path, format),
  };
}

/** The stamp of a file whose `status` was read just now. */
export function stampOf(path: string, status: BigIntStats): FileStamp {
  return {
    path,
    sizeBytes: Number(status.size),
    fingerprint: [status.dev, status.ino, status.size, status.mtimeNs, status.ctimeNs].join('-'),
    changedMs: Number(status.mtimeMs > status.ctimeMs ? status.mtimeMs : status.ctimeMs),
  };
}

/** Format and packing by the name's endings. */
function kindOf(path: string, format: string): Pick<CorpusFile, 'format' | 'packing'> {
  const { name, packing } = unpackedName(basename(path));
  const ending = /\.[a-z]\w*$/i.exec(name)?.[0].toLowerCase() ?? ''; // not ".00" of a part's number
  const found = format === 'auto' ? formats.find(({ endings }) => endings.includes(ending)) : named(format);
  if (found === undefined) {
    throw bad(
      `${path}: no format is known by the ending "${ending}". Give one with format (--format): ${formatNames.slice(1).join(', ')}. See docs/troubleshooting.md#no-text-found.`,
    );
  }
  if (packing !== undefined && !found.packable)
    throw bad(`${path}: ${found.name} is compressed internally and is not read from ${packing}. Decompress it.`);
  return { format: found.name, packing };
}

const named = (format: string) => formats.find(({ name }) => name === format)!;

/** A file's name without the ending of a packing, and which packing that is. */
export function unpackedName(name: string): { name: string; packing: string | undefined } {
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

function bad(message: string): ApolloError {
  return new ApolloError('BAD_CORPUS', message);
}

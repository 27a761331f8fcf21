/** Inputs of a corpus: paths, reading options, and weights of a mixture. */
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { ApolloError } from '../../errors.js';
import { type CorpusFile, findFiles, type OnNote } from './files.js';
import { formats, type RecordOptions } from './formats/index.js';

/** How files of text are read. */
export interface ReadOptions extends RecordOptions {
  /** Format of the files; 'auto' goes by their names. See docs/data.md. */
  readonly format?: string | undefined;
}

/** Files of text, with their weight in a mixture and how they are read. */
export interface CorpusInput extends ReadOptions {
  /** Files, folders and patterns. */
  readonly path: string | readonly string[];
  /** Share of the training batches that comes from here, in proportion to the other inputs' weights. */
  readonly weight?: number | undefined;
}

/** Files that belong together. */
export interface SourceFiles {
  readonly name: string;
  /** Undefined where no input has one: all files are one source then. */
  readonly weight: number | undefined;
  readonly files: readonly CorpusFile[];
  readonly options: readonly RecordOptions[];
}

/**
 * `PATH:WEIGHT` as an input; text that does not end in a colon and a number is a path.
 * @throws ApolloError BAD_CONFIG when there is a file of the whole name.
 */
export function parseInput(text: string): CorpusInput {
  const [, path, weight] = /^(.+):(\d+(?:\.\d+)?|\.\d+)$/s.exec(text) ?? [];
  if (path === undefined) return { path: text };
  if (existsSync(text)) {
    throw new ApolloError(
      'BAD_CONFIG',
      `"${text}" is a file or folder of that name, and could be "${path}" with the weight ${weight}. Give it a weight as well: "${text}:1".`,
    );
  }
  return { path, weight: Number(weight) };
}

/**
 * The files of the inputs: one source for all of them, or one per input where weights are given.
 * @throws ApolloError BAD_CORPUS as findFiles; BAD_CONFIG for weights that are not above 0, that only some inputs have,
 * options that do not go with a file's format, or a file in two inputs with weights, be it by a link, which would put
 * the text held out from one into training by the other.
 */
export function findSources(
  inputs: readonly (string | CorpusInput)[],
  defaults: ReadOptions,
  onNote?: OnNote,
): SourceFiles[] {
  const parsed = inputs.map((input) => (typeof input === 'string' ? parseInput(input) : input));
  const weighted = parsed.filter(({ weight }) => weight !== undefined);
  if (weighted.length > 0 && weighted.length < parsed.length) {
    const without = parsed.find(({ weight }) => weight === undefined)!;
    throw new ApolloError(
      'BAD_CONFIG',
      `Give each input a weight or none: "${nameOf(without)}" has none, "${nameOf(weighted[0]!)}" has ${weighted[0]!.weight}.`,
    );
  }
  const sources = parsed.map((input) => {
    const { path, weight, format, ...options } = { ...defaults, ...defined(input) } as CorpusInput;
    if (weight !== undefined && !(weight > 0 && weight < Number.POSITIVE_INFINITY))
      throw new ApolloError('BAD_CONFIG', `The weight of "${nameOf(input)}" must be a number above 0; got ${weight}.`);
    const files = filesToRead(typeof path === 'string' ? [path] : path, { ...options, format }, onNote);
    const own = typeof input === 'string' ? [] : unused(files, input);
    for (const note of own) onNote?.(`No effect: ${note}`);
    return { name: nameOf(input), weight, files, options: files.map(() => options) };
  });
  const all = sources.flatMap(({ files }) => files);
  for (const note of unused(all, defaults)) onNote?.(`No effect: ${note}`);
  if (weighted.length > 1) {
    checkApart(sources);
    return sources;
  }
  if (sources.length === 0) findFiles([]);
  // A file that is met twice counts once.
  const first = new Map<string, { file: CorpusFile; options: RecordOptions }>();
  for (const { files, options } of sources) {
    files.forEach((file, i) => {
      if (!first.has(file.identity)) first.set(file.identity, { file, options: options[i]! });
    });
  }
  const found = [...first.values()];
  return [
    {
      name: sources.map(({ name }) => name).join(', '),
      weight: undefined,
      files: found.map(({ file }) => file),
      options: found.map(({ options }) => options),
    },
  ];
}

/**
 * The files of some paths, with options that go with their formats.
 * @throws ApolloError BAD_CORPUS as findFiles; BAD_CONFIG for options that do not.
 */
export function filesToRead(
  paths: readonly string[],
  { format, ...options }: ReadOptions,
  onNote?: OnNote,
): CorpusFile[] {
  const { field } = options;
  if (typeof field === 'number' && !(Number.isInteger(field) && field >= 1))
    throw new ApolloError('BAD_CONFIG', `A column's number counts from 1; got ${field}.`);
  const files = findFiles(paths, format, onNote);
  for (const file of files) formats.find(({ name }) => name === file.format)?.check?.(file.path, options);
  return files;
}

/** In words, the formats that an option of reading is for. */
const usersOf: Readonly<Record<keyof RecordOptions, string>> = {
  field: 'JSON lines, Parquet, CSV or TSV',
  header: 'CSV or TSV',
  quotes: 'CSV or TSV',
  decodeEntities: 'output of WikiExtractor',
};

/** One sentence for each option that is of no use for any of the files. */
function unused(files: readonly CorpusFile[], options: RecordOptions): string[] {
  const [first] = files;
  if (first === undefined) return [];
  return (Object.keys(usersOf) as (keyof RecordOptions)[]).flatMap((name) => {
    const isGiven = name === 'decodeEntities' ? options[name] === true : options[name] !== undefined;
    if (
      !isGiven ||
      formats.some((format) => format.reads.includes(name) && files.some((file) => file.format === format.name))
    )
      return [];
    const as = first.format === 'auto' ? 'text' : first.format;
    return `${name} is for ${usersOf[name]}, and none of the files is that: ${first.path} is read as ${as}.`;
  });
}

/**
 * Checks that options of reading are of use for the files of some paths.
 * @throws ApolloError BAD_CORPUS as findFiles; BAD_CONFIG for an option that is not.
 */
export function checkReading(paths: readonly string[], options: ReadOptions): void {
  const [problem] = unused(filesToRead(paths, options), options);
  if (problem)
    throw new ApolloError('BAD_CONFIG', `${problem} Name their format (--format), or remove ${problem.split(' ')[0]}.`);
}

function nameOf({ path }: CorpusInput): string {
  return typeof path === 'string' ? path : path.join(', ');
}

/** Without the fields that are undefined. */
function defined<T extends object>(value: T): Partial<T> {
  return Object.fromEntries(Object.entries(value).filter(([, each]) => each !== undefined)) as Partial<T>;
}

function checkApart(sources: readonly SourceFiles[]): void {
  const owner = new Map<string, { readonly source: string; readonly path: string }>();
  for (const { name, files } of sources) {
    for (const { path, identity } of files) {
      const other = owner.get(identity);
      if (other !== undefined) {
        const link = resolve(other.path) === resolve(path) ? '' : ` (by a link: it is the same file as ${other.path})`;
        throw new ApolloError(
          'BAD_CONFIG',
          `${path} is in two inputs with weights${link}: "${other.source}" and "${name}".`,
        );
      }
      owner.set(identity, { source: name, path });
    }
  }
}

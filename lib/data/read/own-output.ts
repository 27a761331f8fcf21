/** Knows by their contents the folders that this package writes, so that a corpus does not take them for text. */
import { closeSync, existsSync, openSync, readFileSync, readSync } from 'node:fs';
import { join } from 'node:path';

/** Recognises this package's output in a folder, and the entries that belong to it. */
export interface OwnOutput {
  /** "a run". */
  readonly what: string;
  owns(name: string): boolean;
}

type Names = ReadonlySet<string>;

interface Kind {
  readonly what: string;
  /** Whether a folder with these names in it is of this kind. */
  is(folder: string, names: Names): boolean;
  /** Entries that belong to it; other files and folders next to them are the user's. */
  readonly entries: RegExp;
}

/** Files of a tokenizer as `saveTokenizer`, exports and Hugging Face name them. */
const tokenizerFiles = 'vocab\\.txt|vocab\\.json|merges\\.txt|(?:tokenizer|special_tokens|added_tokens)\\w*\\.json';
const isEntry = /^(?:tokenizer-)?[0-9a-f]{32}$/;

const kinds: readonly Kind[] = [
  {
    what: 'a checkpoint',
    is: (folder, names) =>
      names.has('state.json') && hasFields(join(folder, 'state.json'), ['formatVersion', 'identity', 'layerMap']),
    entries: /^(?:state\.json|.+\.safetensors)$/,
  },
  {
    what: 'a run',
    is: (folder, names) =>
      (names.has('settings.json') && hasFields(join(folder, 'settings.json'), ['methodOptions', 'heldOut'])) ||
      (names.has('metrics.jsonl') && firstLineHas(join(folder, 'metrics.jsonl'), ['type', 'method', 'seed', 'step'])),
    entries:
      /^(?:settings\.json|metrics.*\.jsonl|tokenizer\.json|results\.json|report\.html|table\.md|.+\.svg|checkpoints)$/,
  },
  {
    what: 'results',
    is: (folder, names) =>
      names.has('results.json') &&
      (formatOf(join(folder, 'results.json')).startsWith('apollo-lm/') ||
        ['text', 'lambada', 'task'].some((found) => hasFields(join(folder, 'results.json'), ['model', found]))),
    entries: /^(?:results\.json|report\.html|table\.md|.+\.svg)$/,
  },
  {
    what: 'a fine-tuning run',
    is: (folder, names) =>
      names.has('history.json') && hasFields(join(folder, 'history.json'), ['formatVersion', 'identity', 'epochs']),
    entries: /^(?:history\.json|checkpoints|model)$/,
  },
  {
    what: 'a model',
    is: (_, names) =>
      [...names].some((name) => /\.safetensors(?:\.index\.json)?$|^pytorch_model.*\.bin$/.test(name)) &&
      (names.has('config.json') || names.has('tokenizer.json') || names.has('vocab.txt')),
    entries: new RegExp(
      `^(?:${tokenizerFiles}|(?:config|generation_config|finetuned)\\.json|.+\\.safetensors(?:\\.index\\.json)?)$`,
    ),
  },
  {
    what: 'a tokenizer',
    is: (_, names) =>
      names.has('tokenizer_config.json') ||
      (names.has('tokenizer.json') && (names.has('vocab.txt') || names.has('merges.txt'))) ||
      (names.has('vocab.json') && names.has('merges.txt')),
    entries: new RegExp(`^(?:${tokenizerFiles})$`),
  },
  {
    what: 'a cache of prepared text',
    is: (folder, names) =>
      [...names].some(
        (name) =>
          isEntry.test(name) &&
          (existsSync(join(folder, name, 'tokens.bin')) || existsSync(join(folder, name, 'tokenizer.json'))),
      ),
    entries: /^(?:(?:tokenizer-)?[0-9a-f]{32}|digests\.json)$/,
  },
];

/** This package's output in `folder`, which has the entries `names`; undefined: none. */
export function ownOutput(folder: string, names: readonly string[]): OwnOutput | undefined {
  const all = new Set(names);
  const found = kinds.filter((kind) => kind.is(folder, all));
  if (found.length === 0) return undefined;
  // A model usually has its tokenizer next to it; this is not reported.
  const told = found.length > 1 ? found.filter(({ what }) => what !== 'a tokenizer') : found;
  return {
    what: told.map(({ what }) => what).join(' and '),
    owns: (name) => found.some(({ entries }) => entries.test(name)),
  };
}

function fieldsOf(text: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {}; // some other program's file
  }
}

function fileFields(path: string): Readonly<Record<string, unknown>> {
  try {
    return fieldsOf(readFileSync(path, 'utf8'));
  } catch {
    return {}; // a folder of that name, or one that may not be read: not known as ours
  }
}

function hasFields(path: string, names: readonly string[]): boolean {
  const fields = fileFields(path);
  return names.every((name) => Object.hasOwn(fields, name));
}

function formatOf(path: string): string {
  const { format } = fileFields(path);
  return typeof format === 'string' ? format : '';
}

/** Bytes that hold the first record of metrics.jsonl. */
const longestRecord = 1 << 14;

function firstLineHas(path: string, names: readonly string[]): boolean {
  try {
    const file = openSync(path, 'r');
    try {
      const bytes = Buffer.alloc(longestRecord);
      const count = readSync(file, bytes, 0, longestRecord, 0);
      const [line = ''] = bytes.toString('utf8', 0, count).split('\n', 1);
      const fields = fieldsOf(line);
      return names.every((name) => Object.hasOwn(fields, name));
    } finally {
      closeSync(file);
    }
  } catch {
    return false;
  }
}

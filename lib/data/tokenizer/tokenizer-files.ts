/**
 * Reads the file layouts in which BERT and GPT-2 tokenizers are passed on, and builds the content of a
 * tokenizer.json from the older ones.
 */
import { existsSync, readFileSync, type Stats, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { ApolloError } from '../../errors.js';
import { fileError, inWords } from '../../fs/error.js';
import { jsonObject } from '../../fs/json-object.js';
import { isUtf16, savedAsUtf16 } from '../../fs/utf16.js';
import { isLfsPointer, lfsPointerMessage } from '../../lfs-pointer.js';
import { bertDefinition, endOfText, gptDefinition, type TokenizerDefinition } from './definitions.js';
import { checkForm } from './pipeline.js';
import { type Beside, hasCapitals, type Source, withSettings } from './settings.js';
import { readTiktoken } from './tiktoken-file.js';

export {
  bertDefinition,
  endOfText,
  gptDefinition,
  type Role,
  type TokenizerDefinition,
  usualTokens,
} from './definitions.js';

/** The two files of a GPT-2 tokenizer: Hugging Face's names, and OpenAI's. */
const pairs = [
  ['vocab.json', 'merges.txt'],
  ['encoder.json', 'vocab.bpe'],
] as const;

/** Files that make a tokenizer by themselves, in the order in which a folder is searched for them. */
const wholeFiles = ['tokenizer.json', 'tokenizer.json.gz'] as const;
const olderFiles = ['vocab.txt', 'r50k_base.tiktoken', 'r50k_base.tiktoken.gz'] as const;

/** Whether a folder has one of the layouts that readTokenizerFiles reads. */
export function holdsTokenizer(folder: string): boolean {
  const layouts = [...wholeFiles, ...olderFiles].map((name): readonly string[] => [name]);
  return [...layouts, ...pairs].some((files) => files.every((name) => existsSync(join(folder, name))));
}

/**
 * The definition found at a file or folder.
 * @throws ApolloError BAD_TOKENIZER when nothing usable is there.
 */
export function readTokenizerFiles(path: string): TokenizerDefinition {
  const status = statusOf(path);
  if (status === undefined) {
    throw new ApolloError('BAD_TOKENIZER', `There is no tokenizer at ${path}: no such file or folder.`);
  }
  if (!status.isDirectory()) return readFile(path);
  for (const name of wholeFiles) if (existsSync(join(path, name))) return readFile(join(path, name));
  for (const pair of pairs) if (pair.every((name) => existsSync(join(path, name)))) return readPair(path, pair);
  for (const name of olderFiles) if (existsSync(join(path, name))) return readFile(join(path, name));
  for (const pair of pairs) if (pair.some((name) => existsSync(join(path, name)))) return readPair(path, pair);
  throw new ApolloError(
    'BAD_TOKENIZER',
    `The folder ${path} holds no tokenizer: expected tokenizer.json, vocab.txt, vocab.json with merges.txt, ` +
      'encoder.json with vocab.bpe, or r50k_base.tiktoken.',
  );
}

function statusOf(path: string): Stats | undefined {
  try {
    return statSync(path, { throwIfNoEntry: false });
  } catch (error) {
    throw fileError(error, 'The tokenizer', path, 'be read');
  }
}

/** @throws ApolloError BAD_TOKENIZER when one of the two is missing or is not what its name says. */
function readPair(folder: string, pair: (typeof pairs)[number]): TokenizerDefinition {
  for (const name of pair) {
    if (existsSync(join(folder, name))) continue;
    const other = pair.find((present) => present !== name)!;
    throw new ApolloError(
      'BAD_TOKENIZER',
      `${join(folder, other)} needs ${name} beside it, and there is none. Copy it into ${folder} from where ${other} came.`,
    );
  }
  const [vocabulary, merges] = [join(folder, pair[0]), join(folder, pair[1])];
  const vocab = parseJson(vocabulary) as Record<string, number>;
  return settled({ kind: 'pair', vocab, merges: mergesOf(readText(merges), merges) }, vocabulary);
}

function readFile(path: string): TokenizerDefinition {
  const pair = pairs.find((names) => names.some((name) => name === basename(path)));
  if (pair !== undefined) return readPair(dirname(path), pair);
  if (/\.json(\.gz)?$/.test(path)) return settled({ kind: 'file', definition: parseDefinition(path) }, path);
  if (/\.tiktoken(\.gz)?$/.test(path)) return tiktokenDefinition(path);
  if (!path.endsWith('.txt')) {
    throw new ApolloError(
      'BAD_TOKENIZER',
      `${path} is not a tokenizer file: expected a name that ends in .json, .json.gz, .tiktoken or .txt (BERT's ` +
        'vocab.txt). For vocab.json with merges.txt, or encoder.json with vocab.bpe, give their folder.',
    );
  }
  return vocabTxtDefinition(path);
}

/** One token per line, without white space at its end; a token that occurs twice has the later id. As in Python. */
function vocabTxtDefinition(path: string): TokenizerDefinition {
  const lines = readText(path, true).split('\n');
  if (lines.at(-1) === '') lines.pop();
  const vocab = Object.fromEntries(lines.map((line, id) => [trimmedEnd(line), id]));
  const definition = settled({ kind: 'words', vocab }, path);
  const unknown = definition.model.unk_token ?? '[UNK]';
  if (Object.hasOwn(vocab, unknown)) return definition;
  const hint = lines.length === 1 && lines[0]!.includes('\r') ? '. Its lines end in \\r alone; end them in \\n' : '';
  throw new ApolloError(
    'BAD_TOKENIZER',
    `${path} is not a BERT vocabulary: no line of it is ${unknown}. A vocabulary has one token a line${hint}.`,
  );
}

/** White space of Unicode at the end goes; JavaScript's trimEnd would take U+FEFF too, and leave U+0085. */
function trimmedEnd(line: string): string {
  return line.replace(/\p{White_Space}+$/u, '');
}

/** The definition from a vocabulary and the files next to it, which are read for files with the usual names. */
function settled(source: Source, path: string): TokenizerDefinition {
  const isUsual = [...wholeFiles, ...pairs.flat(), 'vocab.txt'].some((name) => name === basename(path));
  const read = (name: string) => {
    const file = join(dirname(path), name);
    return isUsual && existsSync(file) ? parseJson(file) : undefined;
  };
  const beside: Beside = {
    config: read('tokenizer_config.json'),
    specialTokensMap: read('special_tokens_map.json'),
    addedTokens: read('added_tokens.json'),
    model: read('config.json'),
  };
  if (Object.values(beside).some((file) => file !== undefined)) return withSettings(source, beside, path);
  if (source.kind === 'file') return source.definition;
  return source.kind === 'words'
    ? bertDefinition(source.vocab, !hasCapitals(source.vocab))
    : gptDefinition(source.vocab, source.merges);
}

function parseDefinition(path: string): TokenizerDefinition {
  const definition = parseJson(path) as unknown as TokenizerDefinition;
  checkForm(definition, path);
  return definition;
}

function tiktokenDefinition(path: string): TokenizerDefinition {
  if (!/^(r50k_base|gpt2)\./.test(basename(path))) {
    throw new ApolloError(
      'BAD_TOKENIZER',
      `${path} cannot be used: of tiktoken's vocabularies only r50k_base (GPT-2's) splits text as GPT-2 does.`,
    );
  }
  const { vocab, merges } = readTiktoken(readText(path), path);
  return gptDefinition({ ...vocab, [endOfText]: Object.keys(vocab).length }, merges);
}

/** Lines `left right` of merges.txt or vocab.bpe; a first line `#version` is skipped. */
function mergesOf(text: string, path: string): [string, string][] {
  const merges: [string, string][] = [];
  for (const [i, line] of text.split(/\r?\n/).entries()) {
    if (line === '' || (i === 0 && line.startsWith('#version'))) continue;
    const parts = line.split(' ');
    if (parts.length !== 2 || parts.includes('')) {
      throw new ApolloError(
        'BAD_TOKENIZER',
        `${path}: line ${i + 1} is ${JSON.stringify(line.slice(0, 60))}, expected two tokens with a blank between them.`,
      );
    }
    merges.push(parts as [string, string]);
  }
  return merges;
}

function parseJson(path: string): Record<string, unknown> {
  return jsonObject(readBytes(path), path, 'BAD_TOKENIZER');
}

function readBytes(path: string): Uint8Array {
  try {
    const stored = readFileSync(path);
    return path.endsWith('.gz') ? gunzipSync(stored) : stored;
  } catch (error) {
    throw new ApolloError('BAD_TOKENIZER', `${path} cannot be read: ${inWords(error)}.`, { cause: error });
  }
}

function readText(path: string, keepsMark = false): string {
  const bytes = readBytes(path);
  if (isLfsPointer(bytes)) throw new ApolloError('BAD_TOKENIZER', `${path} ${lfsPointerMessage}`);
  if (isUtf16(bytes)) throw new ApolloError('BAD_TOKENIZER', `${path} ${savedAsUtf16}.`);
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: keepsMark }).decode(bytes);
  } catch (error) {
    throw new ApolloError('BAD_TOKENIZER', `${path} is not UTF-8 text.`, { cause: error });
  }
}

/**
 * Reads the file layouts in which BERT and GPT-2 tokenizers are passed on, and builds the content of a
 * tokenizer.json from the older ones.
 */
import { existsSync, readFileSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { ApolloError } from '../errors.js';
import { uncased } from './pretokenize.js';
import type { AddedToken } from './tokenizer/added-tokens.js';
import { readTiktoken } from './tiktoken-file.js';

/** The part of tokenizer.json that is looked at here; the rest is kept as it is. */
export interface TokenizerDefinition {
  version?: string;
  truncation?: unknown;
  padding?: unknown;
  added_tokens?: AddedToken[];
  normalizer?: {
    type: string;
    clean_text?: boolean;
    handle_chinese_chars?: boolean;
    strip_accents?: boolean | null;
    lowercase?: boolean;
    normalizers?: readonly object[];
  } | null;
  pre_tokenizer?: {
    type: string;
    add_prefix_space?: boolean;
    use_regex?: boolean;
    trim_offsets?: boolean;
    pretokenizers?: readonly object[];
  } | null;
  post_processor?: unknown;
  decoder?: unknown;
  model: {
    type?: string;
    vocab?: Record<string, number> | [string, number][];
    merges?: (string | [string, string])[];
    unk_token?: string | null;
    continuing_subword_prefix?: string | null;
    end_of_word_suffix?: string | null;
    max_input_chars_per_word?: number;
    dropout?: number | null;
    byte_fallback?: boolean;
    fuse_unk?: boolean;
    ignore_merges?: boolean;
    unk_id?: number | null;
  };
  /** Special tokens in a text are text. Not a part of tokenizer.json: a setting of tokenizer_config.json. */
  split_special_tokens?: boolean;
  /** Tokens with a role, where tokenizer_config.json names others than are usual. Not a part of tokenizer.json. */
  special_roles?: Partial<Record<Role, string>>;
}

/** What a special token is for. */
export type Role = 'mask' | 'pad' | 'cls' | 'sep' | 'unk' | 'eot';

/** The two files of a GPT-2 tokenizer: Hugging Face's names, and OpenAI's. */
const pairs = [
  ['vocab.json', 'merges.txt'],
  ['encoder.json', 'vocab.bpe'],
] as const;

/** Files that make a tokenizer by themselves, in the order in which a folder is searched for them. */
const wholeFiles = ['tokenizer.json', 'tokenizer.json.gz'] as const;
const olderFiles = ['vocab.txt', 'r50k_base.tiktoken', 'r50k_base.tiktoken.gz'] as const;

/**
 * The definition found at a file or folder.
 * @throws ApolloError BAD_TOKENIZER when nothing usable is there.
 */
export function readTokenizerFiles(path: string): TokenizerDefinition {
  const status = statSync(path, { throwIfNoEntry: false });
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
  return gptDefinition(parseJson(vocabulary) as Record<string, number>, mergesOf(readText(merges), merges));
}

/** The definition of a BERT tokenizer over a vocabulary that holds [PAD], [UNK], [CLS], [SEP] and [MASK]. */
export function bertDefinition(vocab: Record<string, number>, lowercase = true): TokenizerDefinition {
  const idOf = (content: string): number | undefined => (Object.hasOwn(vocab, content) ? vocab[content] : undefined);
  const specials = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]'].filter((content) => idOf(content) !== undefined);
  const marker = (id: string, type_id = 0) => ({ SpecialToken: { id, type_id } });
  const sequence = (id: string, type_id: number) => ({ Sequence: { id, type_id } });
  const framed = idOf('[CLS]') !== undefined && idOf('[SEP]') !== undefined;
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: specials.map((content) => addedToken(idOf(content)!, content)),
    normalizer: {
      type: 'BertNormalizer',
      clean_text: uncased.cleanText,
      handle_chinese_chars: uncased.spaceHan,
      strip_accents: null,
      lowercase,
    },
    pre_tokenizer: { type: 'BertPreTokenizer' },
    post_processor: framed
      ? {
          type: 'TemplateProcessing',
          single: [marker('[CLS]'), sequence('A', 0), marker('[SEP]')],
          pair: [marker('[CLS]'), sequence('A', 0), marker('[SEP]'), sequence('B', 1), marker('[SEP]', 1)],
          special_tokens: Object.fromEntries(
            ['[CLS]', '[SEP]'].map((id) => [id, { id, ids: [idOf(id)!], tokens: [id] }]),
          ),
        }
      : null,
    decoder: { type: 'WordPiece', prefix: '##', cleanup: true },
    model: {
      type: 'WordPiece',
      unk_token: '[UNK]',
      continuing_subword_prefix: '##',
      max_input_chars_per_word: 100,
      vocab,
    },
  };
}

export const endOfText = '<|endoftext|>';

/** The definition of a GPT-2 tokenizer; `<|endoftext|>` is special where the vocabulary has it. */
export function gptDefinition(vocab: Record<string, number>, merges: [string, string][]): TokenizerDefinition {
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: Object.hasOwn(vocab, endOfText) ? [addedToken(vocab[endOfText]!, endOfText)] : [],
    normalizer: null,
    pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true },
    post_processor: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: false, use_regex: true },
    decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: false,
      vocab,
      merges,
    },
  };
}

function addedToken(id: number, content: string) {
  return { id, content, single_word: false, lstrip: false, rstrip: false, normalized: false, special: true };
}

function readFile(path: string): TokenizerDefinition {
  const pair = pairs.find((names) => names.some((name) => name === basename(path)));
  if (pair !== undefined) return readPair(dirname(path), pair);
  if (/\.json(\.gz)?$/.test(path)) return parseJson(path) as unknown as TokenizerDefinition;
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

function vocabTxtDefinition(path: string): TokenizerDefinition {
  const lines = readText(path).split(/\r?\n/);
  while (lines.at(-1) === '') lines.pop();
  const bad = (reason: string): ApolloError =>
    new ApolloError('BAD_TOKENIZER', `${path} is not a BERT vocabulary: ${reason}.`);
  if (!lines.includes('[UNK]')) throw bad('no line of it is [UNK]. A vocabulary has one token a line');
  const lineOf = new Map<string, number>();
  for (const [id, token] of lines.entries()) {
    if (token === '') throw bad(`line ${id + 1} is empty. A line's place is its token's id, so each must hold a token`);
    const before = lineOf.get(token);
    if (before !== undefined) {
      throw bad(`lines ${before + 1} and ${id + 1} are both ${JSON.stringify(token)}. Rename one of them`);
    }
    lineOf.set(token, id);
  }
  return bertDefinition(Object.fromEntries(lineOf), isUncased(path, lines));
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

/** tokenizer_config.json beside the vocabulary decides; without it, a vocabulary without capital letters is uncased. */
function isUncased(path: string, tokens: readonly string[]): boolean {
  const config = join(dirname(path), 'tokenizer_config.json');
  if (basename(path) === 'vocab.txt' && existsSync(config)) {
    const { do_lower_case } = parseJson(config);
    if (typeof do_lower_case === 'boolean') return do_lower_case;
  }
  return !tokens.some((token) => /[A-Z]/.test(token) && !/^\[.*\]$/.test(token));
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
  const text = readText(path);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new ApolloError('BAD_TOKENIZER', `${path} is not JSON: ${(error as Error).message}.`);
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  throw new ApolloError(
    'BAD_TOKENIZER',
    `${path} should hold a JSON object, and holds ${Array.isArray(value) ? 'an array' : typeof value}.`,
  );
}

function readText(path: string): string {
  try {
    const bytes = readFileSync(path);
    return new TextDecoder('utf-8', { fatal: true }).decode(path.endsWith('.gz') ? gunzipSync(bytes) : bytes);
  } catch (error) {
    throw new ApolloError('BAD_TOKENIZER', `${path} cannot be read as UTF-8 text: ${(error as Error).message}.`, {
      cause: error,
    });
  }
}

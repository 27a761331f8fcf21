/**
 * Reads the file layouts in which BERT and GPT-2 tokenizers are passed on, and builds the content of a
 * tokenizer.json from the older ones.
 */
import { existsSync, readFileSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { ApolloError } from '../errors.js';
import { uncased } from './pretokenize.js';

/** The part of tokenizer.json that is looked at here; the rest is kept as it is. */
export interface TokenizerDefinition {
  version?: string;
  truncation?: unknown;
  padding?: unknown;
  added_tokens?: {
    id: number;
    content: string;
    single_word: boolean;
    lstrip: boolean;
    rstrip: boolean;
    normalized: boolean;
    special: boolean;
  }[];
  normalizer?: {
    type: string;
    clean_text?: boolean;
    handle_chinese_chars?: boolean;
    strip_accents?: boolean | null;
    lowercase?: boolean;
  } | null;
  pre_tokenizer?: { type: string; add_prefix_space?: boolean; use_regex?: boolean; trim_offsets?: boolean } | null;
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
  };
}

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
  for (const name of ['tokenizer.json', 'tokenizer.json.gz']) {
    if (existsSync(join(path, name))) return readFile(join(path, name));
  }
  for (const [vocabulary, merges] of [
    ['vocab.json', 'merges.txt'],
    ['encoder.json', 'vocab.bpe'],
  ] as const) {
    const [vocabularyFile, mergesFile] = [join(path, vocabulary), join(path, merges)];
    if (existsSync(vocabularyFile) && existsSync(mergesFile)) {
      const vocab = parseJson(vocabularyFile) as Record<string, number>;
      return gptDefinition(vocab, mergesOf(readText(mergesFile)));
    }
  }
  if (existsSync(join(path, 'vocab.txt'))) return readFile(join(path, 'vocab.txt'));
  throw new ApolloError(
    'BAD_TOKENIZER',
    `The folder ${path} holds no tokenizer: expected tokenizer.json, vocab.txt, vocab.json with merges.txt, or encoder.json with vocab.bpe.`,
  );
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

/** The definition of a GPT-2 tokenizer; `<|endoftext|>` is special where the vocabulary has it. */
export function gptDefinition(vocab: Record<string, number>, merges: [string, string][]): TokenizerDefinition {
  const end = '<|endoftext|>';
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: Object.hasOwn(vocab, end) ? [addedToken(vocab[end]!, end)] : [],
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
  if (/\.json(\.gz)?$/.test(path)) return parseJson(path) as unknown as TokenizerDefinition;
  if (!path.endsWith('.txt')) {
    throw new ApolloError(
      'BAD_TOKENIZER',
      `${path} is not a tokenizer file: expected a name that ends in .json, .json.gz or .txt (BERT's vocab.txt). ` +
        'For vocab.json with merges.txt, or encoder.json with vocab.bpe, give their folder.',
    );
  }
  const lines = readText(path).split(/\r?\n/);
  while (lines.at(-1) === '') lines.pop();
  if (!lines.includes('[UNK]')) {
    throw new ApolloError('BAD_TOKENIZER', `${path} is not a BERT vocabulary: no line of it is [UNK].`);
  }
  return bertDefinition(Object.fromEntries(lines.map((token, id) => [token, id])), isUncased(path, lines));
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
function mergesOf(text: string): [string, string][] {
  const lines = text.split(/\r?\n/).filter((line, i) => line !== '' && !(i === 0 && line.startsWith('#version')));
  return lines.map((line) => line.split(' ') as [string, string]);
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

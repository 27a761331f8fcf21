/** The content of a tokenizer.json, and how it is built for the tokenizers of BERT, GPT-2, Qwen 2, Llama, RoBERTa and CLIP. */

import type { AddedToken } from './added-tokens.js';
import { uncased } from './pretokenize.js';
import { qwen2Pattern } from './word-scanners.js';

/** The part of tokenizer.json that is looked at here; the rest is kept as it is. */
export interface TokenizerDefinition {
  /** Version of the format, '1.0'; not used, only kept. */
  version?: string;
  /** Not used, and no part of the digest: how long a text may be is an option of each call. */
  truncation?: unknown;
  /** Not used, and no part of the digest: the package pads rows itself. */
  padding?: unknown;
  /** Tokens that are found in the text before it is split; those that are `special` are never masked or drawn. */
  added_tokens?: AddedToken[];
  /**
   * What changes the text before it is split, such as lower case or NFC. `type` names it; the other fields depend on
   * the type. Absent or null: nothing changes it.
   */
  normalizer?: {
    type: string;
    clean_text?: boolean;
    handle_chinese_chars?: boolean;
    strip_accents?: boolean | null;
    lowercase?: boolean;
    normalizers?: readonly object[];
  } | null;
  /** How the text is split into words, within which the model works. Absent or null: it is not split. */
  pre_tokenizer?: {
    type: string;
    add_prefix_space?: boolean;
    use_regex?: boolean;
    trim_offsets?: boolean;
    pretokenizers?: readonly object[];
  } | null;
  /** Which special tokens are put around one text and around a pair of texts. Absent or null: none. */
  post_processor?: unknown;
  /** How tokens are joined into text. Absent or null: the general pipeline joins them by blanks. */
  decoder?: unknown;
  /**
   * The vocabulary and what makes tokens of a word: WordPiece, byte-level or other BPE, WordLevel or Unigram, by its
   * `type`.
   */
  model: {
    /** 'WordPiece', 'BPE', 'WordLevel' or 'Unigram'; where older files leave it out, it follows from the other fields. */
    type?: string;
    /** Ids by token; of Unigram the pairs of token and log-probability, whose places are the ids. */
    vocab?: Record<string, number> | [string, number][];
    /** BPE: pairs of tokens that are joined, those of highest priority first, as `'a b'` or `['a', 'b']`. */
    merges?: (string | [string, string])[];
    /** Token for what the vocabulary lacks. Default: '[UNK]' for WordPiece, '<unk>' for WordLevel, none for BPE. */
    unk_token?: string | null;
    /** Put before each piece of a word but its first. Default: '##' for WordPiece, '' for BPE. */
    continuing_subword_prefix?: string | null;
    /** BPE: put after the last piece of a word. Default: ''. */
    end_of_word_suffix?: string | null;
    /** WordPiece: a longer word is one unknown token; in characters. Default: 100. */
    max_input_chars_per_word?: number;
    /** BPE: probability that a merge is skipped; only 0 or absent is accepted, since ids must be fixed. */
    dropout?: number | null;
    /** BPE and Unigram: a character that the vocabulary lacks becomes the tokens of its UTF-8 bytes (`<0x0A>`). Default: false. */
    byte_fallback?: boolean;
    /** BPE: neighbouring unknown characters are one unknown token. Default: false. */
    fuse_unk?: boolean;
    /** BPE: a word that is a token itself is not split. Default: false. */
    ignore_merges?: boolean;
    /** Unigram: id of the unknown token. Default: none. */
    unk_id?: number | null;
  };
  /** Special tokens in a text are text. Not a part of tokenizer.json: a setting of tokenizer_config.json. */
  split_special_tokens?: boolean;
  /** Tokens with a role, where tokenizer_config.json names others than are usual. Not a part of tokenizer.json. */
  special_roles?: Partial<Record<Role, string>>;
}

/** The role of a special token. */
export type Role = 'mask' | 'pad' | 'cls' | 'sep' | 'unk' | 'bos' | 'eot';

/** Token names of a role that are known without a file. */
export const usualTokens: Readonly<Record<Role, readonly string[]>> = {
  mask: ['[MASK]', '<mask>'],
  pad: ['[PAD]', '<pad>'],
  cls: ['[CLS]', '<s>'],
  sep: ['[SEP]', '</s>'],
  unk: ['[UNK]', '<unk>'],
  bos: [], // the post-processor defines what precedes a text
  eot: ['<|endoftext|>', '<|end_of_text|>'],
};

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
export function gptDefinition(
  vocab: Record<string, number>,
  merges: (string | [string, string])[],
): TokenizerDefinition {
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

/** The definition of a Qwen 2 tokenizer: GPT-2's, of composed text and with words of its own. */
export function qwen2Definition(
  vocab: Record<string, number>,
  merges: (string | [string, string])[],
  addsBlanks: boolean,
): TokenizerDefinition {
  return {
    ...gptDefinition(vocab, merges),
    normalizer: { type: 'NFC' },
    pre_tokenizer: {
      type: 'Sequence',
      pretokenizers: [
        { type: 'Split', pattern: { Regex: qwen2Pattern }, behavior: 'Isolated', invert: false },
        { type: 'ByteLevel', add_prefix_space: addsBlanks, trim_offsets: true, use_regex: false },
      ],
    },
    post_processor: null,
  };
}

/** The definition of a Llama tokenizer (the first two generations): SentencePiece's BPE, with bytes for unknown characters. */
export function llamaDefinition(
  vocab: Record<string, number>,
  merges: (string | [string, string])[],
  prependScheme: 'always' | 'first' | 'never',
): TokenizerDefinition {
  const mark = '\u2581';
  const { model, ...rest } = gptDefinition(vocab, merges);
  const pre_tokenizer = { type: 'Metaspace', replacement: mark, prepend_scheme: prependScheme, split: false };
  const withoutBlank = { type: 'Strip', content: ' ', start: 1, stop: 0 };
  return {
    ...rest,
    pre_tokenizer,
    post_processor: null,
    decoder: {
      type: 'Sequence',
      decoders: [
        { type: 'Replace', pattern: { String: mark }, content: ' ' },
        { type: 'ByteFallback' },
        { type: 'Fuse' },
        ...(prependScheme === 'never' ? [] : [withoutBlank]),
      ],
    },
    model: { ...model, fuse_unk: true, byte_fallback: true },
  };
}

/** Special tokens that RoBERTa and CLIP put around texts: one at each end, and two between two texts. */
export function robertaFrame(cls: [string, number], sep: [string, number], trimsOffsets: boolean) {
  return { type: 'RobertaProcessing', sep, cls, trim_offsets: trimsOffsets, add_prefix_space: false };
}

/** The definition of CLIP's tokenizer of texts: lower case, pieces that end a word marked by `</w>`. */
export function clipDefinition(
  vocab: Record<string, number>,
  merges: TokenizerDefinition['model']['merges'],
  unknown: string,
): TokenizerDefinition {
  const words = "<\\|startoftext\\|>|<\\|endoftext\\|>|'s|'t|'re|'ve|'m|'ll|'d|[\\p{L}]+|[\\p{N}]|[^\\s\\p{L}\\p{N}]+";
  const bytes = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true };
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: [],
    normalizer: {
      type: 'Sequence',
      normalizers: [
        { type: 'NFC' },
        { type: 'Replace', pattern: { Regex: '\\s+' }, content: ' ' },
        { type: 'Lowercase' },
      ],
    },
    pre_tokenizer: {
      type: 'Sequence',
      pretokenizers: [{ type: 'Split', pattern: { Regex: words }, behavior: 'Removed', invert: true }, bytes],
    },
    post_processor: null,
    decoder: bytes,
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: unknown,
      continuing_subword_prefix: '',
      end_of_word_suffix: '</w>',
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: false,
      vocab,
      ...(merges !== undefined && { merges }),
    },
  };
}

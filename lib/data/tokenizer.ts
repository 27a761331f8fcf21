/**
 * The one interface to tokenizers: ids of text without special tokens, text of ids, and which ids are special.
 * BERT's WordPiece and GPT-2's byte-level BPE run on our encoders (cached, about 10 times as fast); every other
 * pipeline that a tokenizer.json can describe runs on @huggingface/tokenizers, which also decodes.
 */
import { createHash } from 'node:crypto';
import { Tokenizer as HuggingFaceTokenizer } from '@huggingface/tokenizers';
import { ApolloError } from '../errors.js';
import { byteBpeEncoder } from './byte-bpe.js';
import { IdBuffer } from './id-buffer.js';
import { byteCharacters } from './pretokenize.js';
import { readTokenizerFiles, type TokenizerDefinition } from './tokenizer-files.js';
import { wordPieceEncoder } from './wordpiece.js';

/** Ids of the tokens with a role; undefined where the vocabulary has none. */
export interface SpecialTokens {
  readonly mask: number | undefined;
  readonly pad: number | undefined;
  readonly cls: number | undefined;
  readonly sep: number | undefined;
  readonly unk: number | undefined;
  /** End of text: `<|endoftext|>`. */
  readonly eot: number | undefined;
}

export interface Tokenizer {
  readonly kind: 'wordpiece' | 'bpe' | 'other';
  /** One more than the largest id: the number of rows an embedding table needs at least. */
  readonly vocabSize: number;
  readonly specials: SpecialTokens;
  /** Every special id, ascending: positions that are never masked and ids that are never drawn. */
  readonly specialIds: readonly number[];
  /** SHA-256 of everything that decides the ids. */
  readonly digest: string;
  /** The content of tokenizer.json, to hand to worker threads and to save beside a model. */
  readonly definition: TokenizerDefinition;
  /** Ids of `text`, no special tokens added; one that is spelled out in the text is recognised, as in Python. */
  encode(text: string): Uint32Array;
  /** As encode, appended to a buffer. */
  encodeInto(text: string, out: IdBuffer): void;
  decode(ids: ArrayLike<number>, options?: { readonly skipSpecialTokens?: boolean }): string;
}

/**
 * Reads a tokenizer from a tokenizer.json (or .json.gz), a BERT vocab.txt, or a folder with one of these, with
 * vocab.json and merges.txt, or with encoder.json and vocab.bpe. Truncation and padding settings are ignored.
 *
 * ```ts
 * const tokenizer = loadTokenizer('bert-base-uncased/vocab.txt');
 * tokenizer.encode('Hello, world'); // Uint32Array [7592, 1010, 2088]
 * ```
 * @throws ApolloError BAD_TOKENIZER when there is no such file or its content does not make a tokenizer.
 */
export function loadTokenizer(path: string): Tokenizer {
  return createTokenizer(readTokenizerFiles(path), path);
}

/**
 * A tokenizer from the content of a tokenizer.json; `name` is what errors call it.
 * @throws ApolloError BAD_TOKENIZER when the content does not make a tokenizer.
 */
export function createTokenizer(definition: TokenizerDefinition, name = 'tokenizer'): Tokenizer {
  const vocabulary = vocabularyOf(definition, name);
  const added = definition.added_tokens ?? [];
  const find = (...contents: string[]): number | undefined =>
    contents.map((content) => vocabulary.get(content)).find((id) => id !== undefined);
  const specials: SpecialTokens = {
    mask: find('[MASK]', '<mask>'),
    pad: find('[PAD]', '<pad>'),
    cls: find('[CLS]', '<s>'),
    sep: find('[SEP]', '</s>'),
    unk: find('[UNK]', '<unk>'),
    eot: find('<|endoftext|>'),
  };
  const specialIds = new Set<number>(added.filter((token) => token.special).map((token) => token.id));
  for (const id of Object.values(specials)) if (id !== undefined) specialIds.add(id);
  let vocabSize = 0;
  for (const id of vocabulary.values()) vocabSize = Math.max(vocabSize, id + 1);

  let library: HuggingFaceTokenizer | undefined;
  const viaLibrary = (): HuggingFaceTokenizer => {
    try {
      // The library wants every part to be there, if only as null.
      const parts = {
        normalizer: null,
        pre_tokenizer: null,
        post_processor: null,
        decoder: null,
        added_tokens: [],
        ...definition,
      };
      library ??= new HuggingFaceTokenizer(parts, {});
    } catch (error) {
      throw broken(name, `its pipeline is not one that can be run here (${(error as Error).message})`);
    }
    return library;
  };

  const own = ownEncoder(definition, vocabulary, vocabSize, name);
  const encodePlain =
    own?.encode ??
    ((text: string, out: IdBuffer): void => out.append(viaLibrary().encode(text, { add_special_tokens: false }).ids));
  if (own === undefined) viaLibrary();
  const encodeInto = own === undefined ? encodePlain : splitAtSpecials(encodePlain, added);
  const kind = own?.kind ?? 'other';

  return {
    kind,
    vocabSize,
    specials,
    specialIds: [...specialIds].sort((a, b) => a - b),
    digest: digestOf(definition),
    definition,
    encodeInto,
    encode(text) {
      const out = new IdBuffer(Math.max(16, text.length >> 1));
      encodeInto(text, out);
      return out.view().slice();
    },
    decode(ids, { skipSpecialTokens = false } = {}) {
      if (ids.length === 0) return '';
      return viaLibrary().decode(Array.from(ids), {
        skip_special_tokens: skipSpecialTokens,
        clean_up_tokenization_spaces: kind === 'wordpiece',
      });
    },
  };
}

/**
 * Checks that every id of the tokenizer has a row in a model's embedding table.
 * @throws ApolloError BAD_CONFIG with both sizes otherwise.
 */
export function checkVocabulary(tokenizer: Pick<Tokenizer, 'vocabSize'>, modelVocab: number): void {
  if (tokenizer.vocabSize <= modelVocab) return;
  throw new ApolloError(
    'BAD_CONFIG',
    `The tokenizer has ${tokenizer.vocabSize} token ids and the model's vocabulary only ${modelVocab}. ` +
      `Set the model's vocab to at least ${tokenizer.vocabSize}, or train a tokenizer of ${modelVocab} tokens.`,
  );
}

/** All tokens and their ids; ids must be whole numbers, and a model's vocabulary may not be empty. */
function vocabularyOf(definition: TokenizerDefinition, name: string): Map<string, number> {
  const model = definition.model;
  if (typeof model !== 'object' || model === null) throw broken(name, 'it has no "model"');
  if (model.type !== undefined && !['WordPiece', 'BPE', 'Unigram'].includes(model.type)) {
    throw broken(name, `its model is of type ${model.type}; expected WordPiece, BPE or Unigram`);
  }
  const entries: [string, number][] = Array.isArray(model.vocab)
    ? model.vocab.map(([token], id) => [token, id]) // Unigram: [token, score] pairs
    : Object.entries(model.vocab ?? {});
  if (entries.length === 0) throw broken(name, 'its vocabulary is empty');
  const vocabulary = new Map(entries);
  for (const token of definition.added_tokens ?? []) vocabulary.set(token.content, token.id);
  for (const [token, id] of vocabulary) {
    if (!Number.isInteger(id) || id < 0) throw broken(name, `token ${JSON.stringify(token)} has the id ${id}`);
  }
  return vocabulary;
}

interface OwnEncoder {
  readonly kind: 'wordpiece' | 'bpe';
  readonly encode: (text: string, out: IdBuffer) => void;
}

/** Our encoder where the pipeline is exactly BERT's or GPT-2's; undefined for anything else. */
function ownEncoder(
  definition: TokenizerDefinition,
  vocabulary: ReadonlyMap<string, number>,
  vocabSize: number,
  name: string,
): OwnEncoder | undefined {
  const { model, normalizer, pre_tokenizer: split } = definition;
  // Older files leave the model's type out.
  const type = model.type ?? (model.merges ? 'BPE' : model.max_input_chars_per_word ? 'WordPiece' : undefined);
  const plainSpecials = (definition.added_tokens ?? []).every(
    (token) => !token.lstrip && !token.rstrip && !token.single_word && !(token.normalized && normalizer),
  );
  if (!plainSpecials) return undefined;
  if (type === 'WordPiece' && normalizer?.type === 'BertNormalizer' && split?.type === 'BertPreTokenizer') {
    const unknownId = vocabulary.get(model.unk_token ?? '[UNK]');
    if (unknownId === undefined)
      throw broken(name, `its unknown token "${model.unk_token ?? '[UNK]'}" is not in the vocabulary`);
    const lowercase = normalizer.lowercase !== false;
    return {
      kind: 'wordpiece',
      encode: wordPieceEncoder({
        vocabulary,
        unknownId,
        continuation: model.continuing_subword_prefix ?? '##',
        maxCharacters: model.max_input_chars_per_word ?? 100,
        normalization: {
          cleanText: normalizer.clean_text !== false,
          spaceHan: normalizer.handle_chinese_chars !== false,
          stripAccents: normalizer.strip_accents ?? lowercase,
          lowercase,
        },
      }),
    };
  }
  const plainBpe =
    type === 'BPE' &&
    !model.dropout &&
    !model.continuing_subword_prefix &&
    !model.end_of_word_suffix &&
    !model.byte_fallback &&
    !model.ignore_merges;
  const gptSplit = split?.type === 'ByteLevel' && !split.add_prefix_space && split.use_regex !== false;
  if (!plainBpe || normalizer || !gptSplit) return undefined;
  const idOf = (token: string, where: string): number => {
    const id = vocabulary.get(token);
    if (id === undefined) throw broken(name, `${where} ${JSON.stringify(token)} is not in the vocabulary`);
    return id;
  };
  const byteIds = byteCharacters.map((character) => idOf(character, 'the byte token'));
  const merges = Uint32Array.from(
    (model.merges ?? []).flatMap((merge, rank) => {
      const parts = typeof merge === 'string' ? merge.split(' ') : merge;
      if (parts.length !== 2) throw broken(name, `merge ${rank} is ${JSON.stringify(merge)}, expected two tokens`);
      const [left, right] = parts as [string, string];
      return [left, right, left + right].map((token) => idOf(token, `merge ${rank}: the token`));
    }),
  );
  return { kind: 'bpe', encode: byteBpeEncoder({ byteIds, merges, vocabSize }) };
}

/** Special tokens spelled out in the text become their ids (the longest one at a place); the rest goes to `encode`. */
function splitAtSpecials(
  encode: (text: string, out: IdBuffer) => void,
  added: NonNullable<TokenizerDefinition['added_tokens']>,
): (text: string, out: IdBuffer) => void {
  if (added.length === 0) return encode;
  const ids = new Map(added.map((token) => [token.content, token.id]));
  const longestFirst = [...ids.keys()].sort((a, b) => b.length - a.length);
  const pattern = new RegExp(longestFirst.map((s) => s.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&')).join('|'), 'g');
  return (text, out) => {
    let start = 0;
    for (const match of text.matchAll(pattern)) {
      if (match.index > start) encode(text.slice(start, match.index), out);
      out.push(ids.get(match[0])!);
      start = match.index + match[0].length;
    }
    if (start < text.length) encode(start === 0 ? text : text.slice(start), out);
  };
}

/** Truncation and padding never reach the ids, so they do not count. */
function digestOf(definition: TokenizerDefinition): string {
  const { truncation: _truncation, padding: _padding, ...rest } = definition;
  return createHash('sha256').update(JSON.stringify(rest)).digest('hex');
}

function broken(name: string, reason: string): ApolloError {
  return new ApolloError('BAD_TOKENIZER', `${name} is not a usable tokenizer: ${reason}.`);
}

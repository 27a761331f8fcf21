/**
 * Finds what a tokenizer.json describes: its vocabulary, and, where the pipeline is exactly BERT's or byte-level BPE over
 * words that have a scanner (GPT-2, Llama 3, Qwen 2, SmolLM), the encoder and the way back to text that run here.
 */

import { byteDetokenizer, type Detokenizer, wordPieceDetokenizer } from '../read/detokenize.js';
import { withAddedTokens } from './added-tokens.js';
import { mergesOf } from './bpe.js';
import { byteBpeEncoder } from './byte-bpe.js';
import { composing } from './composing.js';
import { checkParts, searchedTokens } from './general-pipeline.js';
import type { IdBuffer } from './id-buffer.js';
import { knownModels, modelTypeOf } from './models.js';
import type { TextEncoding } from './offsets.js';
import { byteCharacters } from './pretokenize.js';
import { broken, type Part } from './refusal.js';
import type { TokenizerDefinition } from './tokenizer-files.js';
import { wordScannerOf } from './word-scanners.js';
import { wordPieceEncoder } from './wordpiece.js';

export interface Vocabulary {
  readonly ids: ReadonlyMap<string, number>;
  /** Those of the model alone, without the added ones. */
  readonly modelIds: ReadonlyMap<string, number>;
  /** One more than the largest id. */
  readonly size: number;
  tokenOf(id: number): string | undefined;
}

export interface Pipeline {
  readonly kind: 'wordpiece' | 'bpe';
  readonly encoding: TextEncoding;
  /** Undefined where the definition asks for another way back to text. */
  readonly detokenizer: Detokenizer | undefined;
}

const quoted = (token: unknown): string => JSON.stringify(token);

/**
 * Checks that all readers of a definition rely on.
 * @throws ApolloError BAD_TOKENIZER when it has no model with a vocabulary, or one of its lists is none.
 */
export function checkForm({ model, added_tokens: added }: TokenizerDefinition, name: string): void {
  if (typeof model !== 'object' || model === null) {
    throw broken(name, 'it has no "model". A tokenizer.json as Python\'s tokenizers writes it is expected');
  }
  if (typeof model.vocab !== 'object' || model.vocab === null) {
    throw broken(name, 'its model has no "vocab" that maps tokens to ids. Export the tokenizer again');
  }
  const lists = { merges: model.merges, added_tokens: added };
  for (const [key, list] of Object.entries(lists))
    if (list !== undefined && list !== null && !Array.isArray(list)) throw broken(name, `its "${key}" is not a list`);
}

/**
 * All tokens and their ids.
 * @throws ApolloError BAD_TOKENIZER when there is no vocabulary, or its ids are not whole numbers, each of one token.
 */
export function vocabularyOf(definition: TokenizerDefinition, name: string): Vocabulary {
  checkForm(definition, name);
  const model = definition.model;
  if (model.type !== undefined && !Object.hasOwn(knownModels, model.type)) {
    throw broken(name, `its model is of type ${model.type}; known are ${Object.keys(knownModels).join(', ')}`);
  }
  const vocab = model.vocab ?? {};
  const entries: [string, number][] = Array.isArray(vocab)
    ? vocab.map((pair, id) => [Array.isArray(pair) ? pair[0] : String(pair), id]) // Unigram: [token, score] pairs
    : Object.entries(vocab);
  if (entries.length === 0) throw broken(name, 'its vocabulary is empty');
  const added = definition.added_tokens ?? [];
  const modelIds = new Map(entries);
  const ids = new Map(entries);
  const tokens: string[] = [];
  for (const [token, id] of ids) {
    if (!Number.isInteger(id) || id < 0 || id > 2 ** 31 - 1) {
      throw broken(name, `token ${quoted(token)} has the id ${quoted(id)}; ids are whole numbers from 0`);
    }
    const other = tokens[id];
    if (other !== undefined) {
      throw broken(name, `the tokens ${quoted(other)} and ${quoted(token)} share the id ${id}. Give each its own`);
    }
    tokens[id] = token;
  }
  let next = modelIds.size;
  for (const token of added) {
    if (typeof token?.content !== 'string') throw broken(name, `an added token is ${quoted(token)}, without "content"`);
    const known = ids.get(token.content);
    if (known !== undefined && known !== token.id) {
      throw broken(
        name,
        `the token ${quoted(token.content)} has the id ${known} in the vocabulary and ${token.id} among the added ` +
          'tokens. Give it one id',
      );
    }
    if (known === undefined && token.id !== next++) {
      throw broken(
        name,
        `the added token ${quoted(token.content)} has the id ${quoted(token.id)}, and Python's tokenizers, which number ` +
          `added tokens from the size of the vocabulary on, give it ${next - 1}. Number it so`,
      );
    }
    ids.set(token.content, token.id);
    tokens[token.id] = token.content; // in a vocabulary with gaps it may hide another, as in Python
  }
  checkGaps(tokens, name);
  return { ids, modelIds, size: tokens.length, tokenOf: (id) => tokens[id] };
}

/**
 * A pipeline that runs on code of its own, which is fast and knows places: BERT's, and byte-level BPE over words that have
 * a scanner; undefined for any other.
 * @throws ApolloError BAD_TOKENIZER when it is one of these and its parts do not fit together.
 */
export function ownPipeline(
  definition: TokenizerDefinition,
  vocabulary: Vocabulary,
  name: string,
): Pipeline | undefined {
  const type = modelTypeOf(definition.model as unknown as Part);
  const added = searchedTokens(definition, name);
  if (definition.normalizer && added.some((token) => token.normalized)) return undefined;
  const plain =
    type === 'WordPiece'
      ? ownWordPiece(definition, vocabulary, name)
      : type === 'BPE'
        ? ownByteBpe(definition, vocabulary, name)
        : undefined;
  if (plain === undefined) return undefined;
  checkParts(definition, name);
  // Tokens that are not normalised are found first, as in Python.
  const inner = withAddedTokens(
    plain.encoding,
    added.filter((token) => token.normalized),
  );
  return {
    ...plain,
    encoding: withAddedTokens(
      inner,
      added.filter((token) => !token.normalized),
    ),
  };
}

function ownWordPiece(definition: TokenizerDefinition, vocabulary: Vocabulary, name: string): Pipeline | undefined {
  const { model, normalizer, pre_tokenizer: split, decoder } = definition;
  if (normalizer?.type !== 'BertNormalizer' || split?.type !== 'BertPreTokenizer') return undefined;
  const unknown = model.unk_token ?? '[UNK]';
  const unknownId = vocabulary.modelIds.get(unknown);
  if (unknownId === undefined) {
    throw broken(name, `its unknown token ${quoted(unknown)} is not in the vocabulary. Add it there`);
  }
  const lowercase = normalizer.lowercase !== false;
  const continuation = model.continuing_subword_prefix ?? '##';
  const decoding = decoder as { type?: string; prefix?: string; cleanup?: boolean } | null | undefined;
  return {
    kind: 'wordpiece',
    encoding: wordPieceEncoder({
      vocabulary: vocabulary.modelIds,
      unknownId,
      continuation,
      maxCharacters: model.max_input_chars_per_word ?? 100,
      normalization: {
        cleanText: normalizer.clean_text !== false,
        spaceHan: normalizer.handle_chinese_chars !== false,
        stripAccents: normalizer.strip_accents ?? lowercase,
        lowercase,
      },
    }),
    detokenizer:
      decoding?.type === 'WordPiece'
        ? wordPieceDetokenizer(vocabulary.tokenOf, decoding.prefix ?? continuation, decoding.cleanup !== false)
        : undefined,
  };
}

function ownByteBpe(definition: TokenizerDefinition, vocabulary: Vocabulary, name: string): Pipeline | undefined {
  const { model, normalizer, pre_tokenizer: split, decoder } = definition;
  const isPlain =
    !model.dropout && !model.continuing_subword_prefix && !model.end_of_word_suffix && !model.byte_fallback;
  const scanner = split ? wordScannerOf(split as unknown as Part) : undefined;
  if (!isPlain || scanner === undefined || (normalizer && normalizer.type !== 'NFC')) return undefined;
  const { modelIds } = vocabulary;
  const missing = byteCharacters.findIndex((character) => !modelIds.has(character));
  // Python drops bytes that have no token, and so does the general pipeline. In a GPT-2 vocabulary it is a fault.
  if (missing >= 0 && (normalizer || split?.type !== 'ByteLevel')) return undefined;
  if (missing >= 0) {
    throw broken(
      name,
      `the byte token ${quoted(byteCharacters[missing])} (byte ${missing}) is not in the vocabulary. A byte-level ` +
        'vocabulary has all 256',
    );
  }
  const refuse = (reason: string) => broken(name, reason);
  const bpe = byteBpeEncoder(
    {
      byteIds: byteCharacters.map((character) => modelIds.get(character)!),
      merges: Uint32Array.from(mergesOf(model as unknown as Part, modelIds, '', refuse).flat()),
      vocabSize: vocabulary.size,
      vocabulary: modelIds,
      takesWholeWords: model.ignore_merges === true,
    },
    scanner.wordEnd,
  );
  const encoding = normalizer ? composing(bpe) : bpe;
  return {
    kind: 'bpe',
    encoding: scanner.addsBlank ? withLeadingBlank(encoding) : encoding,
    detokenizer:
      (decoder as { type?: string } | null | undefined)?.type === 'ByteLevel'
        ? byteDetokenizer(vocabulary.tokenOf)
        : undefined,
  };
}

/** A text that does not start with a blank gets one, as `add_prefix_space` requires; no token's offset is before it. */
function withLeadingBlank(plain: TextEncoding): TextEncoding {
  return {
    encode(text: string, out: IdBuffer) {
      plain.encode(text.startsWith(' ') ? text : ` ${text}`, out);
    },
    place(text, add) {
      if (text.startsWith(' ')) plain.place(text, add);
      else plain.place(` ${text}`, (id, start, end) => add(id, Math.max(0, start - 1), Math.max(0, end - 1)));
    },
  };
}

/** Some ids may have no token (a vocabulary with a line twice); a model spends a row on each, so most must have one. */
function checkGaps(tokens: readonly (string | undefined)[], name: string): void {
  const count = Object.keys(tokens).length; // visits what is there: an id may be a billion
  const missing = tokens.length - count;
  if (missing <= count) return;
  throw broken(
    name,
    `${missing} of its ids from 0 to ${tokens.length - 1} have no token, more than have one. Number the tokens without gaps`,
  );
}

/**
 * Finds what a tokenizer.json describes: its vocabulary, and, where the pipeline is exactly BERT's or GPT-2's, the
 * encoder and the way back to text that run here.
 */
import { ApolloError } from '../errors.js';
import { byteBpeEncoder } from './byte-bpe.js';
import { byteDetokenizer, type Detokenizer, wordPieceDetokenizer } from './detokenize.js';
import { type TextEncoding, withSpecials } from './offsets.js';
import { byteCharacters } from './pretokenize.js';
import type { TokenizerDefinition } from './tokenizer-files.js';
import { wordPieceEncoder } from './wordpiece.js';

export interface Vocabulary {
  readonly ids: ReadonlyMap<string, number>;
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

export function broken(name: string, reason: string): ApolloError {
  return new ApolloError('BAD_TOKENIZER', `${name} is not a usable tokenizer: ${reason}.`);
}

const quoted = (token: unknown): string => JSON.stringify(token);

/**
 * All tokens and their ids.
 * @throws ApolloError BAD_TOKENIZER when there is no vocabulary, or its ids are not whole numbers, each of one token.
 */
export function vocabularyOf(definition: TokenizerDefinition, name: string): Vocabulary {
  const model = definition.model;
  if (typeof model !== 'object' || model === null) {
    throw broken(name, 'it has no "model". A tokenizer.json as Python\'s tokenizers writes it is expected');
  }
  if (model.type !== undefined && !['WordPiece', 'BPE', 'Unigram'].includes(model.type)) {
    throw broken(name, `its model is of type ${model.type}; expected WordPiece, BPE or Unigram`);
  }
  const { vocab } = model;
  if (typeof vocab !== 'object' || vocab === null) {
    throw broken(name, 'its model has no "vocab" that maps tokens to ids. Export the tokenizer again');
  }
  const entries: [string, number][] = Array.isArray(vocab)
    ? vocab.map((pair, id) => [Array.isArray(pair) ? pair[0] : String(pair), id]) // Unigram: [token, score] pairs
    : Object.entries(vocab);
  if (entries.length === 0) throw broken(name, 'its vocabulary is empty');
  const added = definition.added_tokens ?? [];
  if (!Array.isArray(added)) throw broken(name, 'its "added_tokens" is not a list');
  const ids = new Map(entries);
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
    ids.set(token.content, token.id);
  }
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
  return { ids, size: tokens.length, tokenOf: (id) => tokens[id] };
}

/**
 * The pipeline that runs here; undefined for any other that a tokenizer.json can describe.
 * @throws ApolloError BAD_TOKENIZER when it is BERT's or GPT-2's and its parts do not fit together.
 */
export function ownPipeline(
  definition: TokenizerDefinition,
  vocabulary: Vocabulary,
  name: string,
): Pipeline | undefined {
  const { model, normalizer } = definition;
  // Older files leave the model's type out.
  const type = model.type ?? (model.merges ? 'BPE' : model.max_input_chars_per_word ? 'WordPiece' : undefined);
  const added = definition.added_tokens ?? [];
  const plainSpecials = added.every(
    (token) => !token.lstrip && !token.rstrip && !token.single_word && !(token.normalized && normalizer),
  );
  if (!plainSpecials) return undefined;
  const plain =
    type === 'WordPiece'
      ? ownWordPiece(definition, vocabulary, name)
      : type === 'BPE'
        ? ownByteBpe(definition, vocabulary, name)
        : undefined;
  if (plain === undefined) return undefined;
  checkDense(vocabulary, name);
  return { ...plain, encoding: withSpecials(plain.encoding, added) };
}

function ownWordPiece(definition: TokenizerDefinition, vocabulary: Vocabulary, name: string): Pipeline | undefined {
  const { model, normalizer, pre_tokenizer: split, decoder } = definition;
  if (normalizer?.type !== 'BertNormalizer' || split?.type !== 'BertPreTokenizer') return undefined;
  const unknown = model.unk_token ?? '[UNK]';
  const unknownId = vocabulary.ids.get(unknown);
  if (unknownId === undefined) {
    throw broken(name, `its unknown token ${quoted(unknown)} is not in the vocabulary. Add it there`);
  }
  const lowercase = normalizer.lowercase !== false;
  const continuation = model.continuing_subword_prefix ?? '##';
  const decoding = decoder as { type?: string; prefix?: string } | null | undefined;
  return {
    kind: 'wordpiece',
    encoding: wordPieceEncoder({
      vocabulary: vocabulary.ids,
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
        ? wordPieceDetokenizer(vocabulary.tokenOf, decoding.prefix ?? continuation)
        : undefined,
  };
}

function ownByteBpe(definition: TokenizerDefinition, vocabulary: Vocabulary, name: string): Pipeline | undefined {
  const { model, normalizer, pre_tokenizer: split, decoder } = definition;
  const plainBpe =
    !model.dropout &&
    !model.continuing_subword_prefix &&
    !model.end_of_word_suffix &&
    !model.byte_fallback &&
    !model.ignore_merges;
  const gptSplit = split?.type === 'ByteLevel' && !split.add_prefix_space && split.use_regex !== false;
  if (!plainBpe || normalizer || !gptSplit) return undefined;
  const byteIds = byteCharacters.map((character, byte) => {
    const id = vocabulary.ids.get(character);
    if (id !== undefined) return id;
    throw broken(
      name,
      `the byte token ${quoted(character)} (byte ${byte}) is not in the vocabulary. A byte-level vocabulary has all 256`,
    );
  });
  if (!Array.isArray(model.merges)) throw broken(name, 'its BPE model has no "merges". Export the tokenizer again');
  const merges = new Uint32Array(3 * model.merges.length);
  for (const [rank, merge] of model.merges.entries()) {
    const parts = typeof merge === 'string' ? merge.split(' ') : merge;
    if (!Array.isArray(parts) || parts.length !== 2 || parts.some((part) => typeof part !== 'string' || part === '')) {
      throw broken(name, `merge ${rank + 1} is ${quoted(merge)}, expected two tokens`);
    }
    const [left, right] = parts as [string, string];
    for (const [i, token] of [left, right, left + right].entries()) {
      const id = vocabulary.ids.get(token);
      if (id === undefined) {
        throw broken(
          name,
          `merge ${rank + 1} (${quoted(`${left} ${right}`)}) needs the token ${quoted(token)}, which is not in the ` +
            'vocabulary. Vocabulary and merges belong to different tokenizers, or one of them was cut off',
        );
      }
      merges[3 * rank + i] = id;
    }
  }
  return {
    kind: 'bpe',
    encoding: byteBpeEncoder({ byteIds, merges, vocabSize: vocabulary.size }),
    detokenizer:
      (decoder as { type?: string } | null | undefined)?.type === 'ByteLevel'
        ? byteDetokenizer(vocabulary.tokenOf)
        : undefined,
  };
}

/** Every id must have a token: a model would spend a row on one that has none, and could generate it. */
function checkDense({ size, tokenOf }: Vocabulary, name: string): void {
  const holes: number[] = [];
  for (let id = 0; id < size; id++) if (tokenOf(id) === undefined) holes.push(id);
  if (holes.length === 0) return;
  const first = holes.slice(0, 3).join(', ') + (holes.length > 3 ? ', …' : '');
  throw broken(
    name,
    `${holes.length} of its ids from 0 to ${size - 1} ${holes.length === 1 ? 'has' : 'have'} no token (${first}). ` +
      'Number the tokens without a gap',
  );
}

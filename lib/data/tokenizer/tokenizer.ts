/**
 * The one interface to tokenizers: ids of text with and without special tokens, their places in the text, text of ids,
 * and which ids are special. BERT's WordPiece and the byte-level BPE of GPT-2, Llama 3, Qwen 2 and SmolLM run on code of
 * their own, which is faster and knows places; every other pipeline whose parts are known runs on general-pipeline.ts.
 */
import { createHash } from 'node:crypto';
import { ApolloError } from '../../errors.js';
import * as is from '../../is.js';
import type { StreamDecoder } from '../read/detokenize.js';
import { withEndOfText } from './end-of-text.js';
import { type FramedTokens, framed, frameOf } from './framing.js';
import { type GeneralPipeline, generalPipeline } from './general-pipeline.js';
import { IdBuffer } from './id-buffer.js';
import { type PlacedTokens, placedTokens } from './offsets.js';
import { ownPipeline, vocabularyOf } from './pipeline.js';
import { type Role, readTokenizerFiles, type TokenizerDefinition, usualTokens } from './tokenizer-files.js';

/** Ids of the tokens with a role: as tokenizer_config.json names them, else the usual ones; undefined where the vocabulary has none. */
export interface SpecialTokens {
  /** [MASK] or `<mask>`: stands for a token that a masked model must predict. */
  readonly mask: number | undefined;
  /** [PAD] or `<pad>`: fills rows after their last token. */
  readonly pad: number | undefined;
  /** [CLS] or `<s>`: the start of a row for masked models. */
  readonly cls: number | undefined;
  /** [SEP] or `</s>`: the end of each text in a row for masked models. */
  readonly sep: number | undefined;
  /** [UNK] or `<unk>`: stands for what the vocabulary cannot represent. */
  readonly unk: number | undefined;
  /** End of text: what the files next to the tokenizer name as eos_token, else `<|endoftext|>` or `<|end_of_text|>`. */
  readonly eot: number | undefined;
}

/** How ids become text. */
export interface DecodeOptions {
  /** Leaves special tokens out of the text. */
  readonly skipSpecialTokens?: boolean;
}

/** A text or a pair of texts with special tokens around them. */
export interface PairEncoding extends FramedTokens {
  /**
   * Start and end of each token in its own text (see `sequences`), in UTF-16 units; 0, 0 for a special token.
   * Undefined for tokenizers of kind 'other'.
   */
  readonly offsets: Int32Array | undefined;
}

/** Text to token ids and back, from {@link loadTokenizer}, {@link createTokenizer} or a corpus. */
export interface Tokenizer {
  /** `bpe`: byte-level, over words that have a scanner (tokenizer/word-scanners.ts). Only `other` keeps no places. */
  readonly kind: 'wordpiece' | 'bpe' | 'other';
  /** One more than the largest id: the number of rows an embedding table needs at least. */
  readonly vocabSize: number;
  /** Ids of its special tokens by role. */
  readonly specials: SpecialTokens;
  /**
   * Ids at which a text may end: `specials.eot`, which is the one that is written, and those that a model's configuration
   * next to it names besides, as Llama 3's `<|eot_id|>`. Empty where nothing names one.
   */
  readonly endIds: readonly number[];
  /** Every special id, ascending: positions that are never masked and ids that are never drawn. */
  readonly specialIds: readonly number[];
  /** SHA-256 of everything that decides the ids. */
  readonly digest: string;
  /** The content of tokenizer.json, to hand to worker threads and to save next to a model. */
  readonly definition: TokenizerDefinition;
  /** Ids of `text`, no special tokens added; one that is spelled out in the text is recognised, as in Python. */
  encode(text: string): Uint32Array;
  /** As encode, appended to a buffer. */
  encodeInto(text: string, out: IdBuffer): void;
  /**
   * As encode, with the place of each token: `text.slice(offsets[2 * i], offsets[2 * i + 1])` is what token i was made
   * from. A character that spans several tokens belongs to each of them; a byte-level token holds the blank before a word.
   * @throws ApolloError BAD_TOKENIZER for a tokenizer of kind 'other', whose pipeline does not keep the places.
   */
  encodeWithOffsets(text: string): PlacedTokens;
  /**
   * One text or a pair with the special tokens that the tokenizer puts around them ([CLS] and [SEP] for BERT, none for
   * GPT-2), and the segment of each token. Above `maxLength` tokens the longer text loses its end.
   *
   * @param first The text.
   * @param second The second text of a pair. Default: there is none.
   * @param options Limit of the length.
   * @example
   * ```ts
   * tokenizer.encodePair('a cat', 'a dog', { maxLength: 128 }).types; // 0 0 0 0 1 1 1: [CLS] a cat [SEP] a dog [SEP]
   * ```
   * @throws ApolloError BAD_ARGUMENT when maxLength has no room for the special tokens.
   */
  encodePair(
    first: string,
    second?: string,
    options?: {
      /** Tokens at most, special ones included. Default: no limit. */
      readonly maxLength?: number;
    },
  ): PairEncoding;
  /**
   * The same around ids that are there already.
   * @param first Ids of the text, without special tokens.
   * @param second Ids of the second text of a pair. Default: there is none.
   * @param options Limit of the length.
   */
  frame(
    first: ArrayLike<number>,
    second?: ArrayLike<number>,
    options?: {
      /** Tokens at most, special ones included. Default: no limit. */
      readonly maxLength?: number;
    },
  ): FramedTokens;
  /** Text of ids; ids without a token have none. BERT's text is cleaned of blanks before punctuation, as in Python. */
  decode(ids: ArrayLike<number>, options?: DecodeOptions): string;
  /** Text of ids that come one by one, in whole characters: joined, it is what `decode` gives for all of them. */
  streamDecoder(options?: DecodeOptions): StreamDecoder;
  /** The token of an id as the vocabulary spells it (`##ing`, `Ġthe`), or undefined. */
  tokenOf(id: number): string | undefined;
  /** The id of a token as the vocabulary spells it, or undefined. */
  idOf(token: string): number | undefined;
}

const takesLoadTokenizer = is.takes('loadTokenizer', { path: is.path });

/**
 * Reads a tokenizer from a tokenizer.json (or .json.gz), a BERT vocab.txt, an r50k_base.tiktoken (or .tiktoken.gz), or a
 * folder with one of these, with vocab.json and merges.txt, or with encoder.json and vocab.bpe. Settings of a
 * tokenizer.json for truncation and padding are ignored: how long a text may be is for its user to say.
 *
 * ```ts
 * const tokenizer = loadTokenizer('bert-base-uncased/vocab.txt');
 * tokenizer.encode('Hello, world'); // Uint32Array [7592, 1010, 2088]
 * ```
 * @throws ApolloError BAD_TOKENIZER when there is no such file or its content does not make a tokenizer.
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function loadTokenizer(path: string): Tokenizer {
  takesLoadTokenizer(path);

  return withEndOfText(createTokenizer(readTokenizerFiles(path), path), path);
}

const lengthOption = is.options({ maxLength: is.optional(is.number) });
const decodeOptions = is.options({ skipSpecialTokens: is.optional(is.boolean) });
/** The look at ids is at their form alone: they are many. */
const idArray = is.kind('an array of token ids', (value) => Array.isArray(value) || ArrayBuffer.isView(value));
const takesEncode = is.takes('Tokenizer.encode', { text: is.string });
const takesEncodeInto = is.takes('Tokenizer.encodeInto', { text: is.string, out: is.having('an IdBuffer', ['view']) });
const takesOffsets = is.takes('Tokenizer.encodeWithOffsets', { text: is.string });
const takesPair = is.takes('Tokenizer.encodePair', {
  first: is.string,
  second: is.optional(is.string),
  options: lengthOption,
});
const takesFrame = is.takes('Tokenizer.frame', {
  first: idArray,
  second: is.optional(idArray),
  options: lengthOption,
});
const takesDecode = is.takes('Tokenizer.decode', { ids: idArray, options: decodeOptions });
const takesStream = is.takes('Tokenizer.streamDecoder', { options: decodeOptions });
const takesTokenOf = is.takes('Tokenizer.tokenOf', { id: is.number });
const takesIdOf = is.takes('Tokenizer.idOf', { token: is.string });

const takesCreateTokenizer = is.takes('createTokenizer', { definition: is.record, name: is.string });

/**
 * A tokenizer from the content of a tokenizer.json; `name` is what errors call it.
 * @param definition The content of a tokenizer.json.
 * @param name What errors call it. Default: 'tokenizer'.
 * @example
 * const tokenizer = createTokenizer(JSON.parse(await readFile('tokenizer.json', 'utf8')));
 * @throws ApolloError BAD_TOKENIZER when the content does not make a tokenizer.
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function createTokenizer(definition: TokenizerDefinition, name = 'tokenizer'): Tokenizer {
  takesCreateTokenizer(definition, name);

  const vocabulary = vocabularyOf(definition, name);
  const roles = definition.special_roles ?? {};
  const find = (role: Role): number | undefined =>
    [roles[role], ...usualTokens[role]]
      .map((content) => (content === undefined ? undefined : vocabulary.ids.get(content)))
      .find((id) => id !== undefined);
  const specials: SpecialTokens = {
    mask: find('mask'),
    pad: find('pad'),
    cls: find('cls'),
    sep: find('sep'),
    unk: find('unk'),
    eot: find('eot'),
  };
  const specialIds = new Set<number>();
  for (const token of definition.added_tokens ?? []) if (token.special) specialIds.add(token.id);
  for (const id of Object.values(specials)) if (id !== undefined) specialIds.add(id);

  const own = ownPipeline(definition, vocabulary, name);
  const kind = own?.kind ?? 'other';
  let general: GeneralPipeline | undefined;
  const inGeneral = (): GeneralPipeline => (general ??= generalPipeline(definition, vocabulary.modelIds, name));
  if (own?.detokenizer === undefined) inGeneral();

  const encodeInto = (text: string, out: IdBuffer): void => {
    takesEncodeInto(text, out);
    if (own !== undefined) own.encoding.encode(text, out);
    else inGeneral().encode(text, out);
  };
  const encode = (text: string): Uint32Array => {
    takesEncode(text);
    const out = new IdBuffer(Math.max(16, text.length >> 1));
    encodeInto(text, out);
    return out.view().slice();
  };
  const isSkipped =
    ({ skipSpecialTokens = false }: DecodeOptions) =>
    (id: number): boolean =>
      skipSpecialTokens && specialIds.has(id);
  const decode = (ids: ArrayLike<number>, options: DecodeOptions = {}): string => {
    takesDecode(ids, options);
    if (own?.detokenizer !== undefined) return own.detokenizer.decode(ids, isSkipped(options));
    const tokens: string[] = [];
    for (let i = 0; i < ids.length; i++) {
      const token = isSkipped(options)(ids[i]!) ? undefined : vocabulary.tokenOf(ids[i]!);
      if (token !== undefined) tokens.push(token);
    }
    return inGeneral().decode(tokens);
  };
  const frame = frameOf(definition);

  return {
    kind,
    vocabSize: vocabulary.size,
    specials,
    endIds: specials.eot === undefined ? [] : [specials.eot],
    specialIds: [...specialIds].sort((a, b) => a - b),
    digest: digestOf(definition),
    definition,
    encode,
    encodeInto,
    encodeWithOffsets(text) {
      takesOffsets(text);
      if (own !== undefined) return placedTokens(own.encoding, text);
      throw new ApolloError(
        'BAD_TOKENIZER',
        `${name} cannot say where its tokens lie in the text: only BERT's WordPiece and the byte-level BPE of GPT-2, Llama 3, Qwen 2 and SmolLM can.`,
      );
    },
    encodePair(first, second, options = {}) {
      takesPair(first, second, options);
      const { maxLength } = options;
      const texts = second === undefined ? [first] : [first, second];
      if (own === undefined) {
        const [a, b] = texts.map(encode);
        return { ...framed(frame, a!, b, maxLength), offsets: undefined };
      }
      const placed = texts.map((text) => placedTokens(own.encoding, text));
      const result = framed(frame, placed[0]!.ids, placed[1]?.ids, maxLength);
      const offsets = new Int32Array(2 * result.ids.length);
      for (const [i, sequence] of result.sequences.entries()) {
        if (sequence < 0) continue;
        const from = 2 * result.indices[i]!;
        offsets.set(placed[sequence]!.offsets.subarray(from, from + 2), 2 * i);
      }
      return { ...result, offsets };
    },
    frame(first, second, options = {}) {
      takesFrame(first, second, options);
      return framed(frame, first, second, options.maxLength);
    },
    decode,
    streamDecoder(options = {}) {
      takesStream(options);
      return own?.detokenizer?.stream(isSkipped(options)) ?? growingDecoder((ids) => decode(ids, options));
    },
    tokenOf(id) {
      takesTokenOf(id);
      return vocabulary.tokenOf(id);
    },
    idOf(token) {
      takesIdOf(token);
      return vocabulary.ids.get(token);
    },
  };
}

/** A stream over a decoder that only knows whole rows: gives what has grown, and waits at an incomplete character. */
function growingDecoder(decode: (ids: readonly number[]) => string): StreamDecoder {
  let ids: number[] = [];
  let given = 0;
  return {
    push(id) {
      ids.push(id);
      const text = decode(ids);
      if (text.endsWith('\ufffd')) return '';
      const grown = text.slice(given);
      given = Math.max(given, text.length);
      return grown;
    },
    end() {
      const rest = decode(ids).slice(given);
      ids = [];
      given = 0;
      return rest;
    },
  };
}

/**
 * Checks that every id of the tokenizer has a row in a model's embedding table.
 * @throws ApolloError BAD_CONFIG with both sizes otherwise.
 */
export function checkVocabulary(tokenizer: Pick<Tokenizer, 'vocabSize'>, vocabSize: number): void {
  if (tokenizer.vocabSize <= vocabSize) return;
  throw new ApolloError(
    'BAD_CONFIG',
    `The tokenizer has ${tokenizer.vocabSize} token ids and the model's vocabulary only ${vocabSize}. ` +
      `Set the model's vocabSize to at least ${tokenizer.vocabSize}, or train a tokenizer of ${vocabSize} tokens. ` +
      'See docs/troubleshooting.md#tokenizer-does-not-fit.',
  );
}

/** Truncation and padding never reach the ids, so they do not count. */
function digestOf(definition: TokenizerDefinition): string {
  const { truncation: _truncation, padding: _padding, ...rest } = definition;
  return createHash('sha256').update(JSON.stringify(rest)).digest('hex');
}

/** From text to the sequence a model reads: special tokens, token types, and what is left of texts that are too long. */
import { longestFirst, type Tokenizer } from '../../data/index.js';
import { ApolloError } from '../../errors.js';
import * as is from '../../is.js';
import { familyOf, type ModelConfig, type ObjectiveName } from '../../models/index.js';

/**
 * Whose special tokens stand around texts: 'fine-tuning', those that fine-tuning here puts there; 'tokenizer', the
 * tokenizer's own, with which Hugging Face's library fine-tunes.
 */
export type SequenceFrame = 'fine-tuning' | 'tokenizer';

/** Texts as the features that a fine-tuned model takes, from {@link sequenceEncoder}. */
export interface SequenceEncoder {
  /** The tokenizer that `encode` uses. */
  readonly tokenizer: Tokenizer;
  /** The objective of the model, by which `encode` chooses the special tokens. */
  readonly objective: ObjectiveName;
  /** Tokens of a sequence at most, special ones included. */
  readonly maxLength: number;
  /** Padding of a row after its last token. */
  readonly padId: number;
  /**
   * Masked models: [CLS] a [SEP] or [CLS] a [SEP] b [SEP], with type 1 from b on. Causal ones, with the tokenizer's end of text as start, delimiter
   * and extract token (Radford et al. 2018, section 3.3): the same without types. What is too long is cut at the end,
   * the longer text first (Hugging Face's longest_first). With the frame of the tokenizer its special tokens alone: GPT-2 has
   * none, Llama a begin of text; an empty text without any is one token of padding, so that there is a state to read.
   */
  encode(
    a: string,
    b?: string,
  ): {
    /** Ids with the special tokens, at most `maxLength`. */
    tokens: number[];
    /** Token type of each id: 1 from the second text on where the model has types, else 0. */
    types: number[];
  };
  /** The same of ids that exist already; they are not cut. @throws ApolloError BAD_ARGUMENT when they do not fit. */
  join(
    a: readonly number[],
    b?: readonly number[],
  ): {
    /** Ids with the special tokens, at most `maxLength`. */
    tokens: number[];
    /** Token type of each id: 1 from the second text on where the model has types, else 0. */
    types: number[];
  };
}

const takesSequenceEncoder = is.takes('sequenceEncoder', {
  tokenizer: is.tokenizer,
  config: is.object('a model configuration', {
    kind: is.string,
    maxPositions: is.count,
    padTokenId: is.optional(is.index),
  }),
  maxLength: is.number,
  frame: is.optional(is.oneOf('fine-tuning', 'tokenizer')),
});

/**
 * The encoder of a model and its tokenizer.
 * @param tokenizer The tokenizer with which the model was trained.
 * @param config Configuration of the model.
 * @param maxLength Tokens of a sequence at most, special ones included.
 * @param frame Whose special tokens stand around the texts; of a model that was loaded, its `frame`. Default: 'fine-tuning'.
 * @example
 * const encoder = sequenceEncoder(tokenizer, model.config, 128);
 * const { tokens, types } = encoder.encode('A sentence.', 'Another.');
 * @throws ApolloError BAD_CONFIG for a length beyond the model's positions, BAD_TOKENIZER where a special token is
 * missing.
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function sequenceEncoder(
  tokenizer: Tokenizer,
  config: Pick<ModelConfig, 'kind' | 'maxPositions' | 'padTokenId'>,
  maxLength: number,
  frame: SequenceFrame = 'fine-tuning',
): SequenceEncoder {
  takesSequenceEncoder(tokenizer, config, maxLength, frame);

  const { maxPositions } = config;
  const { title, objective, hasTypes } = familyOf(config);
  if (!Number.isInteger(maxLength) || maxLength < 8 || maxLength > maxPositions) {
    throw new ApolloError(
      'BAD_CONFIG',
      `max-length must be a whole number from 8 to the model's ${maxPositions} positions; got ${maxLength}.`,
    );
  }
  const { cls, sep, pad, eot } = tokenizer.specials;
  const checkLength = (tokens: number): void => {
    if (tokens <= maxLength) return;
    throw new ApolloError('BAD_ARGUMENT', `A sequence of ${tokens} tokens was made where at most ${maxLength} fit.`);
  };
  if (frame === 'tokenizer') {
    const padId = pad ?? config.padTokenId ?? eot ?? 0;
    const framed = (a: readonly number[], b?: readonly number[], limit?: { readonly maxLength: number }) => {
      const { ids, types } = tokenizer.frame(a, b, limit);
      checkLength(ids.length);
      const tokens = ids.length === 0 ? [padId] : [...ids];
      return { tokens, types: tokens.map((_, at) => (hasTypes ? (types[at] ?? 0) : 0)) };
    };
    return {
      tokenizer,
      objective,
      maxLength,
      padId,
      join: (a, b) => framed(a, b),
      encode: (a, b) =>
        framed([...tokenizer.encode(a)], b === undefined ? undefined : [...tokenizer.encode(b)], { maxLength }),
    };
  }
  const need = (id: number | undefined, token: string): number => {
    if (id !== undefined) return id;
    throw new ApolloError(
      'BAD_TOKENIZER',
      `A ${title} model needs a tokenizer with ${token}, and this tokenizer has none. Use the tokenizer with which the model was trained.`,
    );
  };
  const mark = '<|endoftext|> or another end of text (eos_token in tokenizer_config.json)';
  const isCausal = objective === 'causal';
  const first = isCausal ? need(eot, mark) : need(cls, '[CLS]');
  const end = isCausal ? need(eot, mark) : need(sep, '[SEP]');

  const join = (a: readonly number[], b?: readonly number[]) => {
    const tokens = b ? [first, ...a, end, ...b, end] : [first, ...a, end];
    checkLength(tokens.length);
    const types = new Array<number>(tokens.length).fill(0);
    if (b && hasTypes) types.fill(1, a.length + 2);
    return { tokens, types };
  };
  return {
    tokenizer,
    objective,
    maxLength,
    padId: pad ?? config.padTokenId ?? end,
    join,
    encode(a, b) {
      const ids = [...tokenizer.encode(a)];
      if (b === undefined) return join(ids.slice(0, maxLength - 2));
      const others = [...tokenizer.encode(b)];
      const [keepA, keepB] = longestFirst(ids.length, others.length, maxLength - 3);
      return join(ids.slice(0, keepA), others.slice(0, keepB));
    },
  };
}

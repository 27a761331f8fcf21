/**
 * Questions become windows of a fixed greatest length, `[CLS] question [SEP] part of the context [SEP]`, as in BERT's
 * run_squad: a context that is too long is cut into overlapping windows, and a token in several windows counts only in
 * the one that shows the most of its surroundings. Answers go from characters to tokens and back through the
 * tokenizer's offsets, so that a predicted answer is a piece of the original context.
 */
import { ApolloError, check } from '../../../errors.js';
import * as is from '../../../is.js';
import type { SquadQuestion } from './dataset.js';

/** Ids of a text without special tokens, and for each the UTF-16 units [start, end) of the text that it stands for. */
export interface OffsetEncoding {
  readonly ids: ArrayLike<number>;
  /** Start of token i at 2i, end at 2i + 1. */
  readonly offsets: ArrayLike<number>;
}

export interface WindowOptions {
  readonly encode: (text: string) => OffsetEncoding;
  readonly cls: number;
  readonly sep: number;
  /** Tokens of a window at most, special ones included. */
  readonly maxLength: number;
  /** Tokens from the start of one window's context to the start of the next; clipped to what a window holds. */
  readonly stride: number;
  /** Tokens of the question at most; the rest is cut off. */
  readonly maxQuestion: number;
}

/** A question whose texts have been encoded. */
export interface EncodedQuestion {
  readonly question: SquadQuestion;
  /** Question tokens, cut to `maxQuestion`. */
  readonly questionIds: readonly number[];
  readonly contextIds: ArrayLike<number>;
  readonly contextOffsets: ArrayLike<number>;
  /** Tokens of the whole context that hold the first answer, ends included; undefined where there is none. */
  readonly answer: TokenSpan | undefined;
}

/** First and last token, both included. */
export interface TokenSpan {
  readonly start: number;
  readonly end: number;
}

export interface SquadWindow {
  readonly source: EncodedQuestion;
  /** Context tokens [contextStart, contextEnd) of the source. */
  readonly contextStart: number;
  readonly contextEnd: number;
  /** Position in the window of token `contextStart`: 2 + question tokens. */
  readonly firstContext: number;
  /** Positions in the window of the answer's first and last token; both 0, [CLS], where this window does not hold it. */
  readonly label: TokenSpan;
  /** Tokens of the window, special ones included. */
  readonly length: number;
}

const noAnswer: TokenSpan = { start: 0, end: 0 };

const takesEncodeQuestion = is.takes('encodeQuestion', {
  question: is.question,
  options: is.object('{ encode, maxQuestion }', { encode: is.func, maxQuestion: is.count }),
});

/**
 * Encodes a question. `answer` is the first answer's token span, as run_squad trains on; a question that is marked as
 * impossible has none.
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function encodeQuestion(
  question: SquadQuestion,
  options: Pick<WindowOptions, 'encode' | 'maxQuestion'>,
): EncodedQuestion {
  takesEncodeQuestion(question, options);

  const { encode, maxQuestion } = options;
  const { ids: contextIds, offsets: contextOffsets } = encode(question.context);
  const [first] = question.answers;
  const answer =
    question.impossible || first?.start === undefined
      ? undefined
      : tokenSpan(contextOffsets, first.start, first.start + first.text.length);
  const questionIds = Array.from(encode(question.question.trim()).ids).slice(0, maxQuestion);
  return { question, questionIds, contextIds, contextOffsets, answer };
}

const takesTokenSpan = is.takes('tokenSpan', { offsets: is.numericArray, start: is.index, end: is.index });

/**
 * The tokens that hold the characters [start, end): all that overlap them, so the span may be wider where a token goes
 * across an edge. Undefined when no token does, as for blanks. Tokens must be in the order of the text.
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function tokenSpan(offsets: ArrayLike<number>, start: number, end: number): TokenSpan | undefined {
  takesTokenSpan(offsets, start, end);

  let first: number | undefined;
  let last: number | undefined;
  for (let token = 0; token < offsets.length / 2; token++) {
    if (offsets[2 * token]! >= end) break;
    if (offsets[2 * token + 1]! <= start) continue;
    first ??= token;
    last = token;
  }
  return first === undefined || last === undefined ? undefined : { start: first, end: last };
}

const takesSpanText = is.takes('spanText', { encoded: is.encodedQuestion, span: is.span });

/**
 * The characters of the context from the first token of a span to its last, exactly as they are there, no blanks around.
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function spanText(encoded: EncodedQuestion, span: TokenSpan): string {
  takesSpanText(encoded, span);
  const { question, contextOffsets } = encoded;
  const { start, end } = span;
  return question.context.slice(contextOffsets[2 * start]!, contextOffsets[2 * end + 1]!).trim();
}

const takesWindowsOf = is.takes('windowsOf', {
  source: is.encodedQuestion,
  options: is.object('{ maxLength, stride }', { maxLength: is.count, stride: is.count }),
});

/**
 * The windows of a question, from left to right; at least one, also for an empty context.
 * @throws ApolloError BAD_CONFIG when `maxLength` leaves no room for the context after the question.
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function windowsOf(source: EncodedQuestion, options: WindowOptions): SquadWindow[] {
  takesWindowsOf(source, options);
  const { maxLength, stride } = options;
  check(Number.isInteger(stride) && stride > 0, `stride must be a positive whole number of tokens; got ${stride}.`);
  const firstContext = source.questionIds.length + 2;
  const room = maxLength - firstContext - 1;
  if (room < 1) {
    throw new ApolloError(
      'BAD_CONFIG',
      `Question ${source.question.id} has ${source.questionIds.length} tokens, and a window of ${maxLength} has no room ` +
        'for the context beside it and three special tokens. Use longer windows (--max-length) or a smaller maximum for the question (--max-question).',
    );
  }
  const total = source.contextIds.length;
  const windows: SquadWindow[] = [];
  for (let contextStart = 0; ; contextStart += Math.min(stride, room)) {
    const contextEnd = Math.min(total, contextStart + room);
    windows.push({
      source,
      contextStart,
      contextEnd,
      firstContext,
      label: labelIn(source.answer, contextStart, contextEnd, firstContext),
      length: firstContext + contextEnd - contextStart + 1,
    });
    if (contextEnd === total) return windows;
  }
}

/** The answer's place in a window that holds all of it; else [CLS], since the window does not answer the question. */
function labelIn(answer: TokenSpan | undefined, start: number, end: number, firstContext: number): TokenSpan {
  if (!answer || answer.start < start || answer.end >= end) return noAnswer;
  return { start: answer.start - start + firstContext, end: answer.end - start + firstContext };
}

const takesMaxContext = is.takes('maxContext', { windows: is.windows });

/**
 * For each context token of each of a question's windows whether that window is the token's best: the one with the most
 * context on its poorer side (plus 0.01 times its length; the first of equals). Index 0 is token `contextStart`.
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function maxContext(windows: readonly SquadWindow[]): boolean[][] {
  takesMaxContext(windows);

  const score = ({ contextStart, contextEnd }: SquadWindow, token: number): number =>
    Math.min(token - contextStart, contextEnd - 1 - token) + 0.01 * (contextEnd - contextStart);
  const holds = ({ contextStart, contextEnd }: SquadWindow, token: number): boolean =>
    token >= contextStart && token < contextEnd;
  return windows.map((window, index) =>
    Array.from({ length: window.contextEnd - window.contextStart }, (_, i) => {
      const token = window.contextStart + i;
      const own = score(window, token);
      return windows.every((other, o) => {
        if (o === index || !holds(other, token)) return true;
        const theirs = score(other, token);
        return o < index ? theirs < own : theirs <= own;
      });
    }),
  );
}

/**
 * Writes a window into row `row` of a batch of length `length`: ids, token types (0 for [CLS] question [SEP], 1 for the
 * rest) and mask (1 for real tokens). What is beyond the window is left as it is.
 */
export function writeWindow(
  window: SquadWindow,
  { cls, sep }: Pick<WindowOptions, 'cls' | 'sep'>,
  batch: { readonly tokens: Int32Array; readonly types: Int32Array; readonly mask: Int32Array },
  { row, length }: { readonly row: number; readonly length: number },
): void {
  const { source, contextStart, contextEnd, firstContext } = window;
  const ids = [cls, ...source.questionIds, sep];
  for (let token = contextStart; token < contextEnd; token++) ids.push(source.contextIds[token]!);
  ids.push(sep);
  const start = row * length;
  batch.tokens.set(ids, start);
  batch.types.fill(1, start + firstContext, start + ids.length);
  batch.mask.fill(1, start, start + ids.length);
}

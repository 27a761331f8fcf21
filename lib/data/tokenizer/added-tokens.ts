/** Tokens that are found in a text before anything else happens to it: special tokens, and others that were added. */

import { asKnown, isWhiteSpace } from './characters.js';
import type { OffsetSink, TextEncoding } from './offsets.js';

/** A token that was added next to a model's vocabulary, as a tokenizer.json holds it. */
export interface AddedToken {
  readonly id: number;
  readonly content: string;
  /** Found only where no letter, digit or underscore touches it. */
  readonly single_word?: boolean;
  /** Takes the white space before it, after it. */
  readonly lstrip?: boolean;
  readonly rstrip?: boolean;
  /** Found in the normalised text, in its own normalised form. */
  readonly normalized?: boolean;
  readonly special?: boolean;
}

/** A stretch of a text: an added token's id, or undefined for what is between. */
export interface Found {
  readonly id: number | undefined;
  readonly start: number;
  readonly end: number;
}

export type Finder = (text: string) => readonly Found[];

/** Finds added tokens, the longest at each place; undefined where there is none to find. */
export function finderOf(tokens: readonly (AddedToken & { readonly spelling?: string })[]): Finder | undefined {
  const bySpelling = new Map(tokens.map((token) => [token.spelling ?? token.content, token]));
  bySpelling.delete('');
  if (bySpelling.size === 0) return undefined;
  const longestFirst = [...bySpelling.keys()].sort((a, b) => b.length - a.length);
  const pattern = new RegExp(longestFirst.map((s) => s.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&')).join('|'), 'g');
  return (text) => {
    const found: Found[] = [];
    let done = 0;
    for (const match of text.matchAll(pattern)) {
      const token = bySpelling.get(match[0])!;
      let start = match.index;
      let end = start + match[0].length;
      if (token.single_word && (isWordBefore(text, start) || isWordAt(text, end))) continue;
      if (token.lstrip) while (start > done && isWhiteSpace(text.charCodeAt(start - 1))) start--;
      if (token.rstrip) while (end < text.length && isWhiteSpace(text.charCodeAt(end))) end++;
      if (done < start) found.push({ id: undefined, start: done, end: start });
      found.push({ id: token.id, start, end });
      done = end;
    }
    if (done < text.length) found.push({ id: undefined, start: done, end: text.length });
    return found;
  };
}

/** An encoder that gives added tokens their ids and leaves what is between them to `plain`. */
export function withAddedTokens(plain: TextEncoding, tokens: readonly AddedToken[]): TextEncoding {
  const find = finderOf(tokens);
  if (find === undefined) return plain;
  return {
    encode(text, out) {
      for (const { id, start, end } of find(text)) {
        if (id !== undefined) out.push(id);
        else plain.encode(end - start === text.length ? text : text.slice(start, end), out);
      }
    },
    place(text, add: OffsetSink) {
      for (const { id, start, end } of find(text)) {
        if (id !== undefined) add(id, start, end);
        else plain.place(text.slice(start, end), (token, first, last) => add(token, start + first, start + last));
      }
    },
  };
}

/** \w of Rust's regular expressions. */
const word = /^[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]/u;

function isWordAt(text: string, at: number): boolean {
  return at < text.length && word.test(asKnown(String.fromCodePoint(text.codePointAt(at)!)));
}

function isWordBefore(text: string, at: number): boolean {
  if (at === 0) return false;
  const low = text.charCodeAt(at - 1);
  const isPair = low >= 0xdc00 && low <= 0xdfff && at > 1;
  return isWordAt(text, isPair ? at - 2 : at - 1);
}

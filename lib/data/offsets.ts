/** Where tokens lie in the text they were made from, and how the pieces around special tokens fit together. */
import { IdBuffer } from './id-buffer.js';

/** Takes one token: its id, and the start and end of its text in UTF-16 units. */
export type OffsetSink = (id: number, start: number, end: number) => void;

/** An encoder of texts without special tokens in them. */
export interface TextEncoding {
  /** Appends the ids. */
  encode(text: string, out: IdBuffer): void;
  /** Hands over the same ids with their places. */
  place(text: string, add: OffsetSink): void;
}

/** Token ids with the place of each in the text. */
export interface PlacedTokens {
  readonly ids: Int32Array;
  /** Two numbers a token: where its text starts and where it ends, in UTF-16 units (`text.slice(start, end)`). */
  readonly offsets: Int32Array;
}

/** An encoder in which special tokens spelled out in the text become their ids (the longest one at a place). */
export function withSpecials(
  plain: TextEncoding,
  added: readonly { readonly content: string; readonly id: number }[],
): TextEncoding {
  if (added.length === 0) return plain;
  const ids = new Map(added.map((token) => [token.content, token.id]));
  const longestFirst = [...ids.keys()].filter((content) => content !== '').sort((a, b) => b.length - a.length);
  if (longestFirst.length === 0) return plain;
  const pattern = new RegExp(longestFirst.map((s) => s.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&')).join('|'), 'g');
  return {
    encode(text, out) {
      let start = 0;
      for (const match of text.matchAll(pattern)) {
        if (match.index > start) plain.encode(text.slice(start, match.index), out);
        out.push(ids.get(match[0])!);
        start = match.index + match[0].length;
      }
      if (start < text.length) plain.encode(start === 0 ? text : text.slice(start), out);
    },
    place(text, add) {
      let start = 0;
      const placePlain = (end: number): void => {
        const from = start;
        plain.place(text.slice(from, end), (id, first, last) => add(id, from + first, from + last));
      };
      for (const match of text.matchAll(pattern)) {
        if (match.index > start) placePlain(match.index);
        start = match.index + match[0].length;
        add(ids.get(match[0])!, match.index, start);
      }
      if (start < text.length) placePlain(text.length);
    },
  };
}

/** All tokens of a text with their places. */
export function placedTokens(encoding: TextEncoding, text: string): PlacedTokens {
  const ids = new IdBuffer(Math.max(16, text.length >> 2));
  const offsets = new IdBuffer(Math.max(16, text.length >> 1));
  encoding.place(text, (id, start, end) => {
    ids.push(id);
    offsets.push(start);
    offsets.push(end);
  });
  return { ids: Int32Array.from(ids.view()), offsets: Int32Array.from(offsets.view()) };
}

/** Where tokens are in the text they were made from, and how the pieces around special tokens fit together. */
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
  /** Token ids, without special tokens around the text. */
  readonly ids: Int32Array;
  /** Two numbers per token: where its text starts and where it ends, in UTF-16 units (`text.slice(start, end)`). */
  readonly offsets: Int32Array;
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

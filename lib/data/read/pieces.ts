/** Documents in pieces: text of any length goes through in parts that are tokenised the same as the whole. */

/** A piece of a document; the pieces of a document follow one another, and `isLast` closes it. */
export interface DocumentPiece {
  readonly text: string;
  readonly isLast: boolean;
}

/** A long document is cut into pieces of about this many UTF-16 units. */
const pieceLength = 1 << 17;

/** Without a place to cut for this long, a piece is cut anywhere (between two code points). */
export const longestPiece = 1 << 22;

/** Collects text and gives it out in pieces. */
export class PieceCutter {
  #text = '';

  *add(text: string): Iterable<DocumentPiece> {
    this.#text += text;
    while (this.#text.length > pieceLength) {
      const cut = cutPlace(this.#text);
      if (cut === undefined) return;
      yield { text: this.#text.slice(0, cut), isLast: false };
      this.#text = this.#text.slice(cut);
    }
  }

  end(): DocumentPiece {
    const text = this.#text;
    this.#text = '';
    return { text, isLast: true };
  }
}

/** The pieces of a document whose text is all there. */
export function* piecesOf(text: string): Iterable<DocumentPiece> {
  if (text.length <= pieceLength) {
    yield { text, isLast: true };
    return;
  }
  const cutter = new PieceCutter();
  yield* cutter.add(text);
  yield cutter.end();
}

/**
 * The first place at or after pieceLength where no split of a known tokenizer looks across: before a blank that follows a
 * character that is no white space. Words of byte-level BPE and of SentencePiece start with their blank, BERT's end at it.
 * A line end would not do: Llama 3 and Qwen take the punctuation before it into one word, and SentencePiece puts a blank
 * before a text that starts with something else.
 */
function cutPlace(text: string): number | undefined {
  for (let i = pieceLength; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === 0x20 && !/\s|\x85/.test(text[i - 1]!)) return i;
  }
  if (text.length <= longestPiece) return undefined;
  const code = text.charCodeAt(longestPiece);
  return code >= 0xdc00 && code <= 0xdfff ? longestPiece - 1 : longestPiece;
}

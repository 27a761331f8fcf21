/** Text of ids, at once or as the ids come: the way back of GPT-2's byte-level BPE and of BERT's WordPiece. */
import { byteCharacters } from '../tokenizer/pretokenize.js';

/**
 * Text of a growing row of ids. All that `push` and at last `end` give, joined, is what decoding the whole row gives.
 */
export interface StreamDecoder {
  /** The text that is certain with this id and was not before; often '', since characters and words may go on. */
  push(id: number): string;
  /** The remaining text. This resets the decoder. */
  end(): string;
}

export interface Detokenizer {
  decode(ids: ArrayLike<number>, isSkipped: (id: number) => boolean): string;
  stream(isSkipped: (id: number) => boolean): StreamDecoder;
}

/** Gives the token of an id, or undefined for an id that is none; such ids have no text. */
type TokenOf = (id: number) => string | undefined;

/**
 * For byte-level tokens: their bytes are one row of UTF-8, in which a character may span several tokens. Bytes that make
 * no character become U+FFFD.
 */
export function byteDetokenizer(tokenOf: TokenOf): Detokenizer {
  const byteOf = new Map(byteCharacters.map((character, byte) => [character, byte]));
  const known = new Map<number, Uint8Array>();
  const bytesOf = (id: number): Uint8Array => {
    let bytes = known.get(id);
    if (bytes === undefined) {
      const token = tokenOf(id) ?? '';
      const spelled = Array.from(token, (character) => byteOf.get(character));
      // A token that was added may hold other characters, and then stands for itself.
      bytes = spelled.includes(undefined) ? Buffer.from(token, 'utf8') : Uint8Array.from(spelled as number[]);
      known.set(id, bytes);
    }
    return bytes;
  };
  const utf8 = () => new TextDecoder('utf-8', { ignoreBOM: true });
  return {
    decode(ids, isSkipped) {
      const parts: Uint8Array[] = [];
      for (let i = 0; i < ids.length; i++) if (!isSkipped(ids[i]!)) parts.push(bytesOf(ids[i]!));
      return utf8().decode(Buffer.concat(parts));
    },
    stream(isSkipped) {
      let decoder = utf8();
      return {
        push: (id) => (isSkipped(id) ? '' : decoder.decode(bytesOf(id), { stream: true })),
        end() {
          const rest = decoder.decode();
          decoder = utf8();
          return rest;
        },
      };
    },
  };
}

/**
 * For WordPiece: a blank before each token that does not continue a word, then clean-up of blanks as Python does it,
 * unless `cleans` is false.
 */
export function wordPieceDetokenizer(tokenOf: TokenOf, continuation: string, cleans = true): Detokenizer {
  const finished = (text: string): string => (cleans ? withoutStrayBlanks(text) : text);
  const spell = (id: number, isFirst: boolean): string => {
    const token = tokenOf(id);
    if (token === undefined || isFirst) return token ?? '';
    return continuation !== '' && token.startsWith(continuation) ? token.slice(continuation.length) : ` ${token}`;
  };
  return {
    decode(ids, isSkipped) {
      let text = '';
      let isFirst = true;
      for (let i = 0; i < ids.length; i++) {
        if (isSkipped(ids[i]!) || tokenOf(ids[i]!) === undefined) continue;
        text += spell(ids[i]!, isFirst);
        isFirst = false;
      }
      return finished(text);
    },
    stream(isSkipped) {
      let pending = '';
      let isFirst = true;
      return {
        push(id) {
          if (isSkipped(id) || tokenOf(id) === undefined) return '';
          pending += spell(id, isFirst);
          isFirst = false;
          const cut = certain(pending);
          const text = finished(pending.slice(0, cut));
          pending = pending.slice(cut);
          return text;
        },
        end() {
          const text = finished(pending);
          pending = '';
          isFirst = true;
          return text;
        },
      };
    },
  };
}

/** Blanks before punctuation and around apostrophes go, in the order in which Python's clean-up takes them. */
function withoutStrayBlanks(text: string): string {
  return text
    .replace(/ ([.?!,])/g, '$1')
    .replaceAll(" ' ", "'")
    .replaceAll(" n't", "n't")
    .replace(/ '(m|s|ve|re)/g, "'$1");
}

/**
 * How much of a text no later token can change: up to the last blank between words. The clean-up looks across a blank
 * only where an apostrophe or a mark is next to it, and the word before that one is `n` at most.
 */
function certain(text: string): number {
  for (let i = text.lastIndexOf(' '); i > 0; i = text.lastIndexOf(' ', i - 1)) {
    const next = text[i + 1];
    if (next !== undefined && !".?!,'".includes(next) && text[i - 1] !== "'") return i;
  }
  return 0;
}

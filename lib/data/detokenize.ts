/** Text of ids, at once or as the ids come: the way back of GPT-2's byte-level BPE and of BERT's WordPiece. */
import { byteCharacters } from './pretokenize.js';
import { cleaned } from './tokenizer/decoders.js';

/**
 * Text of a growing row of ids. All that `push` and at last `end` give, joined, is what decoding the whole row gives.
 */
export interface StreamDecoder {
  /** The text that is certain with this id and was not before; often '', since characters and words may go on. */
  push(id: number): string;
  /** What was still held back. The decoder then begins anew. */
  end(): string;
}

export interface Detokenizer {
  decode(ids: ArrayLike<number>, isSkipped: (id: number) => boolean): string;
  stream(isSkipped: (id: number) => boolean): StreamDecoder;
}

/** Gives the token of an id, or undefined for an id that is none; such ids have no text. */
type TokenOf = (id: number) => string | undefined;

/**
 * For byte-level tokens: their bytes are one row of UTF-8, in which a character may lie across tokens. Bytes that make
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
 * For WordPiece: a blank before each token that does not continue a word, except before a mark (unless `cleans` is false).
 * Python's `tokenizers` cleans each token by itself, so that an apostrophe keeps its blanks.
 */
export function wordPieceDetokenizer(tokenOf: TokenOf, continuation: string, cleans = true): Detokenizer {
  const spell = (id: number, isFirst: boolean): string => {
    const token = tokenOf(id);
    if (token === undefined) return '';
    const continues = continuation !== '' && token.startsWith(continuation);
    const text = isFirst ? token : continues ? token.slice(continuation.length) : ` ${token}`;
    return cleans ? cleaned(text) : text;
  };
  const stream = (isSkipped: (id: number) => boolean): StreamDecoder => {
    let isFirst = true;
    return {
      push(id) {
        if (isSkipped(id) || tokenOf(id) === undefined) return '';
        const text = spell(id, isFirst);
        isFirst = false;
        return text;
      },
      end() {
        isFirst = true;
        return '';
      },
    };
  };
  return {
    decode(ids, isSkipped) {
      const { push } = stream(isSkipped);
      let text = '';
      for (let i = 0; i < ids.length; i++) text += push(ids[i]!);
      return text;
    },
    stream,
  };
}

/** Encodes text as BERT does: clean-up and split (pretokenize.ts), then the longest known piece first (WordPiece). */
import type { IdBuffer } from './id-buffer.js';
import type { OffsetSink, TextEncoding } from './offsets.js';
import { type BertNormalization, bertSplitter, forEachChunk } from './pretokenize.js';
import { WordCache } from './word-cache.js';

export interface WordPieceModel {
  readonly vocabulary: ReadonlyMap<string, number>;
  readonly unknownId: number;
  /** Prefix of a piece that continues a word, `##`. */
  readonly continuation: string;
  /** Words of more code points than this become the unknown token (100 in BERT). */
  readonly maxCharacters: number;
  readonly normalization: BertNormalization;
}

/** Encodes texts without special tokens in them. */
export function wordPieceEncoder(model: WordPieceModel): TextEncoding {
  const chunks = new WordCache();
  const words = new WordCache();
  const splitter = bertSplitter(model.normalization);
  let longest = 0;
  for (const token of model.vocabulary.keys()) longest = Math.max(longest, token.length);
  const wordIds = (word: string): readonly number[] => {
    let ids = words.get(word);
    if (ids === undefined) {
      ids = pieces(word, model, longest);
      words.set(word, ids);
    }
    return ids;
  };
  let lengths: Map<number, number> | undefined;
  return {
    encode(text: string, out: IdBuffer): void {
      forEachChunk(text, (start, end) => {
        const chunk = text.slice(start, end);
        let ids = chunks.get(chunk);
        if (ids === undefined) {
          ids = splitter.words(chunk).flatMap(wordIds);
          chunks.set(chunk, ids);
        }
        for (let i = 0; i < ids.length; i++) out.push(ids[i]!);
      });
    },
    place(text: string, add: OffsetSink): void {
      lengths ??= new Map(Array.from(model.vocabulary, ([token, id]) => [id, token.length]));
      const lengthOf = lengths;
      forEachChunk(text, (start, chunkEnd) => {
        for (const { word, starts, ends } of splitter.placedWords(text.slice(start, chunkEnd))) {
          const ids = wordIds(word);
          let at = 0;
          for (const [i, id] of ids.entries()) {
            // The unknown token stands for the whole word, any other one for as much as it spells.
            const isWhole = ids.length === 1;
            const length = isWhole ? word.length : lengthOf.get(id)! - (i > 0 ? model.continuation.length : 0);
            add(id, start + starts[at]!, start + ends[at + length - 1]!);
            at += length;
          }
        }
      });
    },
  };
}

/**
 * The ids of one word, greedily: the longest prefix in the vocabulary, then the longest continuation, and so on.
 * `longest` is the length of the longest token. A slice that ends inside a surrogate pair is in no vocabulary, so
 * UTF-16 units serve as well as code points.
 */
export function pieces(word: string, model: Omit<WordPieceModel, 'normalization'>, longest: number): readonly number[] {
  if (word.length > model.maxCharacters && [...word].length > model.maxCharacters) return [model.unknownId];
  const ids: number[] = [];
  let start = 0;
  while (start < word.length) {
    let end = Math.min(word.length, start + longest);
    let id: number | undefined;
    for (; end > start; end--) {
      const piece = word.slice(start, end);
      id = model.vocabulary.get(start === 0 ? piece : model.continuation + piece);
      if (id !== undefined) break;
    }
    if (id === undefined) return [model.unknownId];
    ids.push(id);
    start = end;
  }
  return ids;
}

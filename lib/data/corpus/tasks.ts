/** The two jobs on a piece of text that may run in a worker thread: to encode it, and to count its words. */
import { continuation } from '../tokenizer/continuation.js';
import { IdBuffer } from '../tokenizer/id-buffer.js';
import { createTokenizer, type Tokenizer } from '../tokenizer/tokenizer.js';
import type { TokenizerDefinition } from '../tokenizer/tokenizer-files.js';
import { countWords, type TrainableKind } from '../tokenizer/train-tokenizer.js';

/** Setup of a worker: a tokenizer to encode with, or the kind of words to count. */
export type WorkSetup =
  | {
      readonly job: 'encode';
      readonly definition: TokenizerDefinition;
      /** Tokens at the start and at the end of each document. */
      readonly opening: number | undefined;
      readonly separator: number | undefined;
    }
  | { readonly job: 'count'; readonly kind: TrainableKind };

/** Pieces of documents in order: texts[i] ends its document where isLast[i]. */
export interface Work {
  readonly texts: readonly string[];
  readonly isLast: readonly boolean[];
  /** Whether the first text continues a document. */
  readonly continues: boolean;
}

/** The ids of all texts with the tokens at the ends of each document; documentEnds are offsets in `ids`. */
export interface Encoded {
  readonly ids: Uint32Array;
  readonly documentEnds: readonly number[];
}

export interface Counted {
  readonly words: readonly string[];
  readonly counts: Uint32Array;
}

export type WorkResult = Encoded | Counted;

/** A function that does the work; the same in a worker thread and in this one. */
export function createJob(setup: WorkSetup): (work: Work) => WorkResult {
  if (setup.job === 'count') {
    return ({ texts }) => {
      const words = new Map<string, number>();
      for (const text of texts) {
        for (const [word, count] of countWords(setup.kind, text)) words.set(word, (words.get(word) ?? 0) + count);
      }
      return { words: [...words.keys()], counts: Uint32Array.from(words.values()) };
    };
  }
  const tokenizer: Tokenizer = createTokenizer(setup.definition);
  const continued = continuation(setup.definition);
  const out = new IdBuffer(1 << 16);
  return ({ texts, isLast, continues }) => {
    out.clear();
    const documentEnds: number[] = [];
    texts.forEach((text, i) => {
      const isContinued = i === 0 ? continues : !isLast[i - 1];
      if (!isContinued && setup.opening !== undefined) out.push(setup.opening);
      tokenizer.encodeInto(isContinued ? continued(text) : text, out);
      if (!isLast[i]) return;
      if (setup.separator !== undefined) out.push(setup.separator);
      documentEnds.push(out.length);
    });
    return { ids: out.view().slice(), documentEnds };
  };
}

/** The source of batches: a long row of token ids that can be read at any offset. */
import { check } from '../../errors.js';
import * as is from '../../is.js';
import type { TokenFile } from '../corpus/token-file.js';
import type { SourcePart } from './mixture.js';
import type { Ranges } from './split.js';

/** A long row of token ids from which batches are cut: the training or held-out text of a corpus, or an array. */
export interface TokenSource {
  /** Number of tokens; of a mixture, those of all parts. */
  readonly tokenCount: number;
  /** All ids are below this. */
  readonly vocabSize: number;
  /** The parts of a mixture (mixture.ts). Reads do not cross from one part into the next. */
  readonly parts?: readonly SourcePart[] | undefined;
  /**
   * The ids [offset, offset + length).
   * @throws ApolloError BAD_ARGUMENT when the range is not inside.
   */
  read(offset: number, length: number): Int32Array;
}

const takesArraySource = is.takes('arraySource', { ids: is.numericArray, vocabSize: is.count });

/**
 * Ids held in memory, for tests and small texts.
 * @example
 * const source = arraySource([3, 1, 2, 0], 4);
 * source.read(1, 2); // Int32Array [1, 2]
 */
export function arraySource(ids: ArrayLike<number>, vocabSize: number): TokenSource {
  takesArraySource(ids, vocabSize);
  const tokens = Int32Array.from(ids);
  return {
    tokenCount: tokens.length,
    vocabSize,
    read(offset, length) {
      checkRange(offset, length, tokens.length);
      return tokens.slice(offset, offset + length);
    },
  };
}

/** Some ranges of a token file, read as if they were one row. */
export function rangeSource(file: TokenFile, { starts, ends, tokenCount }: Ranges): TokenSource {
  const offsets = new Float64Array(starts.length + 1); // offsets[i]: offset of range i in the row
  starts.forEach((start, i) => {
    offsets[i + 1] = offsets[i]! + ends[i]! - start;
  });
  return {
    tokenCount,
    vocabSize: file.vocabSize,
    read(offset, length) {
      checkRange(offset, length, tokenCount);
      const out = new Int32Array(length);
      let low = 0;
      let high = starts.length; // the range that holds `offset` is in [low, high)
      while (high - low > 1) {
        const middle = (low + high) >> 1;
        if (offsets[middle]! <= offset) low = middle;
        else high = middle;
      }
      for (let done = 0, range = low; done < length; range++) {
        const inRange = offset + done - offsets[range]!;
        const count = Math.min(length - done, offsets[range + 1]! - offset - done);
        file.readInto(starts[range]! + inRange, count, out, done);
        done += count;
      }
      return out;
    },
  };
}

function checkRange(offset: number, length: number, tokenCount: number): void {
  check(
    Number.isSafeInteger(offset) &&
      Number.isSafeInteger(length) &&
      offset >= 0 &&
      length >= 0 &&
      offset + length <= tokenCount,
    `Tokens [${offset}, ${offset + length}) are not inside the source, which has ${tokenCount}.`,
  );
}

/**
 * How text falls into words before BERT's model of sub-words sees it: clean-up and the punctuation rule (Hugging Face's
 * BertNormalizer and BertPreTokenizer). Encoder and trainer share these, so they cannot differ.
 *
 * The class of a character (letter, punctuation, accent) comes from unicode-tables.ts, so that it is the same under every
 * version of Node and the same as in Python.
 */

import { normalForm } from './characters.js';
import { flag, flagsOf, lowered } from './unicode.js';

/** Runs of text between blanks. Every chunk can be normalised by itself: no step of BERT's looks across a blank. */
export function blankSeparated(text: string): string[] {
  const chunks: string[] = [];
  forEachChunk(text, (start, end) => chunks.push(text.slice(start, end)));
  return chunks;
}

/** Calls `visit` with start and end of each run of text between blanks. */
export function forEachChunk(text: string, visit: (start: number, end: number) => void): void {
  let start = -1;
  for (let i = 0; i < text.length; i++) {
    // No blank is above U+FFFF, and neither half of a surrogate pair is one.
    if ((flagsOf(text.charCodeAt(i)) & flag.blank) === 0) {
      if (start < 0) start = i;
    } else if (start >= 0) {
      visit(start, i);
      start = -1;
    }
  }
  if (start >= 0) visit(start, text.length);
}

/** The switches of a BertNormalizer, with Hugging Face's names in tokenizer.json in comments. */
export interface BertNormalization {
  readonly cleanText: boolean; // clean_text
  readonly spaceHan: boolean; // handle_chinese_chars
  readonly stripAccents: boolean; // strip_accents (null there: as lowercase)
  readonly lowercase: boolean; // lowercase
}

export const uncased: BertNormalization = { cleanText: true, spaceHan: true, stripAccents: true, lowercase: true };

/** A word and where it comes from: UTF-16 unit i of it was made from the units starts[i] to ends[i] of the chunk. */
export interface PlacedWord {
  readonly word: string;
  readonly starts: readonly number[];
  readonly ends: readonly number[];
}

const plainAscii = /^[!-~]*$/;

export interface BertSplitter {
  /** The words of one blank-separated chunk: normalised, then split at punctuation (each mark is a word). */
  words(chunk: string): string[];
  /** The same words with their places. */
  placedWords(chunk: string): PlacedWord[];
}

export function bertSplitter(rules: BertNormalization): BertSplitter {
  const known = new Map<string, string>();
  const normalised = (character: string): string => {
    let result = known.get(character);
    if (result === undefined) {
      result = normalisedCharacter(character, rules);
      known.set(character, result);
    }
    return result;
  };
  return {
    words(chunk) {
      let text = chunk;
      if (plainAscii.test(chunk)) {
        if (rules.lowercase) text = chunk.toLowerCase();
      } else {
        text = '';
        for (const character of ordered(chunk, rules)) text += normalised(character);
      }
      const words: string[] = [];
      forEachBertWord(text, (start, end) => words.push(text.slice(start, end)));
      return words;
    },
    placedWords(chunk) {
      let text = '';
      const starts: number[] = [];
      const ends: number[] = [];
      for (const { character, start, end } of orderedWithPlaces(chunk, rules)) {
        const made = normalised(character);
        for (let i = 0; i < made.length; i++) {
          starts.push(start);
          ends.push(end);
        }
        text += made;
      }
      const words: PlacedWord[] = [];
      forEachBertWord(text, (from, to) =>
        words.push({ word: text.slice(from, to), starts: starts.slice(from, to), ends: ends.slice(from, to) }),
      );
      return words;
    },
  };
}

/** Calls `visit` with start and end of each word: a run without white space and punctuation, or one mark. */
function forEachBertWord(text: string, visit: (start: number, end: number) => void): void {
  let start = -1;
  for (let i = 0; i < text.length; ) {
    const code = text.codePointAt(i)!;
    const next = i + (code > 0xffff ? 2 : 1);
    const kind = flagsOf(code) & (flag.space | flag.punctuation);
    if (kind === 0) {
      if (start < 0) start = i;
    } else {
      if (start >= 0) visit(start, i);
      start = -1;
      if (kind === flag.punctuation) visit(i, next);
    }
    i = next;
  }
  if (start >= 0) visit(start, text.length);
}

/** Marks, with the character that they are on. */
const markedCharacter = /[^\p{M}\p{Script=Han}]?\p{M}+/gu;

/**
 * The text with its marks in canonical order. Python decomposes a whole text before it drops accents, which shows where
 * marks are not dropped: those that came to Unicode after version 8.
 */
function ordered(text: string, rules: BertNormalization): string {
  if (!rules.stripAccents || !isReordered(text)) return text;
  return withoutDeleted(text, rules).replace(markedCharacter, (run) => normalForm(run, 'NFD'));
}

interface PlacedCharacter {
  readonly character: string;
  readonly start: number;
  readonly end: number;
}

/** As `ordered`; marks that change places take the place in the text at which they then are. */
function orderedWithPlaces(text: string, rules: BertNormalization): PlacedCharacter[] {
  const characters: PlacedCharacter[] = [];
  let start = 0;
  for (const character of text) {
    const end = start + character.length;
    if (withoutDeleted(character, rules) !== '') characters.push({ character, start, end });
    start = end;
  }
  if (!rules.stripAccents || !isReordered(text)) return characters;
  const result: PlacedCharacter[] = [];
  let at = 0;
  for (const [run] of withoutDeleted(text, rules).matchAll(new RegExp(`${markedCharacter.source}|.`, 'gsu'))) {
    const last = at + [...run].length - 1;
    for (const character of /\p{M}/u.test(run) ? normalForm(run, 'NFD') : run) {
      const { start, end } = characters[Math.min(at, last)]!;
      result.push({ character, start, end });
      at++;
    }
    at = last + 1;
  }
  return result;
}

function isReordered(text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    const code = text.codePointAt(i)!;
    if ((flagsOf(code) & flag.reordered) !== 0) return true;
    if (code > 0xffff) i++;
  }
  return false;
}

function withoutDeleted(text: string, { cleanText }: BertNormalization): string {
  if (!cleanText) return text;
  let result = '';
  for (const character of text) if ((flagsOf(character.codePointAt(0)!) & flag.deleted) === 0) result += character;
  return result;
}

/** The whole normalizer, white space as a blank included, for pipelines that split in another way than BERT. */
export function normalised(rules: BertNormalization): (text: string) => string {
  const known = new Map<string, string>();
  return (text) => {
    let result = '';
    for (const character of ordered(text, rules)) {
      let made = known.get(character);
      if (made === undefined) {
        const isBlank = rules.cleanText && (flagsOf(character.codePointAt(0)!) & flag.blank) !== 0;
        made = isBlank ? ' ' : normalisedCharacter(character, rules);
        known.set(character, made);
      }
      result += made;
    }
    return result;
  };
}

/**
 * One character after BERT's clean-up. Characters are normalised one by one, as Python does it: lower-casing a whole
 * word would turn a last sigma into another letter.
 */
function normalisedCharacter(character: string, rules: BertNormalization): string {
  const flags = flagsOf(character.codePointAt(0)!);
  if (rules.cleanText && (flags & flag.deleted) !== 0) return '';
  let text = character;
  if (rules.stripAccents && (flags & (flag.decomposed | flag.mark)) !== 0) {
    const parts = (flags & flag.decomposed) !== 0 ? [...text.normalize('NFD')] : [text];
    text = parts.filter((part) => (flagsOf(part.codePointAt(0)!) & flag.mark) === 0).join('');
  }
  if (rules.lowercase) text = text.length === 1 ? lowered(text) : Array.from(text, lowered).join('');
  return rules.spaceHan && (flags & flag.han) !== 0 ? ` ${text} ` : text;
}

/** byteCharacters[b] is the printable character that stands for byte b in GPT-2's vocabulary files. */
export const byteCharacters: readonly string[] = (() => {
  const printable = (b: number) => (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
  let next = 256;
  return Array.from({ length: 256 }, (_, b) => String.fromCodePoint(printable(b) ? b : next++));
})();

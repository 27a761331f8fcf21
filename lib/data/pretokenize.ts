/**
 * How text falls into words before a model of sub-words sees it: BERT's clean-up and punctuation rule (Hugging Face's
 * BertNormalizer and BertPreTokenizer) and GPT-2's pattern. Encoders and trainers share these, so they cannot differ.
 *
 * What a character is (letter, punctuation, accent) is taken from unicode-tables.ts, so that it is the same under every
 * version of Node and the same as in Python.
 */
import * as tables from './unicode-tables.js';

/** Unicode White_Space, as the inside of a character class (JavaScript's \s differs at U+0085 and U+FEFF). */
const whiteSpace = '\\t-\\r \\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000';

/** What BERT's clean-up turns into a blank; the other white-space controls (VT, FF, NEL) it deletes instead. */
const blank = '\\t\\n\\r \\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000';

/** A packed table as the inside of a character class. */
function characterClass(table: string): string {
  let code = 0;
  const escaped = (value: number) => `\\u{${value.toString(16)}}`;
  return table
    .split(' ')
    .map((range) => {
      const [gap, length] = range.split('.');
      const first = code + Number.parseInt(gap!, 36);
      const last = first + (length === undefined ? 0 : Number.parseInt(length, 36));
      code = last + 1;
      return first === last ? escaped(first) : `${escaped(first)}-${escaped(last)}`;
    })
    .join('');
}

const [letters, numbers, punctuation] = [tables.letters, tables.numbers, tables.punctuation].map(characterClass);

const gptPattern = new RegExp(
  `'s|'t|'re|'ve|'m|'ll|'d| ?[${letters}]+| ?[${numbers}]+| ?[^${whiteSpace}${letters}${numbers}]+` +
    `|[${whiteSpace}]+(?![^${whiteSpace}])|[${whiteSpace}]+`,
  'gu',
);
const bertChunks = new RegExp(`[^${blank}]+`, 'g');
const bertWords = new RegExp(`[${punctuation}]|[^${whiteSpace}${punctuation}]+`, 'gu');
const plainAscii = /^[!-~]*$/;
const deleted = new RegExp(`[${characterClass(tables.deleted)}]`, 'u');
const decomposed = new RegExp(`[${characterClass(tables.decomposed)}]`, 'u');
const marks = new RegExp(`[${characterClass(tables.marks)}]`, 'gu');
const han =
  /[\u4e00-\u9fff\u3400-\u4dbf\u{20000}-\u{2a6df}\u{2a700}-\u{2b73f}\u{2b740}-\u{2b81f}\u{2b920}-\u{2ceaf}\uf900-\ufaff\u{2f800}-\u{2fa1f}]/u;

/** The pieces GPT-2's byte-level BPE works on; joined, they are the text again. */
export function gptWords(text: string): string[] {
  return text.match(gptPattern) ?? [];
}

/** Runs of text between blanks. Every chunk can be normalised by itself: no step of BERT's looks across a blank. */
export function blankSeparated(text: string): string[] {
  return text.match(bertChunks) ?? [];
}

/** As blankSeparated, with the place of each run in the text. */
export function* blankSeparatedPlaces(text: string): Generator<{ chunk: string; start: number }> {
  for (const match of text.matchAll(bertChunks)) yield { chunk: match[0], start: match.index };
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
        for (const character of chunk) text += normalised(character);
      }
      return text.match(bertWords) ?? [];
    },
    placedWords(chunk) {
      let text = '';
      let start = 0;
      const starts: number[] = [];
      const ends: number[] = [];
      for (const character of chunk) {
        const made = normalised(character);
        const end = start + character.length;
        for (let i = 0; i < made.length; i++) {
          starts.push(start);
          ends.push(end);
        }
        text += made;
        start = end;
      }
      return Array.from(text.matchAll(bertWords), ({ 0: word, index }) => ({
        word,
        starts: starts.slice(index, index + word.length),
        ends: ends.slice(index, index + word.length),
      }));
    },
  };
}

/**
 * One character after BERT's clean-up. Characters are normalised one by one, as Python does it: lower-casing a whole
 * word would turn a last sigma into another letter.
 */
function normalisedCharacter(character: string, rules: BertNormalization): string {
  if (rules.cleanText && deleted.test(character)) return '';
  let text = character;
  if (rules.stripAccents) {
    if (decomposed.test(text)) text = text.normalize('NFD');
    text = text.replace(marks, '');
  }
  if (rules.lowercase) text = Array.from(text, lowered).join('');
  return rules.spaceHan && han.test(character) ? ` ${text} ` : text;
}

function lowered(character: string): string {
  const code = character.codePointAt(0)!;
  const range = tables.newCapitals.find(([first, last]) => code >= first && code <= last);
  return range === undefined ? character.toLowerCase() : String.fromCodePoint(code + range[2]);
}

/** byteCharacters[b] is the printable character that stands for byte b in GPT-2's vocabulary files. */
export const byteCharacters: readonly string[] = (() => {
  const printable = (b: number) => (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
  let next = 256;
  return Array.from({ length: 256 }, (_, b) => String.fromCodePoint(printable(b) ? b : next++));
})();

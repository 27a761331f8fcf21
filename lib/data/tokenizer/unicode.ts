/** Classes of characters for the tokenizers: flags of each code point, unpacked from unicode-tables.ts. */
import * as tables from './unicode-tables.js';

export const flag = {
  /** GPT-2's letters and numbers. */
  letter: 1,
  number: 2,
  /** Unicode White_Space: ends a word everywhere (JavaScript's \s differs at U+0085 and U+FEFF). */
  space: 4,
  /** White space that BERT's clean-up keeps as a blank; the other controls (VT, FF, NEL) it deletes. */
  blank: 8,
  /** BERT: a word of its own; deleted by the clean-up; deleted with the accents; falls into several characters. */
  punctuation: 16,
  deleted: 32,
  mark: 64,
  decomposed: 128,
  /** BERT: Chinese characters, set apart by blanks. */
  han: 256,
  /** BERT: stays when accents are dropped, in canonical order. */
  reordered: 512,
  /** Rust's `char::is_numeric`, by which the pre-tokenizer Digits goes: a newer \p{N}. */
  numeric: 1024,
} as const;

const flags = new Uint16Array(0x110000);

/** Flags of a code point or of one half of a surrogate pair (which has none). */
export function flagsOf(code: number): number {
  return flags[code]!;
}

function set(bit: number, first: number, last: number): void {
  for (let code = first; code <= last; code++) flags[code]! |= bit;
}

function setAll(bit: number, table: string): void {
  let next = 0;
  for (const range of table.split(' ')) {
    const [gap, length] = range.split('.');
    const first = next + Number.parseInt(gap!, 36);
    const last = first + (length === undefined ? 0 : Number.parseInt(length, 36));
    set(bit, first, last);
    next = last + 1;
  }
}

setAll(flag.letter, tables.letters);
setAll(flag.number, tables.numbers);
setAll(flag.punctuation, tables.punctuation);
setAll(flag.deleted, tables.deleted);
setAll(flag.mark, tables.marks);
setAll(flag.decomposed, tables.decomposed);
setAll(flag.reordered, tables.reordered);
setAll(flag.numeric, tables.numeric);

const deletedSpaces: readonly number[] = [0x0b, 0x0c, 0x85];
const spaces: readonly (readonly [number, number])[] = [
  [0x09, 0x0d],
  [0x20, 0x20],
  [0x85, 0x85],
  [0xa0, 0xa0],
  [0x1680, 0x1680],
  [0x2000, 0x200a],
  [0x2028, 0x2029],
  [0x202f, 0x202f],
  [0x205f, 0x205f],
  [0x3000, 0x3000],
];
for (const [first, last] of spaces) {
  set(flag.space, first, last);
  for (let code = first; code <= last; code++) if (!deletedSpaces.includes(code)) set(flag.blank, code, code);
}

// The blocks of BERT's own list (google-research/bert, tokenization.py).
for (const [first, last] of [
  [0x4e00, 0x9fff],
  [0x3400, 0x4dbf],
  [0x20000, 0x2a6df],
  [0x2a700, 0x2b73f],
  [0x2b740, 0x2b81f],
  [0x2b920, 0x2ceaf],
  [0xf900, 0xfaff],
  [0x2f800, 0x2fa1f],
] as const) {
  set(flag.han, first, last);
}

/** One character in lower case. */
export function lowered(character: string): string {
  const code = character.codePointAt(0)!;
  if (code < tables.newCapitals[0]![0]) return character.toLowerCase();
  const range = tables.newCapitals.find(([first, last]) => code >= first && code <= last);
  return range === undefined ? character.toLowerCase() : String.fromCodePoint(code + range[2]);
}

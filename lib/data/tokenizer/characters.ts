/**
 * Classes of characters as the parts of Python's `tokenizers` see them, where they differ from those of BERT and GPT-2
 * (unicode.ts) or from this Node's Unicode.
 */
import { flag, flagsOf, lowered } from './unicode.js';
import * as tables from './unicode-tables.js';

const assignedBit = 1;
const combiningBit = 2;
const inertBit = 4;

interface Tables {
  readonly bits: Uint8Array;
  readonly scripts: Uint8Array;
}

let unpacked: Tables | undefined;

/** Unpacked at the first use: BERT's and GPT-2's own pipelines never need them. */
function all(): Tables {
  if (unpacked !== undefined) return unpacked;
  const bits = new Uint8Array(0x110000);
  for (const [bit, table] of [
    [assignedBit, tables.assigned],
    [combiningBit, tables.combining],
    [inertBit, tables.inert],
  ] as const) {
    let next = 0;
    for (const range of table.split(' ')) {
      const [gap, length = '0'] = range.split('.');
      const first = next + Number.parseInt(gap!, 36);
      next = first + Number.parseInt(length, 36) + 1;
      for (let code = first; code < next; code++) bits[code]! |= bit;
    }
  }
  const scripts = new Uint8Array(0x110000);
  let at = 0;
  for (const run of tables.scriptRuns.split(' ')) {
    const [length, group] = run.split('.').map((digits) => Number.parseInt(digits, 36));
    scripts.fill(group!, at, at + length!);
    at += length!;
  }
  unpacked = { bits, scripts };
  return unpacked;
}

/** Rust's `char::is_numeric`: all of \p{N}. */
export function isNumeric(code: number): boolean {
  return (flagsOf(code) & flag.numeric) !== 0;
}

/** Rust's `char::is_whitespace`: Unicode White_Space. */
export function isWhiteSpace(code: number): boolean {
  return (flagsOf(code) & flag.space) !== 0;
}

/** The punctuation of the pre-tokenizers BertPreTokenizer and Punctuation. */
export function isPunctuation(code: number): boolean {
  return (flagsOf(code) & flag.punctuation) !== 0;
}

/** Characters that the normalizer StripAccents drops. */
export function isCombining(code: number): boolean {
  return (all().bits[code]! & combiningBit) !== 0;
}

/** The group of a character's script in UnicodeScripts; 0 for one that never splits. */
export function scriptOf(code: number): number {
  return all().scripts[code]!;
}

/** Lower case, character by character: a final sigma is no exception, as in Rust's `char::to_lowercase`. */
export function lowerCase(text: string): string {
  let result = '';
  for (const character of text) result += lowered(character);
  return result;
}

export type NormalForm = 'NFC' | 'NFD' | 'NFKC' | 'NFKD';

/**
 * A Unicode normal form. The library knows an older Unicode than Node: characters that only the newer one decomposes,
 * reorders or composes stay as they are, and nothing is reordered across them.
 */
export function normalForm(text: string, form: NormalForm): string {
  if (!/[^\0-\x7f]/.test(text)) return text;
  const { bits } = all();
  let result = '';
  let start = 0;
  for (let i = 0; i < text.length; ) {
    const code = text.codePointAt(i)!;
    const next = i + (code > 0xffff ? 2 : 1);
    const isKnown = (bits[code]! & (assignedBit | inertBit)) === assignedBit;
    if (!isKnown) {
      result += text.slice(start, i).normalize(form) + text.slice(i, next);
      start = next;
    }
    i = next;
  }
  return result + text.slice(start).normalize(form);
}

/**
 * The text for the classes of a regular expression: characters that the library does not know become noncharacters of
 * the same length, which are in no class.
 */
export function asKnown(text: string): string {
  if (/^[\0-\xff]*$/.test(text)) return text;
  const { bits } = all();
  let result = '';
  let start = 0;
  for (let i = 0; i < text.length; ) {
    const code = text.codePointAt(i)!;
    const next = i + (code > 0xffff ? 2 : 1);
    if ((bits[code]! & assignedBit) === 0) {
      result += text.slice(start, i) + (code > 0xffff ? '\u{10ffff}' : '\uffff');
      start = next;
    }
    i = next;
  }
  return start === 0 ? text : result + text.slice(start);
}

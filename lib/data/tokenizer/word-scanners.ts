/**
 * Where words end for byte-level BPE: a scanner for each pre-tokenizer of a published family. It does in one pass over the
 * classes of characters what the regular expression says. general-pipeline.ts runs the expression itself, and scanners are
 * tested against that.
 */
import type { Part } from './refusal.js';
import { flag, flagsOf } from './unicode.js';

/** Where the word that starts at `start` ends; words follow one another without a gap. */
export type WordEnd = (text: string, start: number) => number;

export const llama3Pattern =
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|" +
  '\\s+(?!\\S)|\\s+';
export const qwen2Pattern = llama3Pattern.replace('{1,3}', '');

const digits: Part = { type: 'Digits', individual_digits: true };
const bytes = (use_regex: boolean): Part => ({ type: 'ByteLevel', add_prefix_space: false, use_regex });
const splitAt = (Regex: string): Part => ({ type: 'Split', pattern: { Regex }, behavior: 'Isolated' });

/** Steps of a tokenizer.json's pre-tokenizer, and the scanner that does the same. */
const scanners: readonly (readonly [steps: readonly Part[], wordEnd: WordEnd])[] = [
  [[bytes(true)], gptWordEnd],
  [[digits, bytes(true)], smolLmWordEnd],
  [[splitAt(llama3Pattern), bytes(false)], llama3WordEnd],
  [[splitAt(qwen2Pattern), bytes(false)], qwen2WordEnd],
];

export interface WordScanner {
  readonly wordEnd: WordEnd;
  /** A text that does not start with a blank gets one in front. */
  readonly addsBlank: boolean;
}

/** The scanner of a pre-tokenizer; undefined where it is not exactly one of those that have one. */
export function wordScannerOf(preTokenizer: Part): WordScanner | undefined {
  const series = preTokenizer['pretokenizers'];
  const steps: readonly Part[] = preTokenizer.type === 'Sequence' && Array.isArray(series) ? series : [preTokenizer];
  // In a longer series the blank would come before every piece, and no scanner does that.
  const addsBlank = steps.length === 1 && steps[0]?.['add_prefix_space'] !== false;
  const wordEnd = scannersBySteps.get(spelled(addsBlank ? [{ ...steps[0], add_prefix_space: false }] : steps));
  return wordEnd && { wordEnd, addsBlank };
}

/** All fields of each type in one order, with their usual values. */
const usual: Readonly<Record<string, Part>> = {
  ByteLevel: { type: '', add_prefix_space: true, use_regex: true },
  Digits: { type: '', individual_digits: false },
  Split: { type: '', pattern: null, behavior: null, invert: false },
};

/** Steps as text that is the same for steps that do the same. */
function spelled(steps: readonly Part[]): string {
  // trim_offsets says nothing about where words end.
  return JSON.stringify(steps.map((step) => ({ ...usual[step?.type as string], ...step, trim_offsets: undefined })));
}

const scannersBySteps = new Map(scanners.map(([steps, wordEnd]) => [spelled(steps), wordEnd]));

/** The words of a text; joined, they are the text again. */
export function wordsOf(text: string, wordEnd: WordEnd): string[] {
  const words: string[] = [];
  for (let start = 0; start < text.length; ) {
    const end = wordEnd(text, start);
    words.push(text.slice(start, end));
    start = end;
  }
  return words;
}

const [lineFeed, carriageReturn, blank, apostrophe] = [0x0a, 0x0d, 0x20, 0x27];
const kinds = flag.letter | flag.number | flag.space;

/** GPT-2: `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`. */
export function gptWordEnd(text: string, start: number): number {
  return gptWordEndBefore(text, start, 0);
}

/** SmolLM and StarCoder 2: each digit is a word, and GPT-2's pattern runs on what is between digits. */
export function smolLmWordEnd(text: string, start: number): number {
  const code = text.codePointAt(start)!;
  if ((flagsOf(code) & flag.numeric) !== 0) return start + lengthOf(code);
  return gptWordEndBefore(text, start, flag.numeric);
}

/** GPT-2's pattern, for which the text ends at a character with one of the flags `barriers`. */
function gptWordEndBefore(text: string, start: number, barriers: number): number {
  const first = text.charCodeAt(start);
  if (first === apostrophe) {
    const length = contractionLength(text, start);
    if (length > 0) return start + length;
  }
  const begin = first === blank && !isTextEnd(text, start + 1, barriers) ? start + 1 : start;
  const kind = kindOf(text.codePointAt(begin)!);
  const end = runEnd(text, begin, kind, barriers);
  return kind === flag.space ? spaceEnd(text, start, end, barriers) : end;
}

/** Llama 3: `llama3Pattern`. */
export function llama3WordEnd(text: string, start: number): number {
  return llamaWordEnd(text, start, 3);
}

/** Qwen 2: `qwen2Pattern`. */
export function qwen2WordEnd(text: string, start: number): number {
  return llamaWordEnd(text, start, 1);
}

/** Llama 3's pattern, with at most `mostNumbers` numbers in a word. */
function llamaWordEnd(text: string, start: number, mostNumbers: number): number {
  const first = text.codePointAt(start)!;
  if (first === apostrophe) {
    const length = contractionLength(caseFolded(text.slice(start, start + 3)), 0);
    if (length > 0) return start + length;
  }
  const kind = kindOf(first);
  if (kind === flag.letter) return runEnd(text, start, kind, 0);
  if (kind === flag.number) return numbersEnd(text, start, mostNumbers);
  const next = start + lengthOf(first);
  const nextKind = next < text.length ? kindOf(text.codePointAt(next)!) : flag.space;
  if (nextKind === flag.letter && !isLineEnd(first)) return runEnd(text, next, nextKind, 0);
  if (kind === 0 || (first === blank && nextKind === 0)) return lineEndsEnd(text, runEnd(text, next, 0, 0));
  const end = runEnd(text, start, kind, 0);
  return lastLineEnd(text, start, end) ?? spaceEnd(text, start, end, 0);
}

function lengthOf(code: number): number {
  return code > 0xffff ? 2 : 1;
}

/** Letter, number, white space, or 0 for anything else. */
function kindOf(code: number): number {
  return flagsOf(code) & kinds;
}

function isLineEnd(code: number): boolean {
  return code === lineFeed || code === carriageReturn;
}

function isTextEnd(text: string, at: number, barriers: number): boolean {
  return at === text.length || (flagsOf(text.codePointAt(at)!) & barriers) !== 0;
}

/** Length of the contraction at an apostrophe, 0 where there is none. */
function contractionLength(text: string, start: number): number {
  const next = text[start + 1];
  if (next === 's' || next === 't' || next === 'm' || next === 'd') return 2;
  const two = text.slice(start + 1, start + 3);
  return two === 're' || two === 've' || two === 'll' ? 3 : 0;
}

/** Letters of contractions that `(?i)` matches; ſ is a case of s, and no other character one of them. */
function caseFolded(text: string): string {
  return text.toLowerCase().replace('\u017f', 's');
}

/** End of the run of characters of one kind that starts at `start`. */
function runEnd(text: string, start: number, kind: number, barriers: number): number {
  let end = start;
  while (end < text.length) {
    const code = text.codePointAt(end)!;
    if ((flagsOf(code) & (kinds | barriers)) !== kind) break;
    end += lengthOf(code);
  }
  return end;
}

function numbersEnd(text: string, start: number, most: number): number {
  let end = start;
  for (let count = 0; count < most && end < text.length; count++) {
    const code = text.codePointAt(end)!;
    if (kindOf(code) !== flag.number) break;
    end += lengthOf(code);
  }
  return end;
}

function lineEndsEnd(text: string, start: number): number {
  let end = start;
  while (end < text.length && isLineEnd(text.charCodeAt(end))) end++;
  return end;
}

/** Behind the last line end from `start` to `end`; undefined where there is none. */
function lastLineEnd(text: string, start: number, end: number): number | undefined {
  for (let at = end; at > start; at--) if (isLineEnd(text.charCodeAt(at - 1))) return at;
  return undefined;
}

/** `\s+(?!\S)|\s+`: white space before a word leaves its last character to the word, or to a piece of its own. */
function spaceEnd(text: string, start: number, end: number, barriers: number): number {
  return isTextEnd(text, end, barriers) || end - start === 1 ? end : end - 1;
}

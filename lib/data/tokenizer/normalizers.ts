/** The normalizers of a tokenizer.json: what is done to a text before it is split. */

import { isCombining, isWhiteSpace, lowerCase, type NormalForm, normalForm } from './characters.js';
import { byteCharacters, normalised } from './pretokenize.js';
import { checkPart, isFlag, type KnownParts, type Part, partsOf, type Refuse, textOf } from './refusal.js';
import { literalPattern, type Pattern, regexPattern } from './regular-expression.js';

/** Compared with Python's in test/data/tokenizer/pipelines.test.ts. */
export const knownNormalizers: KnownParts = {
  BertNormalizer: ['clean_text', 'handle_chinese_chars', 'strip_accents', 'lowercase'],
  ByteLevel: ['add_prefix_space', 'trim_offsets', 'use_regex'], // the fields mean nothing here
  Lowercase: [],
  NFC: [],
  NFD: [],
  NFKC: [],
  NFKD: [],
  Nmt: [],
  Prepend: ['prepend'],
  Replace: ['pattern', 'content'],
  Sequence: ['normalizers'],
  Strip: ['strip_left', 'strip_right'],
  StripAccents: [],
};

export type Normalizer = (text: string) => string;

/** @throws ApolloError BAD_TOKENIZER naming a part that is not known. */
export function normalizerOf(part: Part, refuse: Refuse): Normalizer {
  const type = checkPart('normalizer', part, knownNormalizers, refuse);
  switch (type) {
    case 'BertNormalizer':
      return bertNormalizer(part);
    case 'ByteLevel':
      return byteLevelText;
    case 'Lowercase':
      return lowerCase;
    case 'Nmt':
      return nmt;
    case 'Prepend': {
      const prefix = textOf(part, 'prepend', refuse);
      return (text) => (text === '' ? '' : prefix + text);
    }
    case 'Replace':
      return replacer(part, refuse);
    case 'Sequence': {
      const steps = partsOf(part, 'normalizers', refuse).map((step) => normalizerOf(step, refuse));
      return (text) => steps.reduce((result, step) => step(result), text);
    }
    case 'Strip': {
      const [left, right] = [isFlag(part, 'strip_left', true), isFlag(part, 'strip_right', true)];
      return (text) => stripped(text, left, right);
    }
    case 'StripAccents':
      return (text) => filtered(text, (code) => !isCombining(code));
    default:
      return (text) => normalForm(text, type as NormalForm);
  }
}

/** The pattern of a Replace or Split: `{ "String": … }` taken literally, or `{ "Regex": … }`. */
export function patternOf(part: Part, refuse: Refuse): Pattern {
  const pattern = part['pattern'] as { String?: unknown; Regex?: unknown } | null | undefined;
  if (typeof pattern?.String === 'string') return literalPattern(pattern.String);
  if (typeof pattern?.Regex === 'string') return regexPattern(pattern.Regex, refuse);
  throw refuse(`its ${String(part.type)} has no pattern with "String" or "Regex"`);
}

/** Replaces what the pattern matches; also a step of the way back to text. */
export function replacer(part: Part, refuse: Refuse): Normalizer {
  const content = textOf(part, 'content', refuse);
  const pattern = patternOf(part, refuse);
  return (text) =>
    pattern(text)
      .map(({ start, end, isMatch }) => (isMatch ? content : text.slice(start, end)))
      .join('');
}

/** UTF-8 bytes as GPT-2's printable characters. */
export function byteLevelText(text: string): string {
  let result = '';
  for (const byte of Buffer.from(text, 'utf8')) result += byteCharacters[byte];
  return result;
}

export function bertNormalizer(part: Part): Normalizer {
  const lowercase = isFlag(part, 'lowercase', true);
  return normalised({
    cleanText: isFlag(part, 'clean_text', true),
    spaceHan: isFlag(part, 'handle_chinese_chars', true),
    stripAccents: isFlag(part, 'strip_accents', lowercase),
    lowercase,
  });
}

function stripped(text: string, left: boolean, right: boolean): string {
  let [start, end] = [0, text.length];
  // No white space is above U+FFFF.
  if (left) while (start < end && isWhiteSpace(text.charCodeAt(start))) start++;
  if (right) while (end > start && isWhiteSpace(text.charCodeAt(end - 1))) end--;
  return text.slice(start, end);
}

function filtered(text: string, isKept: (code: number) => boolean): string {
  let result = '';
  for (const character of text) if (isKept(character.codePointAt(0)!)) result += character;
  return result;
}

/** SentencePiece's `nmt_nfkc` rules without the normal form: controls go, rarer white space becomes a blank. */
function nmt(text: string): string {
  return filtered(text, (code) => !isNmtControl(code)).replace(
    /[\t\n\f\r\u1680\u200b-\u200f\u2028\u2029\u2581\ufeff\ufffd]/g,
    ' ',
  );
}

function isNmtControl(code: number): boolean {
  const isLow = code >= 1 && code <= 0x1f && ![0x09, 0x0a, 0x0c, 0x0d].includes(code);
  return isLow || code === 0x7f || code === 0x8f || code === 0x9f;
}

/**
 * How text falls into words before a model of sub-words sees it: BERT's clean-up and punctuation rule (Hugging Face's
 * BertNormalizer and BertPreTokenizer) and GPT-2's pattern. Encoders and trainers share these, so they cannot differ.
 *
 * Character classes are those of Node's Unicode. Python's tokenizers classes BERT's accents and punctuation by Unicode 8,
 * so the few hundred marks that were added or reclassed since, all of rare scripts, may be split another way there.
 */

/** Unicode White_Space, as the inside of a character class (JavaScript's \s differs at U+0085 and U+FEFF). */
const whiteSpace = '\\t-\\r \\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000';

/** What BERT's clean-up turns into a blank; the other white-space controls (VT, FF, NEL) it deletes instead. */
const blank = '\\t\\n\\r \\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000';

const gptPattern = new RegExp(
  `'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^${whiteSpace}\\p{L}\\p{N}]+|[${whiteSpace}]+(?![^${whiteSpace}])|[${whiteSpace}]+`,
  'gu',
);
const bertChunks = new RegExp(`[^${blank}]+`, 'g');
const bertWords = new RegExp(`[\\p{P}!-/:-@[-\`{-~]|[^${whiteSpace}\\p{P}!-/:-@[-\`{-~]+`, 'gu');
const plainAscii = /^[!-~]*$/;
const removed = /[\0\ufffd]|(?![\t\n\r])[\p{Cc}\p{Cf}\p{Co}]/gu;
const han =
  /[\u4e00-\u9fff\u3400-\u4dbf\u{20000}-\u{2a6df}\u{2a700}-\u{2b73f}\u{2b740}-\u{2b81f}\u{2b920}-\u{2ceaf}\uf900-\ufaff\u{2f800}-\u{2fa1f}]/gu;

/** The pieces GPT-2's byte-level BPE works on; joined, they are the text again. */
export function gptWords(text: string): string[] {
  return text.match(gptPattern) ?? [];
}

/** Runs of text between blanks. Every chunk can be normalised by itself: no step of BERT's looks across a blank. */
export function blankSeparated(text: string): string[] {
  return text.match(bertChunks) ?? [];
}

/** The switches of a BertNormalizer, with Hugging Face's names in tokenizer.json in comments. */
export interface BertNormalization {
  readonly cleanText: boolean; // clean_text
  readonly spaceHan: boolean; // handle_chinese_chars
  readonly stripAccents: boolean; // strip_accents (null there: as lowercase)
  readonly lowercase: boolean; // lowercase
}

export const uncased: BertNormalization = { cleanText: true, spaceHan: true, stripAccents: true, lowercase: true };

/** The words of one blank-separated chunk: normalised, then split at punctuation (each mark is a word). */
export function wordsOfChunk(chunk: string, rules: BertNormalization): string[] {
  let text = chunk;
  if (plainAscii.test(text)) {
    if (rules.lowercase) text = text.toLowerCase();
  } else {
    if (rules.cleanText) text = text.replace(removed, '');
    if (rules.spaceHan) text = text.replace(han, ' $& ');
    if (rules.stripAccents) text = text.normalize('NFD').replace(/\p{Mn}/gu, '');
    // One code point at a time: String.toLowerCase on a whole word would turn a last sigma into another letter.
    if (rules.lowercase) text = Array.from(text, (character) => character.toLowerCase()).join('');
  }
  return text.match(bertWords) ?? [];
}

/** byteCharacters[b] is the printable character that stands for byte b in GPT-2's vocabulary files. */
export const byteCharacters: readonly string[] = (() => {
  const printable = (b: number) => (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
  let next = 256;
  return Array.from({ length: 256 }, (_, b) => String.fromCodePoint(printable(b) ? b : next++));
})();

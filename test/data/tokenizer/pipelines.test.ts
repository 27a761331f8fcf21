/**
 * Every part that lib/data/tokenizer knows gives the ids and the text of Python's `tokenizers`, on text of all scripts
 * and marks. Runs where APOLLO_PYTHON names a Python that has them; python-ids.test.ts holds what is kept of it.
 */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { createTokenizer, type TokenizerDefinition } from '../../../lib/data/index.js';
import { byteCharacters } from '../../../lib/data/pretokenize.js';
import { knownDecoders } from '../../../lib/data/tokenizer/decoders.js';
import { knownModels } from '../../../lib/data/tokenizer/models.js';
import { knownNormalizers } from '../../../lib/data/tokenizer/normalizers.js';
import { knownPreTokenizers } from '../../../lib/data/tokenizer/pre-tokenizers.js';
import { fixture } from '../support.js';

/** Characters from all over the planes that hold text, each beside letters, digits, marks and blanks. */
function* allCharacters(): Generator<string> {
  let line = '';
  for (let code = 1; code < 0x323b0; code += code < 0x3000 ? 17 : 409) {
    if (code >= 0xd800 && code < 0xe000) continue;
    const c = String.fromCodePoint(code);
    line += `a${c}b ${c}1${c}! `;
    if (line.length > 120) {
      yield line;
      line = '';
    }
  }
  yield line;
}

const texts = [
  "The café was closed in naïve Zürich, wasn't it?  12345 km -- 50% (2nd) a_b-c",
  'Ein Straßenfest in MÜNCHEN ΟΔΟΣ İstanbul ǅ ﬁ Ⅳ ½ ①²³ １２３ ٣٤',
  '日本語のテスト です。 中文测试 한국어 ไทย हिन्दी',
  'def f(x):\n    return x+1\t# comment\r\n\n\n',
  ' e\u0301 \u00e9 a\u0300\u0316b \ufeffbom \u200d👩\u200d👩\u200d👧 🏳️\u200d🌈 \u0085\u00a0\u3000',
  "[MASK]he said<x> he  <x>  SAID don't WE'LL I'M aaa  ",
  '',
  ' ',
  '-a--b-',
  ...readFileSync(fixture('text/sample_text.txt'), 'utf8').split('\n').filter(Boolean).slice(0, 4),
  ...allCharacters(),
];

const letters = [...new Set([...texts.join('')])].filter((_, i) => i % 2 === 0 || i < 200);
const added = (id: number, content: string, more: object = {}) => ({
  id,
  content,
  single_word: false,
  lstrip: false,
  rstrip: false,
  normalized: false,
  special: true,
  ...more,
});
const vocabOf = (tokens: readonly string[]) => Object.fromEntries([...new Set(tokens)].map((token, id) => [token, id]));
const pieces = vocabOf([
  '[UNK]',
  '[MASK]',
  ...letters,
  ...letters.map((letter) => `##${letter}`),
  'he',
  'said',
  '##id',
  'the',
  '\u2581the',
]);
const wordPiece = {
  type: 'WordPiece',
  unk_token: '[UNK]',
  continuing_subword_prefix: '##',
  max_input_chars_per_word: 100,
  vocab: pieces,
};
const bytes = vocabOf(['[UNK]', ...byteCharacters, 'he', '\u0120he', '\u0120the', 'th', 'the', '\u0120t', 'an', 'and']);
const byteMerges = ['h e', '\u0120 he', 't h', '\u0120 t', '\u0120t he', 'th e', 'a n', 'an d'];
const bpe = {
  type: 'BPE',
  dropout: null,
  unk_token: null,
  continuing_subword_prefix: null,
  end_of_word_suffix: null,
  fuse_unk: false,
  byte_fallback: false,
  ignore_merges: false,
  vocab: bytes,
  merges: byteMerges,
};
const fallback = vocabOf([
  '<unk>',
  ...Array.from({ length: 256 }, (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`),
  ...letters,
  'he',
  '\u2581he',
  'an',
]);
const suffixed = vocabOf([
  '<unk>',
  ...letters,
  ...letters.map((letter) => `${letter}</w>`),
  'he</w>',
  'he',
  'hea',
  'the</w>',
]);
const prefixed = vocabOf(['<unk>', ...letters, ...letters.map((letter) => `##${letter}`), 'he', '##he', 'the', '##an']);
const scored: [string, number][] = [
  ['<unk>', 0],
  ...letters.map((letter, i): [string, number] => [letter, -4 - (i % 7) / 8]),
  ['he', -3],
  ['\u2581the', -2.5],
  ['\u2581', -1],
  ['an', -3.25],
  ['and', -3.5],
];
const unigram = { type: 'Unigram', unk_id: 0, vocab: scored, byte_fallback: false };

const bytePart = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false };
const split = (pattern: object, behavior: string, invert = false) => ({ type: 'Split', pattern, behavior, invert });
const behaviors = ['Removed', 'Isolated', 'MergedWithPrevious', 'MergedWithNext', 'Contiguous'];
const expressions = [
  '\\s+',
  '\\w+|[^\\w\\s]+',
  '\\b',
  '\\d',
  '[[:alpha:]]+',
  '[[:punct:]]',
  '\\p{Han}|\\p{Lu}',
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]++[\\r\\n]*|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+",
  '(?<=a)b|(?>a+)b',
  '^.|.$',
  '[a-z&&[^aeiou]]+',
  '[^\\S\\n]+',
  '\\R|\\h{2,}?',
  '(?i)[a-e]x?|(?-i:B)',
];

/** A definition for each thing that is compared; parts that are left out are null. */
const pipelines: Record<string, object> = {};
for (const [name, normalizer] of Object.entries({
  none: null,
  bert: { type: 'BertNormalizer', clean_text: true, handle_chinese_chars: true, strip_accents: null, lowercase: true },
  'bert with accents': {
    type: 'BertNormalizer',
    clean_text: false,
    handle_chinese_chars: false,
    strip_accents: false,
    lowercase: true,
  },
  lowercase: { type: 'Lowercase' },
  nfc: { type: 'NFC' },
  nfd: { type: 'NFD' },
  nfkc: { type: 'NFKC' },
  nfkd: { type: 'NFKD' },
  nmt: { type: 'Nmt' },
  prepend: { type: 'Prepend', prepend: 'x' },
  replace: { type: 'Replace', pattern: { Regex: '[ab]+' }, content: 'he' },
  'replace a string': { type: 'Replace', pattern: { String: 'a' }, content: '' },
  strip: { type: 'Strip', strip_left: true, strip_right: false },
  'strip accents': {
    type: 'Sequence',
    normalizers: [{ type: 'NFD' }, { type: 'StripAccents' }, { type: 'Lowercase' }],
  },
}))
  pipelines[`normalizer: ${name}`] = { normalizer, pre_tokenizer: { type: 'WhitespaceSplit' }, model: wordPiece };
pipelines['normalizer: bytes'] = { normalizer: { type: 'ByteLevel' }, pre_tokenizer: null, model: bpe };

const splits: Record<string, object> = {
  bert: { type: 'BertPreTokenizer' },
  delimiter: { type: 'CharDelimiterSplit', delimiter: '-' },
  digits: { type: 'Digits', individual_digits: true },
  'groups of digits': { type: 'Digits', individual_digits: false },
  'fixed length': { type: 'FixedLength', length: 3 },
  scripts: { type: 'UnicodeScripts' },
  whitespace: { type: 'Whitespace' },
};
for (const behavior of behaviors) {
  splits[`punctuation ${behavior}`] = { type: 'Punctuation', behavior };
  splits[`split ${behavior}`] = split({ Regex: '\\s+|[aeiou]' }, behavior);
  splits[`split inverted ${behavior}`] = split({ Regex: '\\w+' }, behavior, true);
  splits[`split at a string ${behavior}`] = split({ String: ' ' }, behavior);
}
for (const expression of expressions) splits[`split ${expression}`] = split({ Regex: expression }, 'Isolated');
for (const [name, part] of Object.entries(splits)) {
  const pretokenizers = [part, bytePart];
  pipelines[`pre-tokenizer: ${name}`] = { pre_tokenizer: { type: 'Sequence', pretokenizers }, model: bpe };
}
for (const prefix of [false, true])
  pipelines[`pre-tokenizer: bytes, ${prefix}`] = {
    pre_tokenizer: { ...bytePart, add_prefix_space: prefix, use_regex: true },
    decoder: bytePart,
    added_tokens: [added(1000, '<x>', { lstrip: true })].map((token) => ({ ...token, id: Object.keys(bytes).length })),
    model: bpe,
  };
for (const scheme of ['always', 'first', 'never']) {
  const part = { type: 'Metaspace', replacement: '\u2581', prepend_scheme: scheme, split: scheme !== 'first' };
  pipelines[`metaspace ${scheme}`] = { pre_tokenizer: part, decoder: part, model: unigram };
}
const suffixMerges = ['h e', 'h e</w>', 'he a', 't he</w>'];
for (const [name, model] of Object.entries({
  suffix: { ...bpe, vocab: suffixed, merges: suffixMerges, unk_token: '<unk>', end_of_word_suffix: '</w>' },
  prefix: {
    ...bpe,
    vocab: prefixed,
    merges: ['h ##e', '##h ##e', 't ##he', '##a ##n'],
    unk_token: '<unk>',
    fuse_unk: true,
    continuing_subword_prefix: '##',
  },
  'no unknown token': { ...bpe, vocab: suffixed, merges: ['h e', 'he a'] },
  fallback: {
    ...bpe,
    vocab: fallback,
    merges: ['h e', 'a n'],
    unk_token: '<unk>',
    fuse_unk: true,
    byte_fallback: true,
  },
  'whole words first': { ...bpe, vocab: prefixed, merges: [], unk_token: '<unk>', ignore_merges: true },
  words: { type: 'WordLevel', vocab: pieces, unk_token: '[UNK]' },
  'short words': { ...wordPiece, max_input_chars_per_word: 3 },
  unigram,
  'unigram with bytes': {
    type: 'Unigram',
    unk_id: 0,
    vocab: Object.keys(fallback).map((token) => [token, token.startsWith('<0x') ? -20 : -3 - token.length]),
    byte_fallback: true,
  },
}))
  pipelines[`model: ${name}`] = { pre_tokenizer: { type: 'Whitespace' }, model };

const end = Object.keys(pieces).length;
for (const [name, tokens] of Object.entries({
  strips: [added(end, '<x>', { lstrip: true, rstrip: true })],
  'single words': [
    added(end, 'he', { single_word: true }),
    added(end + 1, 'said', { single_word: true, special: false }),
  ],
  normalized: [added(end, 'SAID', { normalized: true, special: false }), added(end + 1, '<x>')],
  overlap: [added(end, 'aa'), added(end + 1, 'a a', { normalized: true }), added(end + 2, 'aaa')],
})) {
  const known = tokens.map((token) => ({ ...token, id: pieces[token.content] ?? token.id }));
  let next = end; // those that are no pieces are numbered on
  for (const token of known) if (pieces[token.content] === undefined) token.id = next++;
  for (const pre_tokenizer of [{ type: 'BertPreTokenizer' }, { type: 'Whitespace' }])
    pipelines[`added tokens: ${name}, ${pre_tokenizer.type}`] = {
      normalizer: {
        type: 'BertNormalizer',
        clean_text: true,
        handle_chinese_chars: true,
        strip_accents: null,
        lowercase: true,
      },
      pre_tokenizer,
      added_tokens: known,
      model: wordPiece,
    };
}
for (const [name, decoder] of Object.entries({
  none: null,
  wordpiece: { type: 'WordPiece', prefix: '##', cleanup: true },
  'wordpiece as it is': { type: 'WordPiece', prefix: '##', cleanup: false },
  suffix: { type: 'BPEDecoder', suffix: 'e' },
  ctc: { type: 'CTC', pad_token: 'a', word_delimiter_token: 'e', cleanup: true },
  sequence: {
    type: 'Sequence',
    decoders: [
      { type: 'Replace', pattern: { String: 'e' }, content: ' ' },
      { type: 'ByteFallback' },
      { type: 'Fuse' },
      { type: 'Strip', content: ' ', start: 1, stop: 0 },
    ],
  },
}))
  pipelines[`decoder: ${name}`] = { pre_tokenizer: { type: 'BertPreTokenizer' }, decoder, model: wordPiece };

const cases = Object.entries(pipelines).map(([name, definition]) => ({
  name,
  texts,
  json: {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: [],
    normalizer: null,
    pre_tokenizer: null,
    post_processor: null,
    decoder: null,
    ...definition,
  },
}));

t.test('every part that is known is compared', async (t) => {
  const compared = JSON.stringify(cases.map(({ json }) => json));
  for (const [kind, known] of Object.entries({ knownNormalizers, knownPreTokenizers, knownModels, knownDecoders })) {
    for (const type of Object.keys(known)) t.ok(compared.includes(`"type":"${type}"`), `${kind}: ${type}`);
  }
});

const python = process.env['APOLLO_PYTHON'];
t.test("ids and text are those of Python's tokenizers", { skip: python ? false : 'needs APOLLO_PYTHON' }, async (t) => {
  const script = fileURLToPath(new URL('./pipeline_answers.py', import.meta.url));
  const input = JSON.stringify(cases);
  const { stdout, stderr, status } = spawnSync(python!, [script], { input, encoding: 'utf8', maxBuffer: 1 << 29 });
  t.equal(status, 0, stderr);
  const { version, answers } = JSON.parse(stdout) as {
    version: string;
    answers: { ids?: number[][]; decoded?: string[]; error?: string }[];
  };
  t.comment(`tokenizers ${version}, ${cases.length} pipelines, ${texts.length} texts`);
  for (const [i, { name, json }] of cases.entries()) {
    const { ids, decoded, error } = answers[i]!;
    if (ids === undefined || decoded === undefined) {
      t.fail(`${name}: Python says ${error}`);
      continue;
    }
    const tokenizer = createTokenizer(json as unknown as TokenizerDefinition, name);
    const wrong = texts.flatMap((text, j) => {
      const found = [...tokenizer.encode(text)];
      if (found.join(' ') !== ids[j]!.join(' ')) return [[text, found.join(' '), ids[j]!.join(' ')]];
      const back = tokenizer.decode(found);
      return back === decoded[j] ? [] : [[text, back, decoded[j]]];
    });
    t.strictSame(wrong.slice(0, 3), [], `${name}: ${wrong.length} of ${texts.length} texts differ`);
  }
});

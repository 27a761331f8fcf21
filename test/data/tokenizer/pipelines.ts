/**
 * The pipelines whose ids are compared with those of Python's `tokenizers`: each part that lib/data/tokenizer knows, and
 * those of published tokenizers, over small vocabularies made of the characters of the text set.
 */
import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { byteCharacters } from '../../../lib/data/tokenizer/pretokenize.js';
import { fixture } from '../support.js';

/** Made by scripts/fixtures-tokenizer-texts.py. */
export const { texts, forms } = JSON.parse(
  gunzipSync(readFileSync(fixture('tokenizers/text-set.json.gz'))).toString(),
) as { texts: string[]; forms: string };

const characters = [...new Set([...texts.join(''), ...forms])];
const letters = characters.filter((c, i) => c <= '~' || i % 8 === 0); // so that some are unknown

const added = (content: string, more: object = {}) => ({
  content,
  single_word: false,
  lstrip: false,
  rstrip: false,
  normalized: false,
  special: true,
  ...more,
});
type Vocab = Record<string, number>;
const vocabOf = (tokens: readonly string[]): Vocab =>
  Object.fromEntries([...new Set(tokens)].map((token, id) => [token, id]));
/** Tokens by their ids; a JavaScript object has keys that are digits first. */
const inOrder = (vocab: Vocab): string[] => Object.keys(vocab).sort((a, b) => vocab[a]! - vocab[b]!);
/** Added tokens with their ids: that in the vocabulary, or the next one after it. */
const numbered = (vocab: Vocab, tokens: readonly { readonly content: string }[]) => {
  let next = Object.keys(vocab).length;
  return tokens.map((token) => ({ ...token, id: vocab[token.content] ?? next++ }));
};

const marked = (characters: readonly string[]) => characters.map((character) => `##${character}`);
const words = ['he', 'said', '##id', 'the', '\u2581the', '[CLS]', '[SEP]', '[PAD]', '##s', "'"];
const pieces = vocabOf(['[UNK]', '[MASK]', ...letters, ...marked(letters), ...words]);
const allPieces = vocabOf(['[UNK]', '[MASK]', ...characters, ...marked(characters), ...words]);
const wordPiece = {
  type: 'WordPiece',
  unk_token: '[UNK]',
  continuing_subword_prefix: '##',
  max_input_chars_per_word: 100,
  vocab: pieces,
};
const allWordPiece = { ...wordPiece, vocab: allPieces };

const byteMerges = [
  'h e',
  '\u0120 he',
  't h',
  '\u0120 t',
  '\u0120t he',
  'th e',
  'a n',
  'an d',
  'i n',
  '1 2',
  '\u0120 \u0120',
];
byteMerges.push('\u0120\u0120 \u0120\u0120', '\u010a \u010a', "' s", '\u0120 a', '! !', 'a a', 'aa aa');
// The first byte of characters of two bytes with the second, and the first two of those of three.
const bytesOf = (character: string) => [...Buffer.from(character, 'utf8')].map((byte) => byteCharacters[byte]!);
for (const [first, second] of characters.map(bytesOf).filter((bytes) => bytes.length > 1))
  byteMerges.push(`${first} ${second}`);
const merges = [...new Set(byteMerges)];
const special = ['<s>', '<pad>', '</s>', '<unk>', '<mask>'];
const byteTokens = vocabOf([...special, ...byteCharacters, ...merges.map((merge) => merge.replace(' ', ''))]);
const bpe = {
  type: 'BPE',
  dropout: null,
  unk_token: null,
  continuing_subword_prefix: null,
  end_of_word_suffix: null,
  fuse_unk: false,
  byte_fallback: false,
  ignore_merges: false,
  vocab: byteTokens,
  merges,
};
const fallback = vocabOf([
  '<unk>',
  '<s>',
  '</s>',
  ...Array.from({ length: 256 }, (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`),
  ...letters,
  '\u2581',
  'he',
  '\u2581he',
  'an',
  '\u2581\u2581',
]);
const fallbackBpe = {
  ...bpe,
  vocab: fallback,
  merges: ['h e', 'a n', '\u2581 he', '\u2581 \u2581'],
  unk_token: '<unk>',
  fuse_unk: true,
  byte_fallback: true,
};
const suffixed = vocabOf([
  '<unk>',
  ...letters,
  ...letters.map((letter) => `${letter}</w>`),
  ...['he</w>', 'he', 'hea', 'the</w>'],
]);
const suffixedBpe = {
  ...bpe,
  vocab: suffixed,
  merges: ['h e', 'h e</w>', 'he a', 't he</w>'],
  unk_token: '<unk>',
  end_of_word_suffix: '</w>',
};
const prefixed = vocabOf(['<unk>', ...letters, ...marked(letters), 'he', '##he', 'the', '##an']);
const scored: [string, number][] = [
  ['<unk>', 0],
  ['<s>', 0],
  ['</s>', 0],
  ...letters.filter((letter) => letter !== '\u2581').map((letter, i): [string, number] => [letter, -4 - (i % 7) / 8]),
  ['he', -3],
  ['\u2581the', -2.5],
  ['\u2581', -1],
  ['an', -3.25],
  ['and', -3.5],
];
const unigram = { type: 'Unigram', unk_id: 0, vocab: scored, byte_fallback: false };
const byteUnigram = {
  type: 'Unigram',
  unk_id: 0,
  vocab: inOrder(fallback).map((token) => [token, token.startsWith('<0x') ? -20 : -3 - token.length]),
  byte_fallback: true,
};

const bytePart = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false };
const gptSplit = { ...bytePart, use_regex: true };
const split = (pattern: object, behavior = 'Isolated', invert = false) => ({
  type: 'Split',
  pattern,
  behavior,
  invert,
});
const series = (...pretokenizers: object[]) => ({ type: 'Sequence', pretokenizers });
const normalizers = (...steps: object[]) => ({ type: 'Sequence', normalizers: steps });
const decoders = (...steps: object[]) => ({ type: 'Sequence', decoders: steps });
const bertNormalizer = (lowercase: boolean, strip_accents: boolean | null = null, isWhole = true) => ({
  type: 'BertNormalizer',
  clean_text: isWhole,
  handle_chinese_chars: isWhole,
  strip_accents,
  lowercase,
});
const metaspace = (prepend_scheme: string, split: boolean) => ({
  type: 'Metaspace',
  replacement: '\u2581',
  prepend_scheme,
  split,
});
const [nfc, nfd, nfkc, nfkd, lowercase, stripAccents] = ['NFC', 'NFD', 'NFKC', 'NFKD', 'Lowercase', 'StripAccents'].map(
  (type) => ({ type }),
) as [object, object, object, object, object, object];

const sequence = (id: string, type_id = 0) => ({ Sequence: { id, type_id } });
const marker = (id: string, type_id = 0) => ({ SpecialToken: { id, type_id } });
const template = (vocab: Vocab, single: object[], pair: object[]) => ({
  type: 'TemplateProcessing',
  single,
  pair,
  special_tokens: Object.fromEntries(
    [...single, ...pair].flatMap((item) => {
      const id = (item as ReturnType<typeof marker>).SpecialToken?.id;
      return id === undefined ? [] : [[id, { id, ids: [vocab[id]], tokens: [id] }]];
    }),
  ),
});
const bertFrame = (vocab: Vocab) => {
  const single = [marker('[CLS]'), sequence('A'), marker('[SEP]')];
  return template(vocab, single, [...single, sequence('B', 1), marker('[SEP]', 1)]);
};
const openFrame = (vocab: Vocab) =>
  template(vocab, [marker('<s>'), sequence('A')], [marker('<s>'), sequence('A'), marker('<s>', 1), sequence('B', 1)]);

const behaviors = ['Removed', 'Isolated', 'MergedWithPrevious', 'MergedWithNext', 'Contiguous'];
const llama3 =
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
const o200k =
  "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
const expressions = [
  '\\s+',
  '\\w+|[^\\w\\s]+',
  '\\b',
  '\\d',
  '[[:alpha:]]+',
  '[[:punct:]]',
  '[[:upper:]]+|[[:cntrl:]]|[[:blank:]]',
  '[[:alnum:]]+|[[:lower:]]|[[:space:]]',
  '[[:graph:]]+',
  '[[:print:]]+',
  '\\p{Han}|\\p{Lu}',
  '\\p{Hiragana}+|\\p{Katakana}+|\\p{Hangul}+|\\p{Thai}+|\\p{Arabic}+|\\p{Cyrillic}+|\\p{Greek}+',
  '\\p{Ll}+|\\p{Lt}|\\p{Lm}|\\p{Lo}+',
  '\\p{M}+|\\p{Mc}|\\p{Sc}|\\p{Sm}|\\p{Sk}|\\p{So}',
  '\\p{Nd}+|\\p{Nl}+|\\p{No}+',
  '\\p{Pc}|\\p{Pd}|\\p{Ps}|\\p{Pe}|\\p{Pi}|\\p{Pf}|\\p{Po}',
  '\\p{Z}|\\p{Cc}|\\p{Cf}|\\p{Co}|\\p{Cn}',
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]++[\\r\\n]*|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+",
  '(?<=a)b|(?>a+)b',
  '^.|.$',
  '[a-z&&[^aeiou]]+',
  '[^\\S\\n]+',
  '\\R|\\h{2,}?',
  '(?i)[a-e]x?|(?-i:B)',
  '$',
  '^|\\p{L}+|$',
  '(?<!a)',
  '[^\\w\\s]+|\\p{Punct}|\\p{^Word}',
];

/** A definition for each thing that is compared; parts that are left out are null. */
const table: Record<string, object> = {};

// The model sees bytes, so that every character that a normalizer leaves or makes counts.
for (const [name, normalizer] of Object.entries({
  none: null,
  bert: bertNormalizer(true),
  'bert with accents': bertNormalizer(true, false, false),
  'bert cased without accents': bertNormalizer(false, true),
  lowercase,
  nfc,
  nfd,
  nfkc,
  nfkd,
  nmt: { type: 'Nmt' },
  prepend: { type: 'Prepend', prepend: 'x' },
  replace: { type: 'Replace', pattern: { Regex: '[ab]+' }, content: 'he' },
  'replace a string': { type: 'Replace', pattern: { String: 'a' }, content: '' },
  strip: { type: 'Strip', strip_left: true, strip_right: false },
  'strip right': { type: 'Strip', strip_left: false, strip_right: true },
  'accents alone': stripAccents,
  'strip accents': normalizers(nfd, stripAccents, lowercase),
  'strip accents, compatibly': normalizers(nfkd, stripAccents, lowercase, nfkc),
  'lowercase, then composed': normalizers(lowercase, nfkc, { type: 'Strip', strip_left: true, strip_right: true }),
  'nmt and nfkc': normalizers({ type: 'Nmt' }, nfkc, {
    type: 'Replace',
    pattern: { Regex: ' {2,}' },
    content: ' ',
  }),
}))
  table[`normalizer: ${name}`] = { normalizer, pre_tokenizer: bytePart, model: bpe };
table['normalizer: bytes'] = { normalizer: { type: 'ByteLevel' }, model: bpe };

const splits: Record<string, object> = {
  bert: { type: 'BertPreTokenizer' },
  delimiter: { type: 'CharDelimiterSplit', delimiter: '-' },
  digits: { type: 'Digits', individual_digits: true },
  'groups of digits': { type: 'Digits', individual_digits: false },
  'fixed length': { type: 'FixedLength', length: 3 },
  scripts: { type: 'UnicodeScripts' },
  whitespace: { type: 'Whitespace' },
  'white space alone': { type: 'WhitespaceSplit' },
};
for (const behavior of behaviors) {
  splits[`punctuation ${behavior}`] = { type: 'Punctuation', behavior };
  splits[`split ${behavior}`] = split({ Regex: '\\s+|[aeiou]' }, behavior);
  splits[`split inverted ${behavior}`] = split({ Regex: '\\w+' }, behavior, true);
  splits[`split at a string ${behavior}`] = split({ String: ' ' }, behavior);
}
for (const expression of expressions) splits[`split ${expression}`] = split({ Regex: expression });
for (const [name, part] of Object.entries(splits))
  table[`pre-tokenizer: ${name}`] = { pre_tokenizer: series(part, bytePart), model: bpe };
for (const prefix of [false, true])
  table[`pre-tokenizer: bytes, ${prefix}`] = {
    pre_tokenizer: { ...gptSplit, add_prefix_space: prefix },
    decoder: bytePart,
    added_tokens: numbered(byteTokens, [added('<x>', { lstrip: true })]),
    model: bpe,
  };
for (const scheme of ['always', 'first', 'never']) {
  const part = metaspace(scheme, scheme !== 'first');
  table[`metaspace ${scheme}`] = { pre_tokenizer: part, decoder: part, model: unigram };
}

for (const [name, model] of Object.entries({
  suffix: suffixedBpe,
  prefix: {
    ...bpe,
    vocab: prefixed,
    merges: ['h ##e', '##h ##e', 't ##he', '##a ##n'],
    unk_token: '<unk>',
    fuse_unk: true,
    continuing_subword_prefix: '##',
  },
  'no unknown token': { ...bpe, vocab: suffixed, merges: ['h e', 'he a'] },
  fallback: fallbackBpe,
  'whole words first': { ...bpe, vocab: prefixed, merges: [], unk_token: '<unk>', ignore_merges: true },
  words: { type: 'WordLevel', vocab: pieces, unk_token: '[UNK]' },
  'short words': { ...wordPiece, max_input_chars_per_word: 3 },
  unigram,
  'unigram with bytes': byteUnigram,
}))
  table[`model: ${name}`] = { pre_tokenizer: { type: 'Whitespace' }, model };

for (const [name, tokens] of Object.entries({
  strips: [added('<x>', { lstrip: true, rstrip: true })],
  'single words': [added('he', { single_word: true }), added('said', { single_word: true, special: false })],
  normalized: [added('SAID', { normalized: true, special: false }), added('<x>')],
  overlap: [added('aa'), added('a a', { normalized: true }), added('aaa')],
}))
  for (const pre_tokenizer of [{ type: 'BertPreTokenizer' }, { type: 'Whitespace' }])
    table[`added tokens: ${name}, ${pre_tokenizer.type}`] = {
      normalizer: bertNormalizer(true),
      pre_tokenizer,
      added_tokens: numbered(pieces, tokens),
      model: wordPiece,
    };

for (const [name, decoder] of Object.entries({
  none: null,
  wordpiece: { type: 'WordPiece', prefix: '##', cleanup: true },
  'wordpiece as it is': { type: 'WordPiece', prefix: '##', cleanup: false },
  suffix: { type: 'BPEDecoder', suffix: 'e' },
  ctc: { type: 'CTC', pad_token: 'a', word_delimiter_token: 'e', cleanup: true },
  sequence: decoders(
    { type: 'Replace', pattern: { String: 'e' }, content: ' ' },
    { type: 'ByteFallback' },
    { type: 'Fuse' },
    { type: 'Strip', content: ' ', start: 1, stop: 0 },
  ),
}))
  table[`decoder: ${name}`] = { pre_tokenizer: { type: 'BertPreTokenizer' }, decoder, model: wordPiece };

const byteModel = { decoder: bytePart, model: bpe };
for (const [name, post_processor] of Object.entries({
  bert: { type: 'BertProcessing', cls: ['<s>', 0], sep: ['</s>', 2] },
  roberta: { type: 'RobertaProcessing', cls: ['<s>', 0], sep: ['</s>', 2], trim_offsets: true, add_prefix_space: true },
  bytes: { ...bytePart, trim_offsets: true },
  template: openFrame(byteTokens),
  sequence: { type: 'Sequence', processors: [bytePart, openFrame(byteTokens)] },
}))
  table[`post-processor: ${name}`] = { pre_tokenizer: gptSplit, post_processor, ...byteModel };

// The pipelines of published tokenizers.
const bertTokens = numbered(
  allPieces,
  ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]'].map((token) => added(token)),
);
// Without the clean-up of blanks: that of lib/data/read/detokenize.ts looks across tokens, as transformers' does.
const bertParts = {
  pre_tokenizer: { type: 'BertPreTokenizer' },
  post_processor: bertFrame(allPieces),
  decoder: { type: 'WordPiece', prefix: '##', cleanup: false },
  added_tokens: bertTokens,
  model: allWordPiece,
};
const robertaTokens = numbered(
  byteTokens,
  special.map((token) => added(token, { lstrip: token === '<mask>', normalized: token !== '<mask>' })),
);
const runs = ['        ', '    ', '  ', '\t\t', '\n\n'].map((run) => added(run, { normalized: true, special: false }));
const spaceToMark = { type: 'Replace', pattern: { String: ' ' }, content: '\u2581' };
const sentenceDecoder = decoders(
  { type: 'Replace', pattern: { String: '\u2581' }, content: ' ' },
  { type: 'ByteFallback' },
  { type: 'Fuse' },
  { type: 'Strip', content: ' ', start: 1, stop: 0 },
);
const sentenceTokens = numbered(fallback, [added('<unk>'), added('<s>'), added('</s>')]);
Object.assign(table, {
  'BERT uncased': { normalizer: bertNormalizer(true), ...bertParts },
  'BERT cased': { normalizer: bertNormalizer(false), ...bertParts },
  'BERT uncased, accents kept': { normalizer: bertNormalizer(true, false), ...bertParts },
  'BERT over normal forms': { normalizer: normalizers(nfkc, bertNormalizer(true)), ...bertParts },
  'BERT with another split': {
    ...bertParts,
    normalizer: normalizers(nfd, lowercase, stripAccents),
    pre_tokenizer: { type: 'Whitespace' },
  },
  'GPT-2': {
    pre_tokenizer: gptSplit,
    post_processor: bytePart,
    added_tokens: numbered(byteTokens, [added('<|endoftext|>')]),
    ...byteModel,
  },
  RoBERTa: {
    pre_tokenizer: { ...gptSplit, add_prefix_space: true },
    post_processor: {
      type: 'RobertaProcessing',
      cls: ['<s>', 0],
      sep: ['</s>', 2],
      trim_offsets: true,
      add_prefix_space: true,
    },
    added_tokens: robertaTokens,
    ...byteModel,
  },
  CLIP: {
    normalizer: normalizers(nfc, { type: 'Replace', pattern: { Regex: '\\s+' }, content: ' ' }, lowercase),
    pre_tokenizer: series(
      split({ Regex: "'s|'t|'re|'ve|'m|'ll|'d|[\\p{L}]+|[\\p{N}]|[^\\s\\p{L}\\p{N}]+" }, 'Removed', true),
      bytePart,
    ),
    model: {
      ...bpe,
      vocab: vocabOf(['<unk>', ...byteCharacters, ...byteCharacters.map((c) => `${c}</w>`), 'he', 'he</w>', 'the</w>']),
      merges: ['h e', 'h e</w>', 't he</w>'],
      end_of_word_suffix: '</w>',
      unk_token: '<unk>',
    },
  },
  'OpenAI GPT': {
    normalizer: bertNormalizer(true),
    pre_tokenizer: { type: 'BertPreTokenizer' },
    decoder: { type: 'BPEDecoder', suffix: '</w>' },
    model: suffixedBpe,
  },
  'Llama 3': {
    pre_tokenizer: series(split({ Regex: llama3 }), bytePart),
    post_processor: { type: 'Sequence', processors: [bytePart, openFrame(byteTokens)] },
    added_tokens: numbered(byteTokens, [added('<|begin_of_text|>'), added('<|endoftext|>')]),
    decoder: bytePart,
    model: { ...bpe, ignore_merges: true },
  },
  'Qwen 2': {
    normalizer: nfc,
    pre_tokenizer: series(split({ Regex: llama3.replace('\\p{N}{1,3}', '\\p{N}') }), bytePart),
    added_tokens: numbered(byteTokens, [added('<|endoftext|>')]),
    ...byteModel,
  },
  'GPT-4o': { pre_tokenizer: series(split({ Regex: o200k }), bytePart), ...byteModel },
  SmolLM: {
    pre_tokenizer: series({ type: 'Digits', individual_digits: true }, gptSplit),
    added_tokens: numbered(byteTokens, [added('<|endoftext|>')]),
    ...byteModel,
  },
  Falcon: {
    pre_tokenizer: series(
      { type: 'Punctuation', behavior: 'Contiguous' },
      gptSplit,
      { type: 'Digits', individual_digits: false },
      split({ Regex: '[0-9][0-9][0-9]' }),
    ),
    ...byteModel,
  },
  BLOOM: {
    pre_tokenizer: series(split({ Regex: ' ?[^(\\s|[.,!?\u2026\u3002\uff0c\u3001\u0964\u06d4\u060c])]+' }), bytePart),
    ...byteModel,
  },
  DeepSeek: {
    pre_tokenizer: series(
      split({ Regex: '[\\r\\n]' }),
      split({ Regex: '\\s?\\p{L}+' }),
      split({ Regex: '\\s?\\p{P}+' }),
      split({ Regex: '[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+' }),
      { type: 'Digits', individual_digits: true },
      bytePart,
    ),
    ...byteModel,
  },
  'GPT-NeoX': { normalizer: nfc, pre_tokenizer: gptSplit, added_tokens: numbered(byteTokens, runs), ...byteModel },
  'runs of blanks': { pre_tokenizer: gptSplit, added_tokens: numbered(byteTokens, runs), ...byteModel },
  'Llama 2': {
    normalizer: normalizers({ type: 'Prepend', prepend: '\u2581' }, spaceToMark),
    post_processor: openFrame(fallback),
    decoder: sentenceDecoder,
    added_tokens: sentenceTokens,
    model: fallbackBpe,
  },
  Mistral: {
    pre_tokenizer: metaspace('first', false),
    decoder: sentenceDecoder,
    added_tokens: sentenceTokens,
    model: fallbackBpe,
  },
  Gemma: {
    normalizer: spaceToMark,
    pre_tokenizer: split({ String: ' ' }, 'MergedWithPrevious'),
    decoder: decoders(
      { type: 'Replace', pattern: { String: '\u2581' }, content: ' ' },
      { type: 'ByteFallback' },
      { type: 'Fuse' },
    ),
    added_tokens: sentenceTokens,
    model: fallbackBpe,
  },
  T5: {
    normalizer: normalizers({ type: 'Nmt' }, nfkc),
    pre_tokenizer: series({ type: 'WhitespaceSplit' }, metaspace('always', true)),
    decoder: metaspace('always', true),
    added_tokens: numbered(vocabOf(scored.map(([token]) => token)), [
      added('<unk>'),
      added('</s>'),
      added('<mask>', { lstrip: true }),
    ]),
    model: unigram,
  },
  'Unigram of bytes': {
    normalizer: nfkc,
    pre_tokenizer: metaspace('always', true),
    decoder: sentenceDecoder,
    added_tokens: sentenceTokens,
    model: byteUnigram,
  },
  ALBERT: {
    normalizer: normalizers(
      { type: 'Replace', pattern: { String: '``' }, content: '"' },
      { type: 'Replace', pattern: { String: "''" }, content: '"' },
      nfkd,
      stripAccents,
      lowercase,
    ),
    pre_tokenizer: metaspace('always', true),
    decoder: metaspace('always', true),
    model: unigram,
  },
  'words of scripts': {
    normalizer: normalizers(nfkc, lowercase),
    pre_tokenizer: series(
      { type: 'UnicodeScripts' },
      { type: 'Whitespace' },
      { type: 'Punctuation', behavior: 'Isolated' },
    ),
    model: { type: 'WordLevel', vocab: allPieces, unk_token: '[UNK]' },
  },
});

const empty = { normalizer: null, pre_tokenizer: null, post_processor: null, decoder: null };
/** tokenizer.json of each pipeline. */
export const pipelines = Object.entries(table).map(([name, definition]) => ({
  name,
  json: { version: '1.0', truncation: null, padding: null, added_tokens: [], ...empty, ...definition },
}));

/** Ids against the vectors of five other projects, file layouts, and what a damaged tokenizer says. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import t from 'tap';
import { generalPipeline } from '../../../lib/data/tokenizer/general-pipeline.js';
import { IdBuffer } from '../../../lib/data/tokenizer/id-buffer.js';
import { byteCharacters } from '../../../lib/data/tokenizer/pretokenize.js';
import {
  checkVocabulary,
  createTokenizer,
  loadTokenizer,
  type Tokenizer,
} from '../../../lib/data/tokenizer/tokenizer.js';
import type { TokenizerDefinition } from '../../../lib/data/tokenizer/tokenizer-files.js';
import { bert, failure, fixture, gpt2, shared } from '../support.js';

const text = (path: string): string => readFileSync(fixture(path), 'utf8');
const ids = (tokenizer: Tokenizer, input: string): number[] => [...tokenizer.encode(input)];
const gptDefinition = (): TokenizerDefinition =>
  JSON.parse(gunzipSync(readFileSync(fixture('tokenizers/gpt2/tokenizer.json.gz'))).toString()) as TokenizerDefinition;

for (const [name, tokenizer] of [
  ['gpt-2', gpt2],
  ['bert-bge', bert],
] as const) {
  t.test(`${name}: every case of llama.cpp gives its ids`, async (t) => {
    const cases = text(`tokenizers/vectors/ggml-vocab-${name}.gguf.inp`).split('\n__ggml_vocab_test__\n');
    const expected = text(`tokenizers/vectors/ggml-vocab-${name}.gguf.out`).split('\n');
    t.equal(cases.length, 47);
    cases.forEach((input, i) => {
      t.strictSame(ids(tokenizer(), input), expected[i]!.split(' ').filter(Boolean).map(Number), JSON.stringify(input));
    });
  });
}

for (const [name, tokenizer] of [
  ['gpt2', gpt2],
  ['bert-base-uncased', bert],
] as const) {
  t.test(`${name}: every case of transformers.js gives its ids and its text back`, async (t) => {
    const cases = JSON.parse(text(`tokenizers/vectors/transformers-js-${name}.json`)) as Record<
      string,
      { text: string; ids: number[]; decoded: string }
    >;
    for (const [label, { text: input, ids: expected, decoded }] of Object.entries(cases)) {
      const framed = name === 'gpt2' ? expected : expected.slice(1, -1);
      t.strictSame(ids(tokenizer(), input), framed, label);
      // The vectors' text is cleaned of blanks before punctuation; for GPT-2 we give the very text back.
      t.equal(tokenizer().decode(expected), name === 'gpt2' ? input : decoded, `${label} decoded`);
    }
  });
}

t.test("gpt2: every plan of SharpToken's r50k_base gives its ids", async (t) => {
  const plans = [
    ...text('tokenizers/vectors/r50k_base_TestPlans.txt').matchAll(/Sample: ([\s\S]*?)\nEncoded: (\[.*?\])/g),
  ];
  t.equal(plans.length, 45);
  for (const [, sample, encoded] of plans) t.strictSame(ids(gpt2(), sample!), JSON.parse(encoded!));
});

t.test("bert: the sentences of mt-dnn's test give its ids", async (t) => {
  const sentences = text('tokenizers/vectors/mt-dnn-cola_train.tsv')
    .trim()
    .split('\n')
    .map((line) => line.split('\t')[2]!);
  const expected = text('tokenizers/vectors/mt-dnn-expected.jsonl').trim().split('\n');
  sentences.forEach((sentence, i) => {
    const { token_id } = JSON.parse(expected[i]!) as { token_id: number[] };
    t.strictSame([101, ...ids(bert(), sentence), 102], token_id, sentence);
  });
});

const lines = shared('tokenizer-vectors/hf_real_lines.jsonl.gz');
t.test("345 lines of real text give the ids of Python's tokenizers", { skip: lines.skip }, async (t) => {
  let wrong = 0;
  const rows = gunzipSync(readFileSync(lines.path)).toString().trim().split('\n');
  t.equal(rows.length, 345);
  for (const row of rows) {
    const {
      text: input,
      bert: wordPiece,
      gpt2: bpe,
    } = JSON.parse(row) as { text: string; bert: number[]; gpt2: number[] };
    if (ids(bert(), input).join() !== wordPiece.join() || ids(gpt2(), input).join() !== bpe.join()) wrong++;
  }
  t.equal(wrong, 0);
});

const digests = shared('tokenizer-vectors/whole_file_digests.json');
t.test("whole files give the digests of Python's tokenizers", { skip: digests.skip }, async (t) => {
  type Digest = { tokens: number; sha256_of_ids_as_uint32_le: string };
  const { files } = JSON.parse(readFileSync(digests.path, 'utf8')) as { files: Record<string, Record<string, Digest>> };
  for (const [name, byTokenizer] of Object.entries(files)) {
    const plain = shared(name);
    const input = plain.skip
      ? gunzipSync(readFileSync(shared(`${name}.gz`).path)).toString()
      : readFileSync(plain.path, 'utf8');
    for (const [tokenizer, expected] of Object.entries(byTokenizer)) {
      const found = (tokenizer === 'gpt2' ? gpt2() : bert()).encode(input);
      t.equal(found.length, expected.tokens, `${name} ${tokenizer}`);
      t.equal(
        createHash('sha256').update(new Uint8Array(found.buffer)).digest('hex'),
        expected.sha256_of_ids_as_uint32_le,
      );
    }
  }
});

t.test('the fast pipelines agree with the general one on text of many kinds', async (t) => {
  const inputs = [
    ...text('text/sample_text.txt').split('\n'),
    'a\u00a0b\u3000c\u2028d\te\r\nf\u000bg',
    "it's we'll I'd THEY'RE",
    'x'.repeat(300),
    'é'.repeat(120),
    '한국어 テスト ไทย',
    '[MASK] and [SEP][CLS] [mask]',
    'end<|endoftext|>begin',
    '   ',
    '\n\n\n x  y ',
    '🙂🙂🇫🇷 ﬁ ½ Ⅷ',
    'ẞ İ ı ſ',
    '{}[]()<>\\|^~`',
  ];
  for (const tokenizer of [bert(), gpt2()]) {
    const modelIds = new Map(Object.entries(tokenizer.definition.model.vocab as Record<string, number>));
    const general = generalPipeline(tokenizer.definition, modelIds, 'general');
    for (const input of inputs) {
      const out = new IdBuffer(16);
      general.encode(input, out);
      const expected = [...out.view()];
      t.strictSame(ids(tokenizer, input), expected, encodeURI(input.slice(0, 40)));
    }
  }
});

t.test('a capital sigma at the end of a word is lower-cased by itself, as in Python', async (t) => {
  t.strictSame(ids(bert(), 'ΟΔΟΣ'), ids(bert(), 'οδοσ'));
});

// Quadratic merging would take hours here and end by the suite's own time limit.
t.test('a word of a million letters is encoded in n log n', async (t) => {
  const word = 'ab'.repeat(500_000);
  t.equal(gpt2().decode(gpt2().encode(word)), word);
});

t.test('every layout of files gives the same ids, and truncation settings do not count', async (t) => {
  const definition = gptDefinition();
  const { vocab, merges } = definition.model as { vocab: Record<string, number>; merges: string[] };
  const mergesText = `#version: 0.2\n${merges.join('\n')}\n`;
  const pairs = {
    ...definition,
    truncation: null,
    model: { ...definition.model, merges: merges.map((m) => m.split(' ')) },
  };
  const folder = t.testdir({
    openai: { 'encoder.json': JSON.stringify(vocab), 'vocab.bpe': mergesText },
    hub: { 'vocab.json': JSON.stringify(vocab), 'merges.txt': mergesText },
    pairs: { 'tokenizer.json': JSON.stringify(pairs) },
    bert: { 'tokenizer.json': JSON.stringify(bert().definition) },
  });
  const sample = text('text/sample_text.txt');
  for (const layout of ['openai', 'hub', 'pairs', 'pairs/tokenizer.json']) {
    const tokenizer = loadTokenizer(join(folder, layout));
    t.strictSame(tokenizer.encode(sample), gpt2().encode(sample), layout);
    t.equal(tokenizer.specials.eot, 50256);
    t.equal(tokenizer.vocabSize, 50257);
  }
  t.not(gpt2().encode(sample).length, 50, 'the file asks for truncation to 50');
  t.strictSame(loadTokenizer(join(folder, 'bert')).encode(sample), bert().encode(sample));
  t.equal(createTokenizer({ ...definition, truncation: null }).digest, gpt2().digest);
  t.not(createTokenizer({ ...definition, added_tokens: [] }).digest, gpt2().digest);
});

t.test('special tokens have their ids', async (t) => {
  t.strictSame(bert().specials, { mask: 103, pad: 0, cls: 101, sep: 102, unk: 100, eot: undefined });
  t.strictSame(bert().specialIds, [0, 100, 101, 102, 103]);
  t.strictSame(gpt2().specialIds, [50256]);
});

t.test('a vocabulary with capitals is cased; tokenizer_config.json has the last word', async (t) => {
  const vocabulary = '[UNK]\nHello\nhello\n';
  const folder = t.testdir({
    cased: { 'vocab.txt': vocabulary },
    told: { 'vocab.txt': vocabulary, 'tokenizer_config.json': '{"do_lower_case": true}' },
  });
  t.strictSame(ids(loadTokenizer(join(folder, 'cased')), 'Hello'), [1]);
  t.strictSame(ids(loadTokenizer(join(folder, 'told')), 'Hello'), [2]);
});

t.test('a pipeline that is neither BERT nor GPT-2 runs part by part', async (t) => {
  const tokenizer = createTokenizer({
    normalizer: { type: 'Lowercase' },
    pre_tokenizer: { type: 'Whitespace' },
    model: {
      type: 'WordPiece',
      unk_token: '[UNK]',
      continuing_subword_prefix: '##',
      max_input_chars_per_word: 100,
      vocab: { '[UNK]': 0, un: 1, '##do': 2, '!!': 3 },
    },
  });
  t.equal(tokenizer.kind, 'other');
  t.strictSame(ids(tokenizer, 'UNDO !! x'), [1, 2, 3, 0]);
});

t.test('decoding skips special tokens on request, and nothing decodes to nothing', async (t) => {
  t.equal(bert().decode([101, 7592, 1010, 2088, 102], { skipSpecialTokens: true }), 'hello, world');
  t.equal(bert().decode([]), '');
});

/** The first tokens of GPT-2 as a .tiktoken file. */
function tiktokenOf(size: number): string {
  const byteOf = new Map(byteCharacters.map((character, byte) => [character, byte]));
  const bytes = (token: string) => Buffer.from(Array.from(token, (character) => byteOf.get(character)!));
  return Array.from({ length: size }, (_, id) => `${bytes(gpt2().tokenOf(id)!).toString('base64')} ${id}\n`).join('');
}

t.test('a .tiktoken file gives the ids and the merges it was made from', async (t) => {
  const size = 256 + 700;
  const { model } = gptDefinition();
  const merges = (model.merges as string[]).slice(0, 700);
  const vocab = Object.fromEntries(Object.entries(model.vocab!).filter(([, id]) => (id as number) < size));
  const smaller = createTokenizer({
    ...gptDefinition(),
    added_tokens: [],
    model: { ...model, vocab, merges } as never,
  });
  const folder = t.testdir({ 'r50k_base.tiktoken': tiktokenOf(size) });
  for (const path of [folder, join(folder, 'r50k_base.tiktoken')]) {
    const tokenizer = loadTokenizer(path);
    t.equal(tokenizer.vocabSize, size + 1);
    t.equal(tokenizer.specials.eot, size);
    t.strictSame(
      tokenizer.definition.model.merges,
      merges.map((merge) => merge.split(' ')),
    );
    t.strictSame(tokenizer.encode(text('text/sample_text.txt')), smaller.encode(text('text/sample_text.txt')));
  }
});

const r50k = shared('tokenizers/r50k_base/r50k_base.tiktoken.gz');
t.test("r50k_base.tiktoken is GPT-2's tokenizer", { skip: r50k.skip }, async (t) => {
  const tokenizer = loadTokenizer(r50k.path);
  t.equal(tokenizer.vocabSize, gpt2().vocabSize);
  t.equal(tokenizer.specials.eot, gpt2().specials.eot);
  t.strictSame(
    tokenizer.definition.model.merges,
    gptDefinition().model.merges!.map((merge) => (merge as string).split(' ')),
  );
});

t.test("OpenAI's and Hugging Face's files, each by folder and by name, give the same ids", async (t) => {
  const sample = text('text/sample_text.txt');
  for (const path of [
    'tokenizers/gpt2',
    'tokenizers/gpt2/encoder.json',
    'tokenizers/gpt2/vocab.bpe',
    'tokenizers/bert-base-uncased',
    'tokenizers/bert-base-uncased/vocab.txt',
  ]) {
    const found = shared(path);
    if (found.skip) t.comment(`${path}: ${found.skip}`);
    else
      t.strictSame(loadTokenizer(found.path).encode(sample), (/gpt2/.test(path) ? gpt2 : bert)().encode(sample), path);
  }
});

t.test('a unigram model takes the pieces of the largest sum of scores', async (t) => {
  const vocab: [string, number][] = [
    ['<unk>', 0],
    ['ab', -1],
    ['a', -2],
    ['b', -2.5],
  ];
  const tokenizer = createTokenizer({
    pre_tokenizer: { type: 'Whitespace' },
    model: { type: 'Unigram', unk_id: 0, vocab } as never,
  });
  t.equal(tokenizer.kind, 'other');
  t.strictSame(ids(tokenizer, 'ab ba'), [1, 3, 2]);
});

const small = { '[UNK]': 0, a: 1 };
const lfsPointer = 'version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 231508\n';
const bytes = Object.fromEntries(byteCharacters.map((character, id) => [character, id]));
const bertLike = (vocab: unknown, more: object = {}) =>
  JSON.stringify({
    normalizer: { type: 'BertNormalizer' },
    pre_tokenizer: { type: 'BertPreTokenizer' },
    model: { type: 'WordPiece', vocab },
    ...more,
  });
const gptLike = (vocab: object, merges: unknown) =>
  JSON.stringify({ pre_tokenizer: { type: 'ByteLevel' }, model: { type: 'BPE', vocab, merges } });

/** The fault, the files that show it, the file that is loaded, and the expected message. */
const malformed: [string, Record<string, string | Buffer>, string, RegExp][] = [
  ['no such file', {}, 'no.json', /There is no tokenizer at .*no\.json: no such file or folder/],
  ['JSON that is cut off', { 'x.json': '{"model": {"vocab"' }, 'x.json', /x\.json is not JSON: /],
  ['null', { 'x.json': 'null' }, 'x.json', /should hold a JSON object, and holds null/],
  ['a text', { 'x.json': '"a"' }, 'x.json', /should hold a JSON object, and holds a string/],
  [
    'an id of a billion',
    { 'x.json': bertLike({ ...small, b: 1e9 }) },
    'x.json',
    /ids from 0 to 1000000000 have no token/,
  ],
  ['a list', { 'x.json': '[1, 2]' }, 'x.json', /should hold a JSON object, and holds an array/],
  ['an empty file', { 'x.json': '' }, 'x.json', /x\.json is not JSON: /],
  ['not gzip', { 'x.json.gz': '{}' }, 'x.json.gz', /x\.json\.gz cannot be read/],
  ['no model', { 'config.json': '{"model_type": "bert"}' }, 'config.json', /it has no "model".* is expected/],
  [
    'no model, and settings beside it',
    { 'tokenizer.json': '{"mode": {}}', 'tokenizer_config.json': '{"unk_token": "a"}' },
    'tokenizer.json',
    /it has no "model"/,
  ],
  ['no vocabulary', { 'x.json': '{"model": {"type": "BPE"}}' }, 'x.json', /no "vocab" .*Export the tokenizer again/],
  ['empty vocabulary', { 'x.json': '{"model": {"type": "BPE", "vocab": {}}}' }, 'x.json', /its vocabulary is empty/],
  ['negative id', { 'x.json': bertLike({ ...small, b: -1 }) }, 'x.json', /token "b" has the id -1; ids are whole/],
  ['id of text', { 'x.json': bertLike({ ...small, b: '2' }) }, 'x.json', /token "b" has the id "2"; ids are whole/],
  ['fraction as id', { 'x.json': bertLike({ ...small, b: 1.5 }) }, 'x.json', /token "b" has the id 1\.5/],
  ['an id twice', { 'x.json': bertLike({ ...small, b: 1 }) }, 'x.json', /"a" and "b" share the id 1\. Give each/],
  ['mostly gaps', { 'x.json': bertLike({ ...small, b: 6 }) }, 'x.json', /4 of its ids from 0 to 6 have no token, more/],
  [
    'an added token that Python would number otherwise',
    { 'x.json': bertLike(small, { added_tokens: [{ id: 3, content: 'c' }] }) },
    'x.json',
    /the added token "c" has the id 3, and Python's tokenizers, .* give it 2/,
  ],
  [
    'an added token with a second id',
    { 'x.json': bertLike(small, { added_tokens: [{ id: 2, content: 'a' }] }) },
    'x.json',
    /token "a" has the id 1 in the vocabulary and 2 among the added tokens/,
  ],
  ['a bare added token', { 'x.json': bertLike(small, { added_tokens: [7] }) }, 'x.json', /an added token is 7/],
  ['added tokens as object', { 'x.json': bertLike(small, { added_tokens: {} }) }, 'x.json', /is not a list/],
  ['no unknown token', { 'x.json': bertLike({ a: 0 }) }, 'x.json', /its unknown token "\[UNK\]" is not in the voc/],
  ['no bytes', { 'x.json': gptLike(small, []) }, 'x.json', /the byte token "Ā" \(byte 0\) is not .*has all 256/],
  ['no merges', { 'x.json': gptLike(bytes, undefined) }, 'x.json', /its BPE model has no "merges"/],
  ['merge of three', { 'x.json': gptLike(bytes, ['a b c']) }, 'x.json', /merge 1 is "a b c", expected two tokens/],
  ['merge of one', { 'x.json': gptLike(bytes, [['a']]) }, 'x.json', /merge 1 is \["a"\], expected two tokens/],
  [
    'merge to an unknown token',
    { 'x.json': gptLike({ ...bytes, ab: 256 }, ['a b', 'ab c']) },
    'x.json',
    /merge 2 \("ab c"\) needs the token "abc", which is not in the vocabulary\. Vocabulary and merges belong/,
  ],
  [
    'unknown model type',
    { 'x.json': '{"model": {"type": "Mystery", "vocab": {"a": 0}}}' },
    'x.json',
    /of type Mystery; known are BPE, Unigram, WordLevel, WordPiece/,
  ],
  [
    'unknown normalizer',
    { 'x.json': JSON.stringify({ normalizer: { type: 'Mystery' }, model: { type: 'WordPiece', vocab: small } }) },
    'x.json',
    /its normalizer is of type "Mystery", which is not known to give the ids of Python's tokenizers\. Known are Bert/,
  ],
  [
    'a field that is not known',
    { 'x.json': bertLike(small, { pre_tokenizer: { type: 'BertPreTokenizer', keep: 1 } }) },
    'x.json',
    /its pre_tokenizer BertPreTokenizer has the field "keep", whose meaning is not known/,
  ],
  [
    'merges dropped at random',
    { 'x.json': JSON.stringify({ model: { type: 'BPE', vocab: { a: 0 }, merges: [], dropout: 0.1 } }) },
    'x.json',
    /drops merges at random \("dropout"\)/,
  ],
  [
    'a regular expression with a back reference',
    {
      'x.json': bertLike(small, {
        pre_tokenizer: { type: 'Split', pattern: { Regex: '(a)\\1' }, behavior: 'Removed', invert: false },
      }),
    },
    'x.json',
    /its regular expression "\(a\)\\\\1" has "\\1", which cannot be run here/,
  ],
  ['words as vocabulary', { 'vocab.txt': 'just\nwords\n' }, 'vocab.txt', /no line of it is \[UNK\]\. A voc/],
  ['line ends of \\r', { 'vocab.txt': '[UNK]\ra\rb\r' }, 'vocab.txt', /no line of it is \[UNK\]\. .* end in \\r alone/],
  [
    'UTF-16',
    { 'tokenizer.json': Buffer.from('\ufeff{}', 'utf16le') },
    'tokenizer.json',
    /is UTF-16, expected UTF-8: save/,
  ],
  ['not UTF-8', { 'vocab.txt': Buffer.from([0x5b, 0xe9, 0x0a]) }, 'vocab.txt', /vocab\.txt is not UTF-8 text/],
  ['a Git LFS pointer', { 'vocab.txt': lfsPointer }, 'vocab.txt', /vocab\.txt is a Git LFS pointer, .*git lfs pull/],
  [
    'merges behind a Git LFS pointer',
    { 'vocab.json': JSON.stringify(bytes), 'merges.txt': lfsPointer },
    '.',
    /merges\.txt is a Git LFS pointer/,
  ],
  ['another name', { 'spiece.model': 'x' }, 'spiece.model', /expected a name that ends in \.json/],
  ['vocab.json alone', { 'vocab.json': '{}' }, '.', /vocab\.json needs merges\.txt beside it, .*Copy it into/],
  ['merges.txt alone', { 'merges.txt': 'a b' }, 'merges.txt', /merges\.txt needs vocab\.json beside it/],
  ['vocab.bpe alone', { 'vocab.bpe': 'a b' }, '.', /vocab\.bpe needs encoder\.json beside it/],
  [
    'a line of merges.txt',
    { 'vocab.json': JSON.stringify(bytes), 'merges.txt': '#version: 0.2\na b\nab\n' },
    '.',
    /merges\.txt: line 3 is "ab", expected two tokens with a blank between them/,
  ],
  [
    'vocab.json with the merges of another',
    { 'vocab.json': JSON.stringify({ ...bytes, ab: 256 }), 'merges.txt': 'a b\nx y\n' },
    '.',
    /merge 2 \("x y"\) needs the token "xy"/,
  ],
  ['a folder of other things', { 'notes.md': 'x', 'config.json': '{}' }, '.', /The folder .* holds no tokenizer: exp/],
  ['a .tiktoken of another model', { 'cl100k_base.tiktoken': 'YQ== 0' }, 'cl100k_base.tiktoken', /only r50k_base/],
  [
    'a .tiktoken of words',
    { 'gpt2.tiktoken': 'YQ== 0\nword\n' },
    'gpt2.tiktoken',
    /line 2 is "word", expected "base64/,
  ],
  ['a .tiktoken with a gap', { 'gpt2.tiktoken': 'YQ== 0\nYg== 2\n' }, 'gpt2.tiktoken', /rank 1 of 0 to 2 is missing/],
  ['a .tiktoken with a rank twice', { 'gpt2.tiktoken': 'YQ== 0\nYg== 0\n' }, 'gpt2.tiktoken', /line 2 repeats rank 0/],
  ['a .tiktoken with a token twice', { 'gpt2.tiktoken': 'YQ== 0\nYQ== 1\n' }, 'gpt2.tiktoken', /0 and 1 are the same/],
  ['a .tiktoken with no way there', { 'gpt2.tiktoken': 'YQ== 0\nYWFh 1\n' }, 'gpt2.tiktoken', /no two tokens before/],
];

for (const [fault, files, path, message] of malformed) {
  t.test(`what is no tokenizer says why: ${fault}`, async (t) => {
    const folder = t.testdir({ there: files as Record<string, string> });
    const said = await failure(() => loadTokenizer(join(folder, 'there', path)));
    t.match(said, message);
    t.match(said, /^BAD_TOKENIZER: /);
    t.ok(said.includes(join(folder, 'there')), 'it names the place');
    t.notMatch(said, /\n/, 'in one line');
  });
}

t.test('a vocabulary larger than the model is refused with both sizes', async (t) => {
  t.match(
    await failure(() => checkVocabulary(gpt2(), 8192)),
    /^BAD_CONFIG: .*50257 token ids and the model's vocabulary only 8192/,
  );
  checkVocabulary(gpt2(), 50304);
});

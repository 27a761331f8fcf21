/** Ids against the vectors of five other projects, file layouts, and what a damaged tokenizer says. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { Tokenizer as Library } from '@huggingface/tokenizers';
import t from 'tap';
import { checkVocabulary, createTokenizer, loadTokenizer, type Tokenizer } from '../../lib/data/tokenizer.js';
import type { TokenizerDefinition } from '../../lib/data/tokenizer-files.js';
import { bert, failure, fixture, gpt2, shared } from './support.js';

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

t.test('our encoders agree with @huggingface/tokenizers on text of many kinds', async (t) => {
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
    const library = new Library(tokenizer.definition, {});
    for (const input of inputs) {
      const expected = input === '' ? [] : library.encode(input, { add_special_tokens: false }).ids;
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

t.test('a pipeline that is neither BERT nor GPT-2 runs on the library', async (t) => {
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

t.test('what is no tokenizer says why', async (t) => {
  const vocab = { '[UNK]': 0, a: 1 };
  const folder = t.testdir({
    'cut.json': '{"model": {"vocab"',
    'list.json': '[1, 2]',
    'none.json': '{"version": "1.0"}',
    'empty.json': '{"model": {"type": "BPE", "vocab": {}}}',
    'ids.json': '{"model": {"type": "WordPiece", "vocab": {"a": -1}}}',
    'unknown.json': JSON.stringify({
      normalizer: { type: 'BertNormalizer' },
      pre_tokenizer: { type: 'BertPreTokenizer' },
      model: { type: 'WordPiece', vocab: { a: 0 } },
    }),
    'bytes.json': JSON.stringify({ pre_tokenizer: { type: 'ByteLevel' }, model: { type: 'BPE', vocab, merges: [] } }),
    'model.json': JSON.stringify({ model: { type: 'Mystery', vocab } }),
    'pipeline.json': JSON.stringify({
      normalizer: { type: 'Mystery' },
      model: { type: 'WordPiece', unk_token: '[UNK]', vocab },
    }),
    'vocab.txt': 'just\nwords\n',
    'latin1.txt': Buffer.from([0x5b, 0xe9, 0x0a]),
    'spiece.model': 'x',
    folder: { 'notes.md': 'x' },
  });
  const expected: Record<string, RegExp> = {
    'missing.json': /^BAD_TOKENIZER: There is no tokenizer at .*missing\.json: no such file or folder/,
    'cut.json': /^BAD_TOKENIZER: .*cut\.json is not JSON/,
    'list.json': /^BAD_TOKENIZER: .*should hold a JSON object, and holds an array/,
    'none.json': /^BAD_TOKENIZER: .*it has no "model"/,
    'empty.json': /^BAD_TOKENIZER: .*its vocabulary is empty/,
    'ids.json': /^BAD_TOKENIZER: .*token "a" has the id -1/,
    'unknown.json': /^BAD_TOKENIZER: .*its unknown token "\[UNK\]" is not in the vocabulary/,
    'bytes.json': /^BAD_TOKENIZER: .*the byte token .* is not in the vocabulary/,
    'model.json': /^BAD_TOKENIZER: .*its model is of type Mystery; expected WordPiece/,
    'pipeline.json': /^BAD_TOKENIZER: .*its pipeline is not one that can be run here/,
    'vocab.txt': /^BAD_TOKENIZER: .*no line of it is \[UNK\]/,
    'latin1.txt': /^BAD_TOKENIZER: .*cannot be read as UTF-8 text/,
    'spiece.model': /^BAD_TOKENIZER: .*expected a name that ends in \.json/,
    folder: /^BAD_TOKENIZER: The folder .* holds no tokenizer: expected tokenizer\.json/,
  };
  for (const [name, message] of Object.entries(expected)) {
    t.match(await failure(() => loadTokenizer(join(folder, name))), message, name);
  }
});

t.test('a vocabulary larger than the model is refused with both sizes', async (t) => {
  t.match(
    await failure(() => checkVocabulary(gpt2(), 8192)),
    /^BAD_CONFIG: .*50257 token ids and the model's vocabulary only 8192/,
  );
  checkVocabulary(gpt2(), 50304);
});

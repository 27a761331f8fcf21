/**
 * Places of tokens, pairs, and decoding id by id. Expected values are those of Python's tokenizers, kept in
 * fixtures/tokenizers/answers.json; with APOLLO_PYTHON they are asked for again (and with APOLLO_UPDATE=1, kept).
 */
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { createTokenizer, type Tokenizer } from '../../../lib/data/tokenizer/tokenizer.js';
import { bert, failure, fixture, gpt2 } from '../support.js';

const prose = readFileSync(fixture('text/sample_text.txt'), 'utf8');
const texts = [
  ...prose.split('\n').filter((line) => line !== ''),
  'Hello, world',
  "It's   “quoted”\u00a0text, isn't it?",
  '\t leading and trailing \n',
  'e\u0301te\u0301 été Ünïcödé İstanbul',
  'zero\u0000width\u200b\u00adjoined\ufffd',
  '文字と한국어, ไทย and हिन्दी',
  'emoji 🙂🙂🏽 👩‍👩‍👧 flags 🇫🇷',
  'a [MASK] and [SEP]<|endoftext|>end',
  'antidisestablishmentarianism pneumonoultramicroscopicsilicovolcanoconiosis',
  'x'.repeat(120),
  'ΟΔΟΣ ẞ ﬁ ½ Ⅷ',
  '𝕬𝖇𝖈 mathematical',
  '3.14159 10,000 1st',
];

interface Answers {
  texts: { ids: number[]; offsets: number[] }[];
  pairs: { ids: number[]; types: number[]; offsets?: number[] }[];
}
const goldenPath = fixture('tokenizers/answers.json');
const golden = JSON.parse(readFileSync(goldenPath, 'utf8')) as Record<'bert' | 'gpt2', Answers>;
const tokenizers = { bert, gpt2 };

/** Offsets in UTF-16 units as offsets in code points, which Python counts in. */
function codePoints(text: string, offsets: ArrayLike<number>): number[] {
  return Array.from(offsets, (place) => [...text.slice(0, place)].length);
}

for (const name of ['bert', 'gpt2'] as const) {
  const tokenizer = tokenizers[name];

  t.test(`${name}: ids and places are those of Python`, async (t) => {
    for (const [i, text] of texts.entries()) {
      const { ids, offsets } = tokenizer().encodeWithOffsets(text);
      t.strictSame([...ids], golden[name].texts[i]!.ids, `ids of ${encodeURI(text.slice(0, 30))}`);
      t.strictSame(codePoints(text, offsets), golden[name].texts[i]!.offsets, 'places');
      t.strictSame([...ids], [...tokenizer().encode(text)], 'and encode gives the same ids');
    }
  });

  t.test(`${name}: pairs, their types and the cut to a length are those of Python`, async (t) => {
    const special = name === 'bert' ? 3 : 0;
    const lengths = [undefined, 14 + special, 6 + special];
    let at = 0;
    for (const maxLength of lengths) {
      for (let i = 0; i + 1 < texts.length; i++) {
        const pair = [texts[i]!, texts[i + 1]!] as const;
        const found = tokenizer().encodePair(...pair, maxLength === undefined ? {} : { maxLength });
        const expected = golden[name].pairs[at++]!;
        t.strictSame([...found.ids], expected.ids, `ids of pair ${i} at ${maxLength}`);
        t.strictSame([...found.types], expected.types, 'types');
        if (expected.offsets === undefined) continue;
        const places = Array.from(found.sequences, (sequence, k) =>
          sequence < 0 ? [0, 0] : codePoints(pair[sequence]!, found.offsets!.subarray(2 * k, 2 * k + 2)),
        ).flat();
        t.strictSame(places, expected.offsets, 'places');
      }
    }
    t.equal(at, golden[name].pairs.length);
  });

  t.test(`${name}: a place cuts the token's text out of the original`, async (t) => {
    const text = 'A bird in the Hand';
    const { ids, offsets } = tokenizer().encodeWithOffsets(text);
    const cut = Array.from(ids, (_, i) => text.slice(offsets[2 * i], offsets[2 * i + 1]));
    t.strictSame(cut, name === 'bert' ? ['A', 'bird', 'in', 'the', 'Hand'] : ['A', ' bird', ' in', ' the', ' Hand']);
    t.strictSame(
      Array.from(ids, (id) => tokenizer().tokenOf(id)),
      name === 'bert' ? ['a', 'bird', 'in', 'the', 'hand'] : ['A', 'Ġbird', 'Ġin', 'Ġthe', 'ĠHand'],
    );
    t.ok(ids instanceof Int32Array && offsets instanceof Int32Array);
  });

  t.test(`${name}: text that comes id by id, joined, is the text of all ids`, async (t) => {
    for (const skipSpecialTokens of [false, true]) {
      const stream = tokenizer().streamDecoder({ skipSpecialTokens });
      for (const text of texts) {
        const ids = tokenizer().encode(text);
        const pieces = [...Array.from(ids, (id) => stream.push(id)), stream.end()];
        t.equal(pieces.join(''), tokenizer().decode(ids, { skipSpecialTokens }), encodeURI(text.slice(0, 30)));
        if (name === 'gpt2' && !text.includes('\ufffd')) {
          t.notOk(
            pieces.some((piece) => piece.includes('\ufffd')),
            'only whole characters',
          );
        }
      }
    }
  });

  t.test(`${name}: tokens have ids and ids tokens`, async (t) => {
    for (let id = 0; id < tokenizer().vocabSize; id++) {
      if (tokenizer().idOf(tokenizer().tokenOf(id)!) !== id) t.fail(`id ${id}`);
    }
    t.equal(tokenizer().tokenOf(tokenizer().vocabSize), undefined);
    t.equal(tokenizer().tokenOf(-1), undefined);
    t.equal(tokenizer().idOf('no such token'), undefined);
  });
}

t.test('gpt2 gives a character when its last byte has come, and marks what stays incomplete', async (t) => {
  const ids = gpt2().encode('🙂');
  t.equal(ids.length, 2, 'one character, two tokens');
  const stream = gpt2().streamDecoder();
  t.strictSame([stream.push(ids[0]!), stream.push(ids[1]!), stream.end()], ['', '🙂', '']);
  t.strictSame([stream.push(ids[0]!), stream.end()], ['', '\ufffd']);
  t.strictSame([stream.push(gpt2().idOf('Hi')!), stream.end()], ['Hi', ''], 'and starts again');
});

t.test('bert gives a word when the next one has started', async (t) => {
  const stream = bert().streamDecoder();
  const pieces = ['do', 'n', "'", 't', 'play', '##ing', '.', 'well'].map((token) => stream.push(bert().idOf(token)!));
  t.equal(pieces.join('') + stream.end(), "don't playing. well");
  t.ok(pieces.slice(0, -1).join('').startsWith("don't"), 'before the end');
});

t.test('ids can be framed without their text', async (t) => {
  const found = bert().frame([7, 8, 9], [5], { maxLength: 6 });
  t.strictSame([...found.ids], [101, 7, 8, 102, 5, 102]);
  t.strictSame([...found.types], [0, 0, 0, 0, 1, 1]);
  t.strictSame([...found.sequences], [-1, 0, 0, -1, 1, -1]);
  t.strictSame([...found.indices], [-1, 0, 1, -1, 0, -1]);
  t.strictSame([...bert().frame([7]).ids], [101, 7, 102]);
  t.strictSame([...gpt2().frame([7, 8], [9]).ids], [7, 8, 9]);
  t.strictSame([...bert().encodePair('').ids], [101, 102]);
  t.strictSame([...gpt2().frame([1, 1, 1, 1], [2, 2], { maxLength: 3 }).ids], [1, 1, 2], 'the longer keeps one more');
  t.strictSame([...gpt2().frame([1, 1, 1, 1], [2], { maxLength: 3 }).ids], [1, 1, 2], 'only the longer is cut');
  t.match(
    await failure(() => bert().frame([1], [2], { maxLength: 2 })),
    /^BAD_ARGUMENT: maxLength must be at least 3, .*got 2/,
  );
});

t.test('BertProcessing, RobertaProcessing and sequences of processors frame as they say', async (t) => {
  const vocab = { '[UNK]': 0, '<s>': 1, '</s>': 2, a: 3, b: 4 };
  const make = (post_processor: unknown): Tokenizer =>
    createTokenizer({
      pre_tokenizer: { type: 'Whitespace' },
      post_processor,
      model: {
        type: 'WordPiece',
        unk_token: '[UNK]',
        continuing_subword_prefix: '##',
        max_input_chars_per_word: 9,
        vocab,
      },
    });
  const processing = (type: string) => ({ type, cls: ['<s>', 1], sep: ['</s>', 2] });
  const roberta = make(processing('RobertaProcessing')).encodePair('a', 'b');
  t.strictSame([...roberta.ids], [1, 3, 2, 2, 4, 2]);
  t.strictSame([...roberta.types], [0, 0, 0, 0, 0, 0]);
  t.equal(roberta.offsets, undefined);
  const sequence = make({ type: 'Sequence', processors: [{ type: 'ByteLevel' }, processing('BertProcessing')] });
  t.strictSame([...sequence.encodePair('a', 'b').ids], [1, 3, 2, 4, 2]);
  t.strictSame([...sequence.encodePair('a', 'b').types], [0, 0, 0, 1, 1]);
  t.match(await failure(() => sequence.encodeWithOffsets('a')), /^BAD_TOKENIZER: .*cannot say where its tokens lie/);
  const stream = sequence.streamDecoder();
  t.equal([3, 4].map((id) => stream.push(id)).join('') + stream.end(), sequence.decode([3, 4]));
});

const python = process.env['APOLLO_PYTHON'];
t.test("Python's answers are those that are kept", { skip: python ? false : 'needs APOLLO_PYTHON' }, async (t) => {
  const script = fileURLToPath(new URL('../tokenizer_answers.py', import.meta.url));
  const found: Record<string, Answers> = {};
  for (const [name, tokenizer] of Object.entries(tokenizers)) {
    const folder = t.testdir({ 'tokenizer.json': JSON.stringify(tokenizer().definition) });
    const { stdout, stderr, status } = spawnSync(python!, [script, join(folder, 'tokenizer.json')], {
      input: JSON.stringify(texts),
      encoding: 'utf8',
      maxBuffer: 1 << 26,
    });
    t.equal(status, 0, stderr);
    found[name] = JSON.parse(stdout) as Answers;
  }
  if (process.env['APOLLO_UPDATE'] === '1') writeFileSync(goldenPath, `${JSON.stringify(found)}\n`);
  else t.strictSame(found, golden);
});

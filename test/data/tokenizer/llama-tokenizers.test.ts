/**
 * Tokenizers with the pipelines of Llama 3, SmolLM, Qwen 2 and Llama 2: ids, places, frames and text are those of Python's
 * `tokenizers`. They and Python's answers were made by scripts/fixtures-llama-tokenizers.py.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import t from 'tap';
import { loadTokenizer } from '../../../lib/data/index.js';
import { fixture } from '../support.js';
import { texts as textSet } from './pipelines.js';

interface Answers {
  readonly ids: readonly number[][];
  readonly offsets: readonly number[][];
  readonly decoded: readonly string[];
  /** The first text, and the first two, with special tokens. */
  readonly framed: readonly [number[], number[]];
  /** SHA-256 of the ids of the text set: for each line their number, then the ids, as 32 bits. */
  readonly textSet: string;
}

const { texts, answers } = JSON.parse(
  gunzipSync(readFileSync(fixture('tokenizers/llama/answers.json.gz'))).toString(),
) as { texts: string[]; answers: Record<string, Answers> };

/** Texts that NFC changes: their places are compared by themselves. */
const isComposed = (text: string): boolean => text.normalize('NFC') === text;

const kinds: Record<string, 'bpe' | 'other'> = { 'llama-3': 'bpe', smollm: 'bpe', 'qwen-2': 'bpe', 'llama-2': 'other' };

for (const [name, kind] of Object.entries(kinds)) {
  const tokenizer = loadTokenizer(fixture(`tokenizers/llama/${name}.json.gz`));
  const expected = answers[name]!;

  t.test(`${name}: ids and text of ${texts.length} hard texts are Python's`, async (t) => {
    t.equal(tokenizer.kind, kind);
    for (const [i, text] of texts.entries()) {
      const ids = [...tokenizer.encode(text)];
      if (ids.join() !== expected.ids[i]!.join()) t.strictSame(ids, expected.ids[i], encodeURI(text));
      if (tokenizer.decode(ids) !== expected.decoded[i])
        t.equal(tokenizer.decode(ids), expected.decoded[i], encodeURI(text));
    }
  });

  t.test(`${name}: ids of the text set are Python's`, async (t) => {
    const hash = createHash('sha256');
    for (const text of textSet) {
      const ids = tokenizer.encode(text);
      hash.update(Uint32Array.of(ids.length, ...ids));
    }
    t.equal(hash.digest('hex'), expected.textSet);
  });

  t.test(`${name}: the tokens around texts are Python's`, async (t) => {
    t.strictSame([...tokenizer.encodePair(texts[0]!).ids], expected.framed[0]);
    t.strictSame([...tokenizer.encodePair(texts[0]!, texts[1]!).ids], expected.framed[1]);
  });

  t.test(`${name}: text that comes id by id, joined, is the text of all ids`, async (t) => {
    for (const skipSpecialTokens of [false, true]) {
      const stream = tokenizer.streamDecoder({ skipSpecialTokens });
      for (const text of texts.filter(({ length }) => length < 100)) {
        const ids = tokenizer.encode(text);
        const whole = tokenizer.decode(ids, { skipSpecialTokens });
        const joined = Array.from(ids, (id) => stream.push(id)).join('') + stream.end();
        if (joined !== whole) t.equal(joined, whole, encodeURI(text));
      }
    }
  });

  t.test(`${name}: places are Python's`, { skip: kind === 'other' && 'it keeps none' }, async (t) => {
    for (const [i, text] of texts.entries()) {
      if (name === 'qwen-2' && !isComposed(text)) continue;
      const { offsets } = tokenizer.encodeWithOffsets(text);
      const places = Array.from(offsets, (place) => [...text.slice(0, place)].length);
      if (places.join() !== expected.offsets[i]!.join()) t.strictSame(places, expected.offsets[i], encodeURI(text));
    }
  });
}

t.test('a surrogate without its other half is U+FFFD, as it is in UTF-8', async (t) => {
  for (const name of Object.keys(kinds)) {
    const tokenizer = loadTokenizer(fixture(`tokenizers/llama/${name}.json.gz`));
    t.strictSame(tokenizer.encode('a\ud800 \udc00b'), tokenizer.encode('a\ufffd \ufffdb'), name);
  }
});

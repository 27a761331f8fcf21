/**
 * Tokenizers with the pipelines of Llama 3, SmolLM, Qwen 2 and Llama 2: ids, places, frames and text are those of Python's
 * `tokenizers`. They and Python's answers were made by scripts/fixtures-llama-tokenizers.py.
 */
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import t from 'tap';
import { loadTokenizer } from '../../../lib/data/index.js';
import { saveTokenizer } from '../../../lib/interop/hugging-face-tokenizer.js';
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

/** A folder with a tokenizer.json and these files next to it, and what transformers' AutoTokenizer makes of it. */
interface Folder {
  readonly name: string;
  readonly files: Readonly<Record<string, object>>;
  readonly class: string;
  readonly size: number;
  readonly eos: string | null;
  readonly bos: string | null;
  readonly ids: readonly number[][];
  readonly framed: readonly number[];
}

const unpacked = (name: string): string =>
  gunzipSync(readFileSync(fixture(`tokenizers/llama/${name}.json.gz`))).toString();
const { texts, answers } = JSON.parse(unpacked('answers')) as { texts: string[]; answers: Record<string, Answers> };
const { texts: asked, folders } = JSON.parse(unpacked('folders')) as { texts: string[]; folders: Folder[] };

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

for (const [i, { name, files, size, eos, bos, ids, framed, class: made }] of folders.entries()) {
  t.test(`folder ${i}: ${name} is what AutoTokenizer makes of it, of the class ${made}`, async (t) => {
    t.comment(JSON.stringify(files));
    const folder = t.testdir({
      'tokenizer.json': unpacked(name),
      ...Object.fromEntries(Object.entries(files).map(([file, content]) => [file, JSON.stringify(content)])),
      saved: {},
    });
    const tokenizer = loadTokenizer(folder);
    const { eot } = tokenizer.specials;
    t.strictSame(
      asked.map((text) => [...tokenizer.encode(text)]),
      ids,
    );
    t.strictSame([...tokenizer.encodePair(asked[0]!, asked[1]!).ids], framed);
    t.equal(tokenizer.vocabSize, size);
    if (eos !== null) t.equal(eot === undefined ? undefined : tokenizer.tokenOf(eot), eos);

    await saveTokenizer(join(folder, 'saved'), tokenizer);
    const again = loadTokenizer(join(folder, 'saved'));
    t.strictSame(
      asked.map((text) => [...again.encode(text)]),
      ids,
      'saved',
    );
    t.strictSame(again.specials, tokenizer.specials);
    const config = JSON.parse(readFileSync(join(folder, 'saved/tokenizer_config.json'), 'utf8'));
    if (bos !== null) t.equal(config.bos_token, bos, 'the token before a text keeps its role');
    t.equal(existsSync(join(folder, 'saved/vocab.json')), /^(GPT2|Qwen2)Tokenizer$/.test(config.tokenizer_class));
  });
}

t.test('a tokenizer.json alone names the end of text by its name, and files beside it a list of them', async (t) => {
  t.equal(loadTokenizer(fixture('tokenizers/llama/smollm.json.gz')).specials.eot, 0, '<|endoftext|>');
  const alone = t.testdir({ 'tokenizer.json': unpacked('llama-3') });
  const { specials, tokenOf } = loadTokenizer(alone);
  t.equal(tokenOf(specials.eot!), '<|end_of_text|>');
  const [end, turn] = ['<|end_of_text|>', '<|eot_id|>'].map((token) => loadTokenizer(alone).idOf(token)!);
  const chat = t.testdir({
    'tokenizer.json': unpacked('llama-3'),
    'tokenizer_config.json': '{"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|eot_id|>"}',
    'generation_config.json': JSON.stringify({ eos_token_id: [end, turn] }),
  });
  t.strictSame(loadTokenizer(chat).endIds, [turn, end]);
});

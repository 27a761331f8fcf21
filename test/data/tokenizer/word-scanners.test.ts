/** Scanners find the words that the regular expressions of a tokenizer.json find. */
import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import t from 'tap';
import { createTokenizer, type TokenizerDefinition } from '../../../lib/data/index.js';
import { generalPipeline } from '../../../lib/data/tokenizer/general-pipeline.js';
import { IdBuffer } from '../../../lib/data/tokenizer/id-buffer.js';
import { preTokenizerOf } from '../../../lib/data/tokenizer/pre-tokenizers.js';
import type { Part } from '../../../lib/data/tokenizer/refusal.js';
import { llama3Pattern, qwen2Pattern, wordScannerOf, wordsOf } from '../../../lib/data/tokenizer/word-scanners.js';
import { fixture, gpt2 } from '../support.js';
import { texts } from './pipelines.js';

const published = (name: string): TokenizerDefinition =>
  JSON.parse(gunzipSync(readFileSync(fixture(`tokenizers/llama/${name}.json.gz`))).toString());
const gptPattern = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
const splitAt = (Regex: string): Part => ({ type: 'Split', pattern: { Regex }, behavior: 'Isolated' });
const series = (...pretokenizers: Part[]): Part => ({ type: 'Sequence', pretokenizers });

/** A tokenizer whose words have a scanner, and parts that find the same words with regular expressions. */
const families: Record<string, { definition: TokenizerDefinition; parts: Part }> = {
  'GPT-2': { definition: gpt2().definition, parts: splitAt(gptPattern) },
  'Llama 3': { definition: published('llama-3'), parts: splitAt(llama3Pattern) },
  SmolLM: {
    definition: published('smollm'),
    parts: series({ type: 'Digits', individual_digits: true }, splitAt(gptPattern)),
  },
  'Qwen 2': { definition: published('qwen-2'), parts: splitAt(qwen2Pattern) },
};

const refuse = (reason: string): never => {
  throw new Error(reason);
};
const partOf = (definition: TokenizerDefinition): Part => definition.pre_tokenizer as unknown as Part;

/** Characters that the patterns tell apart, and some that versions of Unicode or cases of letters confuse. */
const characters = [
  ..."aZ sStTmMdDrReEvVlLkK'''.!_$  \t\n\r\n\r\v\f19",
  ...'\u0085\u00a0\u00ad\u00b2\u00df\u00e9\u017f\u0130\u0131\u0149\u02bc\u0301\u0345\u0660\u06dd\u0966\u1680\u1e9e',
  ...'\u200b\u200d\u2028\u2029\u2019\u2167\u212a\u2160\u24b6\u3000\u3007\u4e00\uac00\ufb05\ufe0f\ufeff\ufffd\uffff\0',
  ...'\u{10ffff}\u{11de1}\u{16ff4}\u{1d7d8}\u{1f468}\u{1f3fd}\u{20000}\u{e0001}',
  '\ud800',
  '\udc00',
];

/** Lehmer's generator: the same texts in each run. */
function* randomTexts(count: number): Generator<string> {
  let seed = 20240418;
  const below = (n: number): number => {
    seed = (seed * 48271) % 2147483647;
    return seed % n;
  };
  for (let i = 0; i < count; i++) {
    // Few kinds of characters in a text let their runs meet in every way.
    const few = Array.from({ length: 1 + below(6) }, () => characters[below(characters.length)]!);
    yield Array.from({ length: below(24) }, () => few[below(few.length)]).join('');
  }
}

for (const [name, { definition, parts }] of Object.entries(families)) {
  const { wordEnd } = wordScannerOf(partOf(definition))!;
  const split = preTokenizerOf(parts, refuse);
  const isSame = (text: string): boolean => {
    const expected = split([{ text, initial: 0 }]).map((piece) => piece.text);
    return wordsOf(text, wordEnd).join('\0|') === expected.join('\0|');
  };

  t.test(`${name}: 20,000 random texts fall into the same words`, async (t) => {
    const wrong = [...randomTexts(20_000)].filter((text) => !isSame(text));
    t.strictSame(wrong.slice(0, 5), []);
  });

  t.test(`${name}: every character falls into the same words`, async (t) => {
    const wrong: string[] = [];
    for (let block = 0; block < 0x110000; block += 0x1000) {
      // Planes 2 and 3 are ideographs, those above nearly empty or private, and their blocks alike.
      if (block >= 0x20000 && block % 0x10000 !== 0) continue;
      const all = Array.from({ length: 0x1000 }, (_, i) => String.fromCodePoint(block + i));
      if (!isSame(all.map((c) => `a${c}b1${c}2!${c} ${c}\t${c}'${c}s \n${c}`).join('')))
        wrong.push(`U+${block.toString(16)}`);
    }
    t.strictSame(wrong, [], 'blocks that differ');
  });

  t.test(`${name}: ids are those of the general pipeline`, async (t) => {
    const modelIds = new Map(Object.entries(definition.model.vocab as Record<string, number>));
    const general = generalPipeline(definition, modelIds, name);
    const tokenizer = createTokenizer(definition, name);
    t.equal(tokenizer.kind, 'bpe');
    const tokens = (definition.added_tokens ?? []).map(({ content }) => content);
    const wrong = [...texts, ...randomTexts(3_000)].filter((text, i) => {
      const marked = i % 3 === 0 ? `${text}${tokens[i % tokens.length]} ${text}` : text;
      const out = new IdBuffer();
      general.encode(marked, out);
      const expected = out.view().join();
      const placed = tokenizer.encodeWithOffsets(marked);
      return tokenizer.encode(marked).join() !== expected || placed.ids.join() !== expected;
    });
    t.strictSame(wrong.slice(0, 5), []);
  });
}

t.test('a pre-tokenizer has a scanner when it is one of those known, however it is written down', async (t) => {
  const llama = partOf(families['Llama 3']!.definition);
  const [split, bytes] = llama['pretokenizers'] as [Part, Part];
  const has = (part: Part): boolean => wordScannerOf(part) !== undefined;
  t.ok(has(series({ behavior: 'Isolated', pattern: split['pattern'], type: 'Split' }, bytes)), 'order, usual values');
  t.ok(has(series(split, { ...bytes, trim_offsets: false })));
  t.notOk(has(series({ ...split, behavior: 'Removed' }, bytes)));
  t.notOk(has(series({ ...split, invert: true }, bytes)));
  t.notOk(has(series({ ...split, pattern: { Regex: '\\s+' } }, bytes)));
  t.notOk(has(series(split, { ...bytes, add_prefix_space: true })));
  t.notOk(has(series(split, { ...bytes, use_regex: true })));
  t.notOk(has(series(split, { ...bytes, more: 1 })));
  t.notOk(has(series(split)));
  t.notOk(has(series()));
  t.notOk(has(series(null as unknown as Part)));
  const gpt = { type: 'ByteLevel' };
  t.equal(wordScannerOf(gpt)?.addsBlank, true, 'the usual value');
  t.equal(wordScannerOf(series(gpt))?.addsBlank, true);
  t.equal(wordScannerOf({ ...gpt, add_prefix_space: false })?.addsBlank, false);
});

t.test('a vocabulary that lacks bytes runs part by part, as in Python', async (t) => {
  const definition = families['SmolLM']!.definition;
  const { '!': _, ...vocab } = definition.model.vocab as Record<string, number>;
  const merges = definition.model.merges!.filter((merge) => !JSON.stringify(merge).includes('!'));
  const tokenizer = createTokenizer({ ...definition, model: { ...definition.model, vocab, merges } });
  t.equal(tokenizer.kind, 'other');
  t.strictSame(tokenizer.encode('he!'), tokenizer.encode('he'));
});

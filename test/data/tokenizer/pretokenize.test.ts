/**
 * Every assigned code point of Unicode, in several contexts, is split as Python's tokenizers splits it. Python's answers are kept
 * as a digest for each 4,096 code points; with APOLLO_PYTHON they are asked for again (with APOLLO_UPDATE=1, kept).
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { bertSplitter, blankSeparated, uncased } from '../../../lib/data/tokenizer/pretokenize.js';
import { gptWordEnd, wordsOf } from '../../../lib/data/tokenizer/word-scanners.js';
import { fixture } from '../support.js';

const path = fixture('tokenizers/unicode.json');
type Digests = { bert: string[]; gpt2: string[] };
const golden = JSON.parse(readFileSync(path, 'utf8')) as Digests;

const lower = bertSplitter(uncased);
const cased = bertSplitter({ ...uncased, lowercase: false, stripAccents: false });
const words = (splitter: typeof lower, text: string): string[] =>
  blankSeparated(text).flatMap((chunk) => splitter.words(chunk));
const splitters: Record<keyof Digests, (characters: string[]) => string[]> = {
  bert: (characters) => [
    ...words(lower, characters.map((c) => `a${c}b 1${c}! ${c}`).join('\n')),
    ...words(cased, characters.map((c) => `A${c}e`).join('\n')),
  ],
  gpt2: (characters) => wordsOf(characters.map((c) => `a${c}b1${c}2!${c} ${c}\t${c}'${c}s's`).join('\n'), gptWordEnd),
};

for (const [name, split] of Object.entries(splitters) as [keyof Digests, (characters: string[]) => string[]][]) {
  t.test(`${name}: every code point is split as in Python`, async (t) => {
    const wrong: string[] = [];
    for (let block = 0; block < 0x110000; block += 4096) {
      // Planes 4 to 13 are empty and 15 and 16 private, every block of them alike: one of eight will do.
      if (block >= 0x40000 && block >> 16 !== 0xe && block % 0x8000 !== 0) continue;
      const codes = Array.from({ length: 4096 }, (_, i) => block + i).filter((code) => code < 0xd800 || code > 0xdfff);
      const found = split(codes.map((code) => String.fromCodePoint(code))).join('|');
      const digest = createHash('sha256').update(found).digest('hex').slice(0, 8);
      if (digest !== golden[name][block / 4096]) wrong.push(`U+${block.toString(16)}`);
    }
    t.strictSame(wrong, [], 'blocks that differ');
    t.equal(golden[name].length, 272);
  });
}

t.test('places follow the original through all that normalising does', async (t) => {
  const chunk = 'Ee\u0301\u0000ﬁ中İ!';
  const found = lower.placedWords(chunk);
  t.strictSame(
    found.map(({ word, starts, ends }) => [word, chunk.slice(starts[0], ends.at(-1))]),
    [
      ['eeﬁ', 'Ee\u0301\u0000ﬁ'],
      ['中', '中'],
      ['i', 'İ'],
      ['!', '!'],
    ],
  );
  t.strictSame(
    found.map(({ word }) => word),
    lower.words(chunk),
  );
});

t.test("GPT-2's words, joined, are the text again", async (t) => {
  const text = 'It\'s  10 km,\n\n\tno? \u00a0\u0085 "x" \ud800 end ';
  t.equal(wordsOf(text, gptWordEnd).join(''), text);
});

const python = process.env['APOLLO_PYTHON'];
t.test("Python's answers are those that are kept", { skip: python ? false : 'needs APOLLO_PYTHON' }, async (t) => {
  const script = fileURLToPath(new URL('../unicode_answers.py', import.meta.url));
  const { stdout, stderr, status } = spawnSync(python!, [script], { encoding: 'utf8' });
  t.equal(status, 0, stderr);
  if (process.env['APOLLO_UPDATE'] === '1') writeFileSync(path, stdout);
  else t.strictSame(JSON.parse(stdout), golden);
});

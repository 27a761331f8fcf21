/**
 * Classes of a tokenizer's regular expression hold the characters that they hold in Python's `tokenizers`, over all of
 * Unicode. Digests of Python's answers are kept in fixtures/tokenizers/class-answers.json; with APOLLO_PYTHON they are
 * asked for again (and with APOLLO_UPDATE=1, kept).
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { regexPattern } from '../../../lib/data/tokenizer/regular-expression.js';
import { fixture } from '../support.js';

interface Answers {
  readonly tokenizers: string;
  readonly patterns: Readonly<Record<string, string>>;
}

const posix = 'alpha alnum digit space upper lower punct cntrl xdigit blank word graph print'.split(' ');
const properties = (
  'Alpha Alnum Digit Space Upper Lower Punct Cntrl XDigit Blank Word Graph Print Any L Lu Ll Lt Lm Lo M Mn Mc Me N Nd Nl ' +
  'No P Pc Pd Ps Pe Pi Pf Po S Sm Sc Sk So Z Zs Zl Zp C Cc Cf Co Cn Letter Mark Number Punctuation Symbol Separator ' +
  'Other Alphabetic Uppercase Lowercase White_Space Emoji Ideographic ' +
  'Latin Greek Cyrillic Han Hiragana Katakana Hangul Arabic Hebrew Thai Devanagari Common Inherited'
).split(' ');
const escapes = [...'wWdDsShH'];
const twoWays = (inside: string) => [`[${inside}]`, `[^${inside}]`];
const patterns = [
  ...posix.flatMap((name) => [`[[:${name}:]]`, `[^[:${name}:]]`, `[[:^${name}:]]`]),
  ...properties.flatMap((name) => [`\\p{${name}}`, `[^\\p{${name}}]`]),
  ...['Word', 'Punct', 'Lower'].flatMap((name) => [
    ...[`\\P{${name}}`, `\\p{^${name}}`, `\\P{^${name}}`],
    ...[`\\P{${name}}`, `\\p{^${name}}`].flatMap(twoWays),
  ]),
  ...escapes.flatMap((letter) => [`\\${letter}`, ...twoWays(`\\${letter}`), ...twoWays(`\\${letter}&&[^a]`)]),
  ...['\\w\\s', '\\W\\d', '\\w&&[^\\d]', '[^\\w]', '\\w²'].flatMap(twoWays),
  ...['(?m)\\b.', '(?m).\\B', '(?m)(?=\\w).', '(?m)(?![\\w]).'],
  // Without regard to case: a class takes in the other cases of what it holds, \p{…} by itself does not.
  ...['\\w', '\\p{Lu}', '\\P{Ll}', '\\p{Word}', 'k', 's'].map((pattern) => `(?i)${pattern}`),
  ...[
    '\\w',
    '\\s',
    '\\p{Lu}',
    '\\P{Lu}',
    '\\p{L}',
    '\\p{Greek}',
    '\\p{M}',
    'a-k&&\\p{Lu}',
    '[^a]',
    'к-ю',
    '\\x{e0}-\\x{f6}',
  ].map((inside) => `(?i)[^${inside}]`),
  ...['\\W', '\\d', '\\s', '\\p{M}', '\\p{Nl}', '\\p{Cyrillic}&&\\p{Lu}', 'k-s', 'к-ю', '\\x{e0}-\\x{f6}'].map(
    (inside) => `(?i)[${inside}]`,
  ),
];

const ranges = [
  [0x0, 0xd800],
  [0xe000, 0x34000],
  [0xdfff0, 0xe0200],
  [0xefff0, 0xf0010],
  [0x10fff0, 0x110000],
] as const;
const codes = ranges.flatMap(([first, end]) => Array.from({ length: end - first }, (_, i) => first + i));
const texts: string[] = [];
for (let i = 0; i < codes.length; i += 512) texts.push(String.fromCodePoint(...codes.slice(i, i + 512)));

const refuse = (reason: string) => {
  throw new Error(reason);
};

function digestOf(source: string): string {
  const pattern = regexPattern(source, refuse);
  const matched = new Uint8Array(codes.length);
  let at = 0; // in code points
  for (const text of texts)
    for (const { start, end, isMatch } of pattern(text))
      for (let i = start; i < end; i += text.codePointAt(i)! > 0xffff ? 2 : 1) matched[at++] = Number(isMatch);
  return createHash('sha256').update(matched).digest('hex').slice(0, 16);
}

const path = fixture('tokenizers/class-answers.json');
const python = process.env['APOLLO_PYTHON'];

function askPython(): Answers {
  const script = fileURLToPath(new URL('./class_answers.py', import.meta.url));
  const { stdout, stderr, status } = spawnSync(python!, [script], {
    input: JSON.stringify(patterns),
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(stderr);
  return JSON.parse(stdout) as Answers;
}

t.test(`the characters of ${patterns.length} patterns are those of Python's tokenizers`, async (t) => {
  const asked = python === undefined ? undefined : askPython();
  if (asked && process.env['APOLLO_UPDATE'] === '1') writeFileSync(path, `${JSON.stringify(asked, null, 1)}\n`);
  const kept = JSON.parse(readFileSync(path, 'utf8')) as Answers;
  if (asked) t.strictSame(asked, kept, 'what is kept is what Python says');
  t.strictSame(Object.keys(kept.patterns), [...new Set(patterns)]);
  const wrong = Object.entries(kept.patterns).filter(([pattern, digest]) => digestOf(pattern) !== digest);
  t.strictSame(
    wrong.map(([pattern]) => pattern),
    [],
  );
});

t.test('a class that would match several characters without regard to case is refused by name', async (t) => {
  // Oniguruma lets (?i)[ß]x match "ssx".
  for (const source of ['(?i)[ß]', '(?i)[\\w]', '(?i:[\\p{Ll}])', '(?i)[[ﬁ]]'])
    t.throws(() => regexPattern(source, refuse), /has a class without regard to case that holds ".", /, source);
  t.strictSame(
    regexPattern('(?i)[^ß]', refuse)('aẞb').map(({ isMatch }) => isMatch),
    [true, false, true],
  );
});

t.test('a match of no characters is never inside of a pair of surrogates', async (t) => {
  const bounds = (source: string, text: string) => {
    const ends = regexPattern(source, refuse)(text).flatMap(({ start, end }) => [start, end]);
    return [...new Set(ends)];
  };
  for (const source of ['$', '^', '\\p{L}+|$', '\\A|\\z', '\\Z', '(?!.)', '(?<!.)'])
    t.strictSame(bounds(source, '👍👍'), [0, 4], source);
  for (const source of ['\\B', 'x*', '(?:)', '(?=.)|$', '(?<!a)', '(?!a)', '(?<=.)|^', '(?>a*)', 'a*+'])
    t.strictSame(bounds(source, '👍👍'), [0, 2, 4], source);
  t.strictSame(bounds('$', '👍\n👍'), [0, 2, 5]);
  t.strictSame(bounds('^', '👍\n👍'), [0, 3, 5]);
});

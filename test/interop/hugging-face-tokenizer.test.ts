/**
 * The files written for a tokenizer: that they read back here, and that Python's transformers loads them with equal
 * ids. What Python said of files with these digests is kept in fixtures/tokenizers/saved.json; with APOLLO_PYTHON it is
 * asked again (and with APOLLO_UPDATE=1, kept).
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { createTokenizer, loadTokenizer, type Tokenizer } from '../../lib/data/tokenizer/tokenizer.js';
import { bertDefinition } from '../../lib/data/tokenizer/tokenizer-files.js';
import { countWords, trainTokenizer } from '../../lib/data/tokenizer/train-tokenizer.js';
import { saveTokenizer, type TokenizerFile, tokenizerFiles } from '../../lib/interop/hugging-face-tokenizer.js';
import { bert, failure, fixture, gpt2 } from '../data/support.js';

const prose = readFileSync(fixture('text/sample_text.txt'), 'utf8');
const texts = [
  ...prose.split('\n').filter(Boolean).slice(0, 12),
  "It's [MASK] and [SEP]; they'll <|endoftext|>go.",
  'Ünïcode 文字 한국어 🙂 don’t\u00a0stop',
  '  two  blanks\n\nand\tlines ',
];

const trained = async (kind: 'bpe' | 'wordpiece'): Promise<Tokenizer> =>
  createTokenizer(await trainTokenizer(kind, countWords(kind, prose), { vocabSize: 600 }));
const cased = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', 'one', 'two', 'It', "'", 's', 'and', '##n', 'U', '##a'];
const bare = ['[UNK]', 'one', 'two', 'it', 'and'];
const vocabulary = (tokens: string[]) => Object.fromEntries(tokens.map((token, id) => [token, id]));

const cases: Record<string, () => Tokenizer | Promise<Tokenizer>> = {
  'bert-base-uncased': bert,
  gpt2,
  'trained bpe': () => trained('bpe'),
  'trained wordpiece': () => trained('wordpiece'),
  'cased wordpiece': () => createTokenizer(bertDefinition(vocabulary(cased), false)),
  'wordpiece without [CLS], [SEP] and [MASK]': () => createTokenizer(bertDefinition(vocabulary(bare))),
};

interface Loaded {
  class: string;
  size: number;
  special: Record<string, string>;
  ids: number[][];
  pair: number[];
  types: number[];
  max_length: number | null;
}
interface Golden {
  sha256: string;
  auto: Loaded;
  class: Loaded;
  'without tokenizer.json': Loaded;
}

const goldenPath = fixture('tokenizers/saved.json');
const golden = JSON.parse(readFileSync(goldenPath, 'utf8')) as Record<string, Golden>;
const digestOf = (files: TokenizerFile[]): string => createHash('sha256').update(JSON.stringify(files)).digest('hex');

for (const [name, make] of Object.entries(cases)) {
  t.test(`${name}: Python loads the files with equal ids`, async (t) => {
    const tokenizer = await make();
    const options = name === 'gpt2' ? { maxLength: 1024 } : {};
    const kept = golden[name]!;
    t.equal(digestOf(tokenizerFiles(tokenizer, options)), kept.sha256, 'the very files that Python was given');
    const expected = texts.map((text) => [...tokenizer.encode(text)]);
    for (const way of ['auto', 'class', 'without tokenizer.json'] as const) {
      const loaded = kept[way];
      t.strictSame(loaded.ids, expected, `ids, ${way}`);
      t.equal(loaded.size, tokenizer.vocabSize, `size, ${way}`);
      t.equal(loaded.max_length, name === 'gpt2' ? 1024 : null);
    }
    t.equal(kept.auto.class, tokenizer.kind === 'bpe' ? 'GPT2Tokenizer' : 'BertTokenizer');
  });

  t.test(`${name}: the files read back as the same tokenizer`, async (t) => {
    const tokenizer = await make();
    const folder = t.testdir({});
    await saveTokenizer(folder, tokenizer);
    t.strictSame(
      readdirSync(folder).sort(),
      tokenizerFiles(tokenizer)
        .map((file) => file.name)
        .sort(),
      'nothing else is left there',
    );
    const again = loadTokenizer(folder);
    t.strictSame(again.specials, tokenizer.specials);
    for (const text of texts) t.strictSame(again.encode(text), tokenizer.encode(text));
    t.strictSame(tokenizerFiles(again), tokenizerFiles(tokenizer), 'and write again as they were');
    if (tokenizer.kind !== 'wordpiece') return;
    const vocab = loadTokenizer(join(folder, 'vocab.txt'));
    for (const text of texts) t.strictSame(vocab.encode(text), tokenizer.encode(text), 'from vocab.txt alone');
  });
}

t.test('settings for truncation and padding are not written', async (t) => {
  const definition = { ...bert().definition, truncation: { max_length: 5 }, padding: { length: 9 } };
  const [file] = tokenizerFiles(createTokenizer(definition));
  const written = JSON.parse(file!.content) as Record<string, unknown>;
  t.equal(written['truncation'], null);
  t.equal(written['padding'], null);
});

t.test('a vocabulary with a line end in a token gets no vocab.txt', async (t) => {
  const tokenizer = createTokenizer(bertDefinition({ '[UNK]': 0, one: 1, 'two\nlines': 2 }));
  t.strictSame(
    tokenizerFiles(tokenizer).map((file) => file.name),
    ['tokenizer.json', 'tokenizer_config.json', 'special_tokens_map.json'],
  );
});

t.test('a folder that cannot be made says why', async (t) => {
  const folder = t.testdir({ file: 'x' });
  t.match(
    await failure(() => saveTokenizer(join(folder, 'file'), bert())),
    /^FILE_SYSTEM: The tokenizer cannot be written: .*file\/tokenizer\.json: .*\((EEXIST|ENOTDIR)\).*Name another folder/,
  );
});

const python = process.env['APOLLO_PYTHON'];
t.test("Python's answers are those that are kept", { skip: python ? false : 'needs APOLLO_PYTHON' }, async (t) => {
  const script = fileURLToPath(new URL('./load_tokenizer.py', import.meta.url));
  const found: Record<string, unknown> = {};
  for (const [name, make] of Object.entries(cases)) {
    const tokenizer = await make();
    const options = name === 'gpt2' ? { maxLength: 1024 } : {};
    const folder = join(t.testdir({}), 'saved');
    mkdirSync(folder);
    await saveTokenizer(folder, tokenizer, options);
    const { stdout, stderr, status } = spawnSync(
      python!,
      [script, folder, tokenizer.kind === 'bpe' ? 'GPT2TokenizerFast' : 'BertTokenizerFast'],
      { input: texts.map((text) => JSON.stringify(text)).join('\n'), encoding: 'utf8' },
    );
    t.equal(status, 0, stderr);
    const { versions, ...answers } = JSON.parse(stdout) as Omit<Golden, 'sha256'> & { versions: unknown };
    t.comment(name, versions);
    found[name] = { sha256: digestOf(tokenizerFiles(tokenizer, options)), ...answers };
  }
  if (process.env['APOLLO_UPDATE'] === '1') writeFileSync(goldenPath, `${JSON.stringify(found)}\n`);
  else t.strictSame(found, golden);
});

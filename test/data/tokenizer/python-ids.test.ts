/**
 * Small tokenizers of every layout and pipeline give the ids of Python's tokenizers 0.23 and transformers 5.18, which are
 * kept in fixtures/tokenizers/python-ids.json.gz.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import t from 'tap';
import { loadTokenizer } from '../../../lib/data/index.js';
import { failure, fixture } from '../support.js';

interface Golden {
  /** Content of each file by its path. */
  files: Record<string, string>;
  texts: string[];
  /** For each tokenizer (a file or a folder) the ids of texts, by the text's index. */
  ids: Record<string, Record<string, number[]>>;
}

const packed = readFileSync(fixture('tokenizers/python-ids.json.gz'));
const golden = JSON.parse(gunzipSync(packed).toString()) as Golden;

/** Vocabularies that Python loads and then fails on nearly every text with: none of their lines is the unknown token. */
const refused: Record<string, RegExp> = {
  'vocab-txt/cr': /no line of it is \[UNK\]\. .* end in \\r alone/,
  'vocab-txt/tab-count': /no line of it is \[UNK\]\. A vocabulary has one token a line/,
};

const folder = t.testdir({});
for (const [path, content] of Object.entries(golden.files)) {
  mkdirSync(join(folder, dirname(path)), { recursive: true });
  writeFileSync(join(folder, path), content);
}

for (const [path, expected] of Object.entries(golden.ids)) {
  t.test(`${path}: the ids are those of Python`, async (t) => {
    const message = refused[path];
    if (message !== undefined) {
      t.match(await failure(() => loadTokenizer(join(folder, path))), message);
      return;
    }
    const tokenizer = loadTokenizer(join(folder, path));
    for (const [index, ids] of Object.entries(expected)) {
      const text = golden.texts[Number(index)]!;
      t.strictSame([...tokenizer.encode(text)], ids, JSON.stringify(text));
    }
  });
}

/** Where a text ends, as the files next to a tokenizer say it, and who goes by it. */
import { cpSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { endOfTextFiles, loadTokenizer, prepareCorpus, type Tokenizer } from '../../../lib/data/index.js';
import { readTokens } from '../../../lib/eval/text/text-loss.js';

const published = join(import.meta.dirname, '../../fixtures/published/end-of-text');

/** The fixture's tokenizer.json alone, with these files next to it. */
function folderWith(t: Test, files: Record<string, object>): string {
  const folder = t.testdir();
  cpSync(join(published, 'tokenizer.json'), join(folder, 'tokenizer.json'));
  for (const [name, content] of Object.entries(files)) writeFileSync(join(folder, name), JSON.stringify(content));
  return folder;
}

t.test('the end of text is what the files beside a tokenizer name', async (t) => {
  t.equal(loadTokenizer(published).specials.eot, 257);
  t.equal(loadTokenizer(join(published, 'tokenizer.json')).specials.eot, 257, 'the file names the folder');
  const cases: readonly (readonly [Record<string, object>, number | undefined])[] = [
    [{}, undefined],
    [{ 'tokenizer_config.json': { eos_token: '<eos>' } }, 257],
    [{ 'tokenizer_config.json': { eos_token: { content: '<pad>', special: true } } }, 258],
    [{ 'special_tokens_map.json': { eos_token: { content: '<eos>' } } }, 257],
    [{ 'tokenizer_config.json': { eos_token: '<pad>' }, 'special_tokens_map.json': { eos_token: '<eos>' } }, 258],
    [{ 'config.json': { eos_token_id: 257 } }, 257],
    [{ 'generation_config.json': { eos_token_id: [258, 257] }, 'config.json': { eos_token_id: 257 } }, 258],
    [{ 'tokenizer_config.json': { eos_token: '<eos>' }, 'config.json': { eos_token_id: 258 } }, 257],
    [{ 'tokenizer_config.json': { eos_token: '</none>' } }, 259],
    [{ 'config.json': { eos_token_id: 50256 } }, undefined],
    [{ 'config.json': { eos_token_id: null } }, undefined],
  ];
  for (const [files, expected] of cases) {
    const { specials, specialIds } = loadTokenizer(folderWith(t, files));
    t.equal(specials.eot, expected, JSON.stringify(files));
    if (expected !== undefined) t.ok(specialIds.includes(expected));
  }
});

t.test('a file beside a tokenizer that is damaged is named', async (t) => {
  for (const name of ['generation_config.json', 'special_tokens_map.json']) {
    const folder = folderWith(t, {});
    writeFileSync(join(folder, name), '{"eos_token_id": 258');
    t.throws(() => loadTokenizer(folder), {
      code: 'BAD_TOKENIZER',
      message: new RegExp(`${name.replace('.', '\\.')} is not JSON: `),
    });
  }
});

t.test('a token that only the class names is left out where the model has no row for it', async (t) => {
  const withRows = (vocab_size: number, files: Record<string, object> = {}) =>
    loadTokenizer(folderWith(t, { 'config.json': { model_type: 'gpt2', vocab_size }, ...files }));
  const { vocabSize, specials } = withRows(259);
  t.equal(vocabSize, 259);
  t.equal(specials.eot, undefined, 'which loadModel and prepare then say');
  t.equal(withRows(260).specials.eot, 259, 'added, as transformers does');
  const named = withRows(259, { 'tokenizer_config.json': { eos_token: '<|endoftext|>' } });
  t.equal(named.vocabSize, 260, 'what a file names stays, and checkVocabulary refuses it');
  t.equal(withRows(259, { 'tokenizer_config.json': { eos_token: '<eos>' } }).specials.eot, 257);
});

t.test("BERT's ends come from its tokenizer alone", async (t) => {
  const vocab = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', 'a'].join('\n');
  const folder = t.testdir({ 'vocab.txt': vocab, 'config.json': '{"eos_token_id": 5}' });
  t.equal(loadTokenizer(folder).specials.eot, undefined);
});

t.test('documents are joined by it, and without one there is a warning', async (t) => {
  const texts = t.testdir({ 'a.txt': 'he said he', 'b.txt': 'he said', 'c.txt': 'said he' });
  const inputs = ['a', 'b', 'c'].map((name) => join(texts, `${name}.txt`));
  const ends = (ids: ArrayLike<number>) => Array.from(ids).filter((id) => id === 257).length;
  const prepared = async (path: string, separator?: 'none') => {
    const corpus = await prepareCorpus({
      inputs,
      tokenizer: { path },
      cacheDir: join(texts, 'cache'),
      heldOut: 0,
      ...(separator && { separator }),
    });
    const ids = corpus.train.read(0, corpus.stats.tokens);
    corpus.close();
    return { ends: ends(ids), warnings: corpus.warnings };
  };
  t.same(await prepared(published), { ends: 3, warnings: [] });
  t.equal(ends((await readTokens(inputs, loadTokenizer(published))).ids), 3);
  const bare = join(texts, 'bare');
  cpSync(published, bare, { recursive: true });
  for (const name of ['tokenizer_config.json', 'special_tokens_map.json']) rmSync(join(bare, name));
  const without = await prepared(bare);
  t.equal(without.ends, 0);
  t.match(without.warnings, [/joined without a separator: the tokenizer names no end of text/]);
  t.same((await prepared(bare, 'none')).warnings, [], 'where it is asked for it is no surprise');
  t.match((await readTokens(inputs, loadTokenizer(bare))).warnings, [/3 documents are joined without a separator/]);
});

t.test('documents start with the token that the tokenizer puts before every text, as prompts do', async (t) => {
  const folder = folderWith(t, { 'tokenizer_config.json': { eos_token: '<eos>' } });
  const definition = JSON.parse(readFileSync(join(folder, 'tokenizer.json'), 'utf8')) as Record<string, unknown>;
  const template = (single: object[]) => ({
    type: 'TemplateProcessing',
    single,
    pair: [...single, { Sequence: { id: 'B', type_id: 0 } }],
    special_tokens: { '<pad>': { id: '<pad>', ids: [258], tokens: ['<pad>'] } },
  });
  const [mark, text] = [{ SpecialToken: { id: '<pad>', type_id: 0 } }, { Sequence: { id: 'A', type_id: 0 } }];
  const withTemplate = (single: object[]) => {
    writeFileSync(join(folder, 'tokenizer.json'), JSON.stringify({ ...definition, post_processor: template(single) }));
    return loadTokenizer(folder);
  };
  const texts = { 'a.txt': 'he said he', 'b.txt': 'he said' };
  for (const [name, text] of Object.entries(texts)) writeFileSync(join(folder, name), text);
  const inputs = Object.keys(texts).map((name) => join(folder, name));
  const read = async (separator: 'auto' | 'none') => {
    const options = { inputs, tokenizer: { path: folder }, cacheDir: join(folder, 'cache'), heldOut: 0, separator };
    const corpus = await prepareCorpus(options);
    const ids = [...corpus.train.read(0, corpus.stats.tokens)];
    corpus.close();
    return ids;
  };
  const bare = withTemplate([text]);
  const [a, b] = ['he said he', 'he said'].map((document) => [...bare.encode(document)]) as [number[], number[]];
  t.same(await read('auto'), [...a, 257, ...b, 257]);
  const opened = withTemplate([mark, text]);
  t.same(await read('auto'), [258, ...a, 257, 258, ...b, 257]);
  t.same(await read('none'), [...a, ...b]);
  t.same([...(await readTokens(inputs, opened)).ids], [258, ...a, 257, 258, ...b, 257]);
  const closed = withTemplate([mark, text, mark]);
  t.same(await read('auto'), [...a, 257, ...b, 257], 'a frame around a row is not the end of a document');
  t.same([...(await readTokens(inputs, closed)).ids], [...a, 257, ...b, 257]);
});

t.test('a run keeps it in its tokenizer.json, or beside it', async (t) => {
  const kept = (tokenizer: Tokenizer) => {
    const needed = endOfTextFiles(tokenizer).flatMap(({ name, content }) =>
      content ? [[name, content] as const] : [],
    );
    const files = Object.fromEntries(needed);
    const folder = t.testdir({ 'tokenizer.json': JSON.stringify(tokenizer.definition), ...files });
    return { names: Object.keys(files), tokenizer: loadTokenizer(join(folder, 'tokenizer.json')) };
  };
  const roles = { mask_token: '<M>', cls_token: '<C>', sep_token: '<S>', pad_token: '<pad>' };
  const inside = loadTokenizer(folderWith(t, { 'tokenizer_config.json': { ...roles, eos_token: '<eos>' } }));
  t.match(inside.specials, { mask: Number, cls: Number, sep: Number, pad: 258, eot: 257 });
  const first = kept(inside);
  t.same(first.names, [], 'the roles in the definition name it');
  t.same([first.tokenizer.specials, first.tokenizer.digest], [inside.specials, inside.digest], 'with all other roles');

  const beside = loadTokenizer(folderWith(t, { 'config.json': { eos_token_id: 257 } }));
  t.equal(kept(beside).tokenizer.specials.eot, 257);
  const both = loadTokenizer(folderWith(t, { 'tokenizer_config.json': roles, 'config.json': { eos_token_id: 257 } }));
  t.same(kept(both).tokenizer.specials, both.specials, 'a file beside it leaves the other roles');
  const gpt = loadTokenizer(join(import.meta.dirname, '../../fixtures/tokenizers/gpt2/tokenizer.json.gz'));
  t.same(kept(gpt).names, [], '<|endoftext|> is known by its name');

  const several = loadTokenizer(folderWith(t, { 'generation_config.json': { eos_token_id: [258, 257, 3] } }));
  t.same(several.endIds, [258, 257, 3]);
  t.equal(several.specials.eot, 258);
  t.same(kept(several).names, ['special_tokens_map.json', 'generation_config.json']);
  t.same(kept(several).tokenizer.endIds, [258, 257, 3], 'all ends, in their order');
});

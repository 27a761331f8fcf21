/**
 * Files next to a vocabulary decide its ids. The expected ids were given by transformers 5.18 (AutoTokenizer) for
 * the same files.
 */
import { join } from 'node:path';
import t from 'tap';
import { loadTokenizer } from '../../../lib/data/index.js';
import { byteCharacters } from '../../../lib/data/tokenizer/pretokenize.js';
import { saveTokenizer } from '../../../lib/interop/hugging-face-tokenizer.js';
import { failure } from '../support.js';

const words = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', 'he', 'said', '##s', 'a', 'b', '<', 'x', '>'];
const token = (content: string, more: object = {}) => ({
  content,
  single_word: false,
  lstrip: false,
  rstrip: false,
  normalized: false,
  special: true,
  ...more,
});

const typed = (content: string, flags: object) => ({ __type: 'AddedToken', content, ...flags });

interface Case {
  readonly about: string;
  readonly config?: object;
  readonly map?: object;
  readonly added?: object;
  readonly lines?: readonly string[];
  readonly text: string;
  readonly ids: readonly number[];
}

const cases: readonly Case[] = [
  { about: 'no settings', text: 'he <x> said', ids: [5, 10, 11, 12, 6] },
  {
    about: 'additional_special_tokens in special_tokens_map.json',
    map: { additional_special_tokens: ['<x>'] },
    text: 'he <x> said',
    ids: [5, 13, 6],
  },
  {
    about: 'additional_special_tokens in tokenizer_config.json',
    config: { additional_special_tokens: ['<x>'] },
    text: 'he <x> said',
    ids: [5, 13, 6],
  },
  { about: 'a token of another name', config: { e_token: '<x>' }, text: 'he <x> said', ids: [5, 13, 6] },
  {
    about: 'a special token as an object',
    config: { mask_token: { __type: 'AddedToken', ...token('<x>', { lstrip: true }) } },
    text: 'he <x> said',
    ids: [5, 13, 6],
  },
  {
    about: 'a special token that is normalised',
    map: { mask_token: token('<x>', { lstrip: true, normalized: true }) },
    text: 'he <X> said',
    ids: [5, 13, 6],
  },
  { about: 'no mask token', config: { mask_token: null }, text: 'he [MASK]', ids: [5, 1, 1, 1] },
  { about: 'split_special_tokens', config: { split_special_tokens: true }, text: 'he [MASK]', ids: [5, 1, 1, 1] },
  {
    about: 'added_tokens_decoder, beside which special_tokens_map.json does not count',
    config: { mask_token: '<x>', added_tokens_decoder: { 4: { content: '[MASK]', special: true } } },
    map: { mask_token: '<y>' },
    text: 'he [MASK] <x> <y>',
    ids: [5, 4, 13, 10, 1, 12],
  },
  { about: 'added_tokens.json, numbered on', added: { '<x>': 20, '<y>': 14 }, text: '<x><y>', ids: [14, 13] },
  { about: 'another unknown token', config: { unk_token: 'a' }, text: 'qq he', ids: [8, 5] },
  {
    about: 'one token in two roles: the flags are those of the later one, here a text',
    config: { cls_token: typed('<x>', { single_word: true, special: true }), mask_token: '<x>' },
    text: 'he<x>he',
    ids: [5, 13, 5],
  },
  {
    about: 'one token in two roles, the later one an object',
    config: { cls_token: '<x>', mask_token: typed('<x>', { single_word: true, special: true }) },
    text: 'he<x>he',
    ids: [5, 10, 11, 12, 5],
  },
  {
    about: 'one token in three roles: what was said before does not count again',
    config: { bos_token: '<x>', sep_token: typed('<x>', { single_word: true }), mask_token: '<x>' },
    text: 'he<x>he',
    ids: [5, 10, 11, 12, 5],
  },
  {
    about: 'an additional special token twice',
    config: { additional_special_tokens: ['<x>', typed('<x>', { single_word: true, normalized: true })] },
    text: 'he<x>he <X>',
    ids: [5, 10, 11, 12, 5, 13],
  },
  {
    about: 'split_special_tokens, beside which an additional token that is not special stays whole',
    config: { split_special_tokens: true, additional_special_tokens: [typed('<x>', { special: false })] },
    text: 'he <x> [MASK]',
    ids: [5, 13, 1, 1, 1],
  },
  {
    about: 'split_special_tokens, and a token that was special before it was not',
    config: { split_special_tokens: true, additional_special_tokens: ['<x>', typed('<x>', { special: false })] },
    text: 'he <x>',
    ids: [5, 10, 11, 12],
  },
  {
    about: "a role of the model's own, numbered before additional special tokens",
    config: { additional_special_tokens: ['<x>'], e_token: '<y>' },
    text: '<x><y>',
    ids: [14, 13],
  },
  {
    about: "a role of the model's own as an object",
    config: { image_token: typed('<x>', { single_word: true }) },
    text: 'he <x> he<x>',
    ids: [5, 13, 5, 10, 11, 12],
  },
  {
    about: 'added_tokens.json, which an object in a role does not make special',
    config: { eos_token: typed('<x>', { normalized: false }) },
    added: { '<x>': 13 },
    text: 'he <X> <x>',
    ids: [5, 13, 13],
  },
  {
    about: 'no extra_special_tokens, beside which the older name in special_tokens_map.json does not count',
    config: { extra_special_tokens: [] },
    map: { additional_special_tokens: ['<x>'] },
    text: 'he <x>',
    ids: [5, 10, 11, 12],
  },
  {
    about: 'a token twice in vocab.txt, and one that is added',
    lines: ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', 'he', 'a', 'he', 'b'],
    added: { '<x>': 9 },
    text: 'he a b <x>',
    ids: [7, 6, 8, 8],
  },
  {
    about: 'a blank line in vocab.txt',
    lines: ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', '', 'he'],
    text: 'he',
    ids: [6],
  },
];

for (const { about, config, map, added, lines = words, text, ids } of cases) {
  t.test(`${about}: read as transformers reads it, and written so that it reads back`, async (t) => {
    const folder = t.testdir({
      'vocab.txt': `${lines.join('\n')}\n`,
      'config.json': '{"model_type": "bert"}',
      ...(config && { 'tokenizer_config.json': JSON.stringify(config) }),
      ...(map && { 'special_tokens_map.json': JSON.stringify(map) }),
      ...(added && { 'added_tokens.json': JSON.stringify(added) }),
      saved: {},
    });
    const tokenizer = loadTokenizer(folder);
    t.strictSame([...tokenizer.encode(text)], ids);
    await saveTokenizer(join(folder, 'saved'), tokenizer);
    const again = loadTokenizer(join(folder, 'saved'));
    t.strictSame([...again.encode(text)], ids, 'saved');
    t.strictSame(again.specials, tokenizer.specials);
  });
}

t.test('classes of other families are refused by name where their files do not hold the pipeline', async (t) => {
  const vocabulary = `${words.join('\n')}\n`;
  for (const name of ['BertJapaneseTokenizer', 'RobertaTokenizer', 'PreTrainedTokenizerFast', 'MysteryTokenizer']) {
    const folder = t.testdir({
      'vocab.txt': vocabulary,
      'tokenizer_config.json': JSON.stringify({ tokenizer_class: name }),
    });
    const said = await failure(() => loadTokenizer(folder));
    t.match(said, new RegExp(`^BAD_TOKENIZER: .* of the class ${name.replace('Fast', '')}, whose way of splitting`));
  }
  const phobert = t.testdir({ 'vocab.txt': vocabulary, 'config.json': '{"model_type": "phobert"}' });
  t.match(await failure(() => loadTokenizer(phobert)), /of the class PhobertTokenizer/);
});

t.test('a setting of a wrong type says which', async (t) => {
  const folder = t.testdir({
    'vocab.txt': `${words.join('\n')}\n`,
    'tokenizer_config.json': '{"tokenizer_class": "BertTokenizer", "do_lower_case": "false"}',
  });
  t.match(await failure(() => loadTokenizer(folder)), /have "false" as do_lower_case, expected true or false/);
});

t.test('a RoBERTa tokenizer has its own special tokens, around texts too', async (t) => {
  const vocab = ['<s>', '<pad>', '</s>', '<unk>', ...byteCharacters, 'he', '\u0120he', '<mask>'];
  const folder = t.testdir({
    'vocab.json': JSON.stringify(Object.fromEntries(vocab.map((content, id) => [content, id]))),
    'merges.txt': '#version: 0.2\nh e\n\u0120 he\n',
    'tokenizer_config.json': '{"tokenizer_class": "RobertaTokenizer"}',
  });
  const tokenizer = loadTokenizer(folder);
  t.strictSame(tokenizer.specials, { mask: 262, pad: 1, cls: 0, sep: 2, unk: 3, eot: 2 });
  t.strictSame([...tokenizer.encode('he <mask> he')], [260, vocab.indexOf('\u0120'), 262, 261]);
  t.strictSame([...tokenizer.encodePair('he', 'he').ids], [0, 260, 2, 2, 260, 2]);
});

t.test('the mask of RoBERTa that is named twice has the flags of the later place', async (t) => {
  const vocab = ['<s>', '<pad>', '</s>', '<unk>', ...byteCharacters, '<mask>'];
  const tokenizer = (config: object) => {
    const folder = t.testdir({
      'vocab.json': JSON.stringify(Object.fromEntries(vocab.map((content, id) => [content, id]))),
      'merges.txt': '#version: 0.2\n',
      'tokenizer_config.json': JSON.stringify({ tokenizer_class: 'RobertaTokenizer', ...config }),
    });
    return loadTokenizer(folder);
  };
  const mask = (more: object) => typed('<mask>', { normalized: false, special: true, ...more });
  const single = tokenizer({ mask_token: '<mask>', extra_special_tokens: [mask({ single_word: true })] });
  t.strictSame([...single.encode('a<mask>')], [101, 64, 113, 101, 119, 111, 66]);
  t.strictSame([...single.encode('a <mask>')], [101, 36, 260]);
  const strips = tokenizer({ bos_token: '<mask>', mask_token: mask({ lstrip: true }) });
  t.strictSame([...strips.encode('a <mask>')], [101, 260]);
});

t.test('the end of text is the one that the settings name', async (t) => {
  const vocab = [...byteCharacters, '<eos>'];
  const folder = t.testdir({
    'vocab.json': JSON.stringify(Object.fromEntries(vocab.map((content, id) => [content, id]))),
    'merges.txt': '#version: 0.2\n',
    'tokenizer_config.json': '{"eos_token": "<eos>"}',
  });
  t.equal(loadTokenizer(folder).specials.eot, 256);
});

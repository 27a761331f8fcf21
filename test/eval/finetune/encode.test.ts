import t from 'tap';
import { createTokenizer } from '../../../lib/data/index.js';
import { longestFirst, withMarks } from '../../../lib/data/tokenizer/framing.js';
import { sequenceEncoder } from '../../../lib/eval/finetune/encode.js';
import { tinyConfig, tinyTokenizer } from '../support.js';

t.test('BERT: [CLS] a [SEP] b [SEP] with types; GPT: the end-of-text token in all three places', async (t) => {
  const bert = await tinyTokenizer('bert');
  const { cls, sep } = bert.specials;
  const encoder = sequenceEncoder(bert, tinyConfig('bert', bert.vocabSize), 48);
  const [a, b] = [[...bert.encode('a warm film')], [...bert.encode('it sings')]];
  t.same(encoder.encode('a warm film'), { tokens: [cls, ...a, sep], types: new Array(a.length + 2).fill(0) });
  t.same(encoder.encode('a warm film', 'it sings'), {
    tokens: [cls, ...a, sep, ...b, sep],
    types: [...new Array(a.length + 2).fill(0), ...new Array(b.length + 1).fill(1)],
  });
  t.equal(encoder.padId, bert.specials.pad);

  const gpt = await tinyTokenizer('gpt');
  const { eot } = gpt.specials;
  const pair = sequenceEncoder(gpt, tinyConfig('gpt', gpt.vocabSize), 48).encode('a film', 'it sings');
  t.same(pair.tokens, [eot, ...gpt.encode('a film'), eot, ...gpt.encode('it sings'), eot]);
  t.same(new Set(pair.types), new Set([0]));
});

t.test("the tokenizer's frame: GPT-2's tokenizer adds nothing, Llama's a begin of text", async (t) => {
  const gpt = await tinyTokenizer('gpt');
  const { eot } = gpt.specials;
  const [a, b] = [[...gpt.encode('a warm film')], [...gpt.encode('it sings')]];
  const encoder = sequenceEncoder(gpt, tinyConfig('gpt', gpt.vocabSize), 8, 'tokenizer');
  t.same(encoder.encode('it sings'), { tokens: b, types: b.map(() => 0) });
  t.same(encoder.join(a.slice(0, 2), b.slice(0, 2)).tokens, [...a.slice(0, 2), ...b.slice(0, 2)]);
  const long = 'the actors shine and the actors drown and it drags and it limps';
  t.same(encoder.encode(long).tokens, [...gpt.encode(long)].slice(0, 8));
  t.same(encoder.encode('').tokens, [encoder.padId], 'there is a state to read');
  t.throws(() => encoder.join(new Array(20).fill(7)), { code: 'BAD_ARGUMENT', message: /20 tokens.*at most 8/ });

  // As Llama 3's tokenizer.json has it: <bos> a <bos> b.
  const begin = { SpecialToken: { id: '<|endoftext|>', type_id: 0 } };
  const text = (id: string, type_id: number) => ({ Sequence: { id, type_id } });
  const template = {
    type: 'TemplateProcessing',
    single: [begin, text('A', 0)],
    pair: [begin, text('A', 0), begin, text('B', 1)],
    special_tokens: { '<|endoftext|>': { id: '<|endoftext|>', ids: [eot], tokens: ['<|endoftext|>'] } },
  };
  const llama = createTokenizer({ ...gpt.definition, post_processor: template });
  const pair = sequenceEncoder(llama, tinyConfig('llama', llama.vocabSize), 48, 'tokenizer');
  const tokens = [eot, ...a, eot, ...b];
  t.same(pair.encode('a warm film', 'it sings'), { tokens, types: tokens.map(() => 0) });
});

t.test('marks of fine-tuning take the place of a frame that a tokenizer has', async (t) => {
  const gpt = await tinyTokenizer('gpt');
  const { eot } = gpt.specials;
  const bytes = { type: 'ByteLevel', trim_offsets: true };
  const once = withMarks({ ...gpt.definition, post_processor: bytes }, '<|endoftext|>', eot!);
  t.match(once.post_processor, { type: 'Sequence', processors: [bytes, { type: 'TemplateProcessing' }] });
  t.same(withMarks(once, '<|endoftext|>', eot!), once);
  const marked = createTokenizer(once);
  const [own, theirs] = [gpt, marked].map((tokenizer, index) =>
    sequenceEncoder(tokenizer, tinyConfig('gpt', 320), 12, index === 0 ? 'fine-tuning' : 'tokenizer'),
  );
  const long = 'the actors drown and it limps and it drags';
  for (const [a, b] of [['a film'], ['a film', 'it sings'], [long], [long, 'it']] as const) {
    t.same(theirs!.encode(a, b), own!.encode(a, b), `${a}, ${b}`);
  }
});

t.test('long texts lose their end, the longer one first', async (t) => {
  // Python's tokenizers with truncation longest_first keep as much of texts of these lengths in this room.
  t.same(longestFirst(3, 4, 10), [3, 4]);
  t.same(longestFirst(2, 20, 10), [2, 8]);
  t.same(longestFirst(20, 2, 10), [8, 2]);
  t.same(longestFirst(9, 30, 10), [5, 5]);
  t.same(longestFirst(30, 9, 11), [6, 5]);
  t.same(longestFirst(9, 9, 11), [5, 6]);
  const bert = await tinyTokenizer('bert');
  const encoder = sequenceEncoder(bert, tinyConfig('bert', bert.vocabSize), 12);
  const long = 'the actors shine and the actors drown and it drags and it limps';
  t.equal(encoder.encode(long).tokens.length, 12);
  t.equal(encoder.encode(long).tokens.at(-1), bert.specials.sep);
  t.equal(encoder.encode(long, long).tokens.length, 12);
  t.throws(() => encoder.join(new Array(20).fill(7)), { code: 'BAD_ARGUMENT', message: /22 tokens.*at most 12/ });
});

t.test('a length beyond the positions, or a tokenizer without the special tokens, is refused', async (t) => {
  const [bert, gpt] = [await tinyTokenizer('bert'), await tinyTokenizer('gpt')];
  t.throws(() => sequenceEncoder(bert, tinyConfig('bert', 160), 49), {
    code: 'BAD_CONFIG',
    message: /max-length must be a whole number from 8 to the model's 48 positions; got 49/,
  });
  t.throws(() => sequenceEncoder(gpt, tinyConfig('bert', 400), 48), {
    code: 'BAD_TOKENIZER',
    message: /BERT model needs a tokenizer with \[CLS\]/,
  });
  t.throws(() => sequenceEncoder(bert, tinyConfig('gpt', 400), 48), {
    code: 'BAD_TOKENIZER',
    message: /GPT model needs a tokenizer with <\|endoftext\|>/,
  });
});

import t from 'tap';
import { arraySource, type Corpus, mlmCapacity } from '../../lib/data/index.js';
import { trainingCorpus } from '../../lib/train/text-corpus.js';

const specials = { mask: 4, pad: 0, cls: 2, sep: 3, unk: 1, eot: undefined };

function corpusOf(tokens: number, heldOut: number, roles: Partial<typeof specials> = specials) {
  const ids = Array.from({ length: tokens + heldOut }, (_, index) => 5 + (index % 45));
  return {
    train: arraySource(ids.slice(0, tokens), 50),
    heldOut: arraySource(ids.slice(tokens), 50),
    key: 'abc',
    tokenizer: { specials: { ...specials, ...roles }, specialIds: [0, 1, 2, 3, 4], vocabSize: 50 },
  } as unknown as Corpus;
}

t.test('GPT: a step has the same rows however it is cut into micro-batches', async (t) => {
  const corpus = corpusOf(4000, 400);
  const whole = trainingCorpus(corpus, { kind: 'gpt' });
  const cut = trainingCorpus(corpus, { kind: 'gpt', accumulation: 2 });
  const all = (await whole.batch({ batch: 8, seq: 16, seed: 3, step: 5, micro: 0 }))['tokens']!;
  const halves = await Promise.all(
    [0, 1].map(async (micro) => [...(await cut.batch({ batch: 4, seq: 16, seed: 3, step: 5, micro }))['tokens']!]),
  );
  t.same(halves.flat(), [...all]);
  t.same(whole.shape(8, 16), { batch: 8, seq: 16, padding: false });
  t.equal(whole.key, 'abc');
});

t.test('held-out batches are limited, spread and always the same', async (t) => {
  const corpus = corpusOf(4000, 1600);
  const few = trainingCorpus(corpus, { kind: 'gpt', heldOutBatches: 3 });
  t.equal(few.heldOutCount(4, 16), 3);
  t.equal(trainingCorpus(corpus, { kind: 'gpt' }).heldOutCount(4, 16), 25);
  const first = await few.heldOut({ batch: 4, seq: 16, index: 2 });
  t.same(await few.heldOut({ batch: 4, seq: 16, index: 2 }), first);
  // The last of three reaches into the last third of the held-out text.
  t.ok(first['tokens']!.length === 64);
});

t.test('BERT: rows from [CLS] to [SEP] with room for the masks', async (t) => {
  const corpus = trainingCorpus(corpusOf(4000, 400), { kind: 'bert' });
  t.same(corpus.shape(4, 16), { batch: 4, seq: 16, targets: mlmCapacity(64), padding: false });
  const { tokens, positions, labels } = await corpus.batch({ batch: 4, seq: 16, seed: 1, step: 0, micro: 0 });
  t.equal(positions!.length, mlmCapacity(64));
  t.equal(labels!.length, mlmCapacity(64));
  for (let row = 0; row < 4; row++) t.same([tokens![row * 16], tokens![row * 16 + 15]], [2, 3]);
  t.ok(corpus.heldOutCount(4, 16) > 0);
  t.equal((await corpus.heldOut({ batch: 4, seq: 16, index: 0 }))['tokens']!.length, 64);
});

t.test('BERT needs a tokenizer with a mask token', async (t) => {
  const corpus = corpusOf(400, 100, { mask: undefined as unknown as number });
  t.throws(() => trainingCorpus(corpus, { kind: 'bert' }), { code: 'BAD_TOKENIZER', message: /mask/ });
});

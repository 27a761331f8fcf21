import t from 'tap';
import { arraySource, type Corpus, mlmCapacity } from '../../lib/data/index.js';
import { openDevice } from '../../lib/engine/index.js';
import type { TrainingCorpus } from '../../lib/train/index.js';
import { trainingCorpus } from '../../lib/train/text-corpus.js';
import { countingCorpus, runTiny, tinyModel } from './tiny.js';

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
  const batches = trainingCorpus(corpus);
  const step = { seq: 16, objective: 'causal', seed: 3, step: 5 } as const;
  const all = (await batches.batch({ ...step, batch: 8, micro: 0, accumulation: 1 }))['tokens']!;
  const halves = await Promise.all(
    [0, 1].map(async (micro) => [...(await batches.batch({ ...step, batch: 4, micro, accumulation: 2 }))['tokens']!]),
  );
  t.same(halves.flat(), [...all]);
  t.same(batches.shape({ batch: 8, seq: 16, objective: 'causal' }), { batch: 8, seq: 16, padding: false });
  t.equal(batches.key, 'abc');
});

t.test('held-out batches are limited, spread and always the same', async (t) => {
  const corpus = corpusOf(4000, 1600);
  const few = trainingCorpus(corpus, { evaluationBatches: 3 });
  const size = { batch: 4, seq: 16, objective: 'causal' } as const;
  t.equal(few.heldOutCount(size), 3);
  t.equal(trainingCorpus(corpus).heldOutCount(size), 25);
  const first = await few.heldOut({ ...size, index: 2 });
  t.same(await few.heldOut({ ...size, index: 2 }), first);
  // The last of three reaches into the last third of the held-out text.
  t.ok(first['tokens']!.length === 64);
});

t.test('an evaluation of fewer batches than there are takes them from the whole held-out text', async (t) => {
  await using device = await openDevice({ threads: 1 });
  const measured = async (evaluationBatches: number, count: number) => {
    const taken: number[] = [];
    const heldOut: TrainingCorpus['heldOut'] = (request) => {
      taken.push(request.index);
      return countingCorpus.heldOut(request);
    };
    const corpus = { ...countingCorpus, heldOutCount: () => count, heldOut };
    await runTiny(device, { evaluationBatches, stopAfter: { steps: 0 } }, { corpus, method: 'scratch' });
    return taken;
  };
  t.same(await measured(4, 10), [0, 2, 5, 7]);
  t.same(await measured(4, 4), [0, 1, 2, 3], 'all of them where they are not more');
  t.same(await measured(4, 3), [0, 1, 2]);
});

t.test('held-out batches are made when they are asked for', async (t) => {
  const { heldOut, ...rest } = corpusOf(4000, 1600);
  let reads = 0;
  const read: typeof heldOut.read = (...place) => {
    reads++;
    return heldOut.read(...place);
  };
  const corpus = trainingCorpus({ ...rest, heldOut: { ...heldOut, read } });
  for (const objective of ['causal', 'masked'] as const) {
    reads = 0;
    const size = { batch: 4, seq: 16, objective };
    t.ok(corpus.heldOutCount(size) > 20);
    t.equal(reads, 0);
    await corpus.heldOut({ ...size, index: 7 });
    await corpus.heldOut({ ...size, index: 7 });
    t.equal(reads, 4, 'a row each, once');
  }
});

t.test('requests that no batch answers are refused', async (t) => {
  const corpus = trainingCorpus(corpusOf(4000, 1600));
  const size = { batch: 4, seq: 16, objective: 'causal' } as const;
  const place = { seed: 1, step: 0, micro: 0, accumulation: 1 };
  const count = corpus.heldOutCount(size);
  for (const [ask, message] of [
    [
      () => corpus.heldOut({ ...size, index: count }),
      new RegExp(`there are ${count} held-out batches; got index ${count}`),
    ],
    [() => corpus.heldOut({ ...size, index: 0.5 }), /heldOut: request\.index must be a whole number >= 0; got 0\.5/],
    [
      () => corpus.batch({ ...size, ...place, objective: undefined } as never),
      /request\.objective must be one of "causal"/,
    ],
    [() => corpus.batch({ ...size, ...place, step: -1 }), /request\.step must be a whole number >= 0; got -1/],
    [() => corpus.shape({ batch: 0, seq: 16, objective: 'causal' }), /size\.batch must be a whole number >= 1; got 0/],
  ] as const) {
    t.throws(ask, { code: 'BAD_ARGUMENT', message });
  }
});

t.test('a text of which nothing was held out has no held-out batches', async (t) => {
  const nothing = trainingCorpus(corpusOf(4000, 0));
  for (const objective of ['causal', 'masked'] as const)
    t.equal(nothing.heldOutCount({ batch: 4, seq: 16, objective }), 0);
});

t.test('BERT: rows from [CLS] to [SEP] with room for the masks', async (t) => {
  const corpus = trainingCorpus(corpusOf(4000, 400));
  const size = { batch: 4, seq: 16, objective: 'masked' } as const;
  t.same(corpus.shape(size), { batch: 4, seq: 16, targets: mlmCapacity(64), padding: false });
  const { tokens, positions, labels } = await corpus.batch({
    ...size,
    seed: 1,
    step: 0,
    micro: 0,
    accumulation: 1,
  });
  t.equal(positions!.length, mlmCapacity(64));
  t.equal(labels!.length, mlmCapacity(64));
  for (let row = 0; row < 4; row++) t.same([tokens![row * 16], tokens![row * 16 + 15]], [2, 3]);
  t.ok(corpus.heldOutCount(size) > 0);
  t.equal((await corpus.heldOut({ ...size, index: 0 }))['tokens']!.length, 64);
});

t.test('BERT needs a tokenizer with a mask token', async (t) => {
  const corpus = corpusOf(400, 100, { mask: undefined as unknown as number });
  const batches = trainingCorpus(corpus);
  t.same(batches.shape({ batch: 4, seq: 16, objective: 'causal' }), { batch: 4, seq: 16, padding: false });
  t.throws(() => batches.shape({ batch: 4, seq: 16, objective: 'masked' }), { code: 'BAD_TOKENIZER', message: /mask/ });
});

t.test('a text without a whole row is refused before the run, the held-out part with its own advice', async (t) => {
  const shape = (tokens: number, heldOut: number, objective: 'causal' | 'masked') => () =>
    trainingCorpus(corpusOf(tokens, heldOut)).shape({ batch: 4, seq: 16, objective });
  const tooFew = { code: 'BAD_CORPUS', message: /too few for one row of 16\. Add text, or use shorter rows/ };
  t.throws(shape(15, 0, 'causal'), tooFew);
  t.throws(shape(400, 15, 'causal'), { code: 'BAD_CORPUS', message: /hold out more \(--held-out\)/ });
  t.throws(shape(13, 0, 'masked'), { code: 'BAD_CORPUS', message: /too few for one row of 14/ });
  t.doesNotThrow(shape(16, 16, 'causal'));
  t.doesNotThrow(shape(14, 14, 'masked'));
});

t.test('a corpus with more token ids than the model has is refused before the first step', async (t) => {
  t.equal(trainingCorpus(corpusOf(400, 100)).vocabSize, 50);
  const device = await openDevice({ threads: 1 });
  const { vocabSize } = tinyModel.config;
  let events = 0;
  const start = (ids: number) => runTiny(device, {}, { corpus: { ...countingCorpus, vocabSize: ids } }, () => ++events);
  await t.rejects(start(vocabSize + 1), {
    code: 'BAD_CONFIG',
    message: new RegExp(`tokenizer has ${vocabSize + 1} token ids and the model's vocabulary only ${vocabSize}`),
  });
  t.equal(events, 0);
  await t.resolves(start(vocabSize));
  await device.close();
});

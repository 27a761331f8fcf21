import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { loadTokenizer } from '../../../lib/data/index.js';
import { fillMask } from '../../../lib/eval/generate/fill.js';
import { testDevice } from '../../device.js';
import { goldenJson, goldenModel, goldenStore, plainMap } from '../../parity/golden.js';
import { temporaryFolder } from '../../temporary.js';

interface Answers {
  readonly vocab: readonly string[];
  readonly cases: readonly { text: string; ids: number[]; tokens: number[][]; probabilities: number[][] }[];
}

const device = await testDevice({ threads: 2 });
t.teardown(() => device.close());
const { fill } = (await goldenJson('generation.json')) as unknown as { fill: Answers };
const path = join(temporaryFolder('apollo-fill-'), 'vocab.txt');
writeFileSync(path, `${fill.vocab.join('\n')}\n`);
const tokenizer = loadTokenizer(path);
const model = await goldenModel('bert-pretrain-ref');
const store = await goldenStore(device, model, 'bert-pretrain-ref');
t.teardown(() => store.dispose());
const trained = { model, store, layerMap: plainMap(model), tokenizer };

for (const { text, ids, tokens, probabilities } of fill.cases) {
  t.test(`the words of transformers: ${text}`, async (t) => {
    t.same([2, ...tokenizer.encode(text), 3], ids, 'the same ids');
    const masks = await fillMask(trained, text, { topK: 4 });
    t.same(
      masks.map(({ candidates }) => candidates.map(({ token }) => token)),
      tokens,
    );
    for (const [i, { mask, candidates }] of masks.entries()) {
      t.equal(mask, i);
      for (const [rank, { probability, token, text: word }] of candidates.entries()) {
        const error = Math.abs(probability / probabilities[i]![rank]! - 1);
        t.ok(error <= 1e-5, `mask ${i}, word ${rank}: relative error ${error.toExponential(1)}`);
        t.equal(word, fill.vocab[token]);
      }
    }
  });
}

t.test('sentences have the candidate in its place and the most likely words in the other masks', async (t) => {
  const { text, tokens } = fill.cases[1]!;
  const words = tokens.map((row) => row.map((id) => fill.vocab[id]!));
  const [first, second] = await fillMask(trained, text, { topK: 2 });
  t.equal(first!.candidates[1]!.sentence, `The old man walk${words[0]![1]} in the ${words[1]![0]} , the woman ran`);
  t.equal(second!.candidates[1]!.sentence, `The old man walk${words[0]![0]} in the ${words[1]![1]} , the woman ran`);
});

t.test('what continues a word joins it', async (t) => {
  const masks = await fillMask(trained, 'the man walk [MASK] .', { topK: fill.vocab.length });
  const continued = masks[0]!.candidates.find(({ text }) => text === '##ing')!;
  t.equal(continued.sentence, 'the man walking .');
  const sum = masks[0]!.candidates.reduce((total, { probability }) => total + probability, 0);
  t.ok(Math.abs(sum - 1) < 1e-9, 'all candidates together have probability 1');
});

t.test('what cannot be is refused by name', async (t) => {
  const refused = (text: string, options = {}, given: Parameters<typeof fillMask>[0] = trained) =>
    fillMask(given, text, options).then(
      () => 'nothing',
      (error: Error) => error.message,
    );
  t.match(await refused('the cat'), /no \[MASK\]: write \[MASK\] in place of the missing word/);
  t.match(await refused('[MASK]', { topK: 0 }), /topK must be a positive whole number/);
  t.match(
    await refused(`[MASK] ${'the '.repeat(40)}`),
    /43 tokens with \[CLS\] and \[SEP\], and the model 32 positions/,
  );
  t.match(await refused('[MASK]', {}, { ...trained, tokenizer: undefined }), /This model has no tokenizer/);
  t.match(await refused('[MASK]', {}, { ...trained, model: await goldenModel('gpt2-ref') }), /this model is a GPT/);
});

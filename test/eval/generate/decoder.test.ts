// Decoding with a cache against the forward pass over whole sequences, which test/parity holds against PyTorch.
import t, { type Test } from 'tap';
import { Graph, type ParameterStore } from '../../../lib/engine/index.js';
import { Decoder } from '../../../lib/eval/generate/decoder.js';
import type { TrainedModel } from '../../../lib/eval/trained.js';
import { headSizeOf, keyValueHeadsOf, type LanguageModel, modelWeights } from '../../../lib/models/index.js';
import { testDevice } from '../../device.js';
import { goldenModel, goldenStore, plainMap, relativeError } from '../../parity/golden.js';

const device = await testDevice({ threads: 2 });
t.teardown(() => device.close());

/** Learned positions; rotary ones and key/value heads that serve several heads; one such head, scaled frequencies. */
const names = ['gpt2-ref', 'llama-ref-a', 'llama-ref-b'];

/** Tokens of each sequence, a fixed mixture. */
const sequences = (batch: number, seq: number): number[][] =>
  Array.from({ length: batch }, (_, b) => Array.from({ length: seq }, (_, i) => (17 * i + 31 * b + i * i * 7) % 120));

/** Logits of all positions by the whole forward pass, [batch][seq] rows of f32 [V]. */
async function wholePass(
  trained: { model: LanguageModel; store: ParameterStore; layerMap: readonly number[] },
  tokens: readonly number[][],
): Promise<Float32Array[][]> {
  const [batch, seq] = [tokens.length, tokens[0]!.length];
  const { vocabSize } = trained.model.config;
  const graph = new Graph();
  const weights = modelWeights(graph, trained.model, trained.store.precision);
  graph.output('logits', trained.model.predict(graph, weights, { batch, seq }, { layerMap: trained.layerMap }));
  const program = await device.compile(graph, { store: trained.store });
  const { outputs } = await program.run({ tokens: tokens.flat() });
  const all = outputs.logits as Float32Array;
  return tokens.map((_, b) =>
    tokens[b]!.map((_, i) => all.subarray((b * seq + i) * vocabSize, (b * seq + i + 1) * vocabSize)),
  );
}

/** Largest error over all positions when `first` tokens are read at once and the others one by one. */
async function worstError(
  decoder: Decoder,
  tokens: readonly number[][],
  expected: readonly Float32Array[][],
  first: number,
): Promise<number> {
  let worst = 0;
  const vocabSize = expected[0]![0]!.length;
  const compare = (logits: Float32Array, position: number) => {
    for (const [b, rows] of expected.entries()) {
      worst = Math.max(worst, relativeError(logits.subarray(b * vocabSize, (b + 1) * vocabSize), rows[position]!));
    }
  };
  compare(await decoder.begin(tokens.map((row) => row.slice(0, first))), first - 1);
  for (let i = first; i < tokens[0]!.length; i++) compare(await decoder.next(tokens.map((row) => row[i]!)), i);
  return worst;
}

async function agrees(t: Test, trained: TrainedModel, batch: number, firsts: readonly number[], limit: number) {
  const tokens = sequences(batch, 32);
  const expected = await wholePass(trained, tokens);
  using decoder = new Decoder(trained, { batch });
  for (const first of firsts) {
    const error = await worstError(decoder, tokens, expected, first);
    t.ok(error <= limit, `${first} tokens at once: relative error ${error.toExponential(1)}`);
  }
}

const every = Array.from({ length: 32 }, (_, i) => i + 1);
const some = [1, 2, 15, 16, 17, 31, 32];

for (const name of names) {
  const model = await goldenModel(name);
  const { vocabSize } = model.config;
  const plain = plainMap(model);

  t.test(
    `${name}: token by token, the logits are those of the whole sequence, for any number read at once`,
    async (t) => {
      using store = await goldenStore(device, model, name);
      await agrees(t, { model, store, layerMap: plain }, 1, name === 'gpt2-ref' ? every : some, 1e-5);
    },
  );

  t.test(`${name}: so they are for several sequences side by side`, async (t) => {
    using store = await goldenStore(device, model, name);
    await agrees(t, { model, store, layerMap: plain }, 3, some, 1e-5);
    await agrees(t, { model, store, layerMap: plain }, 9, [5], 1e-5); // more rows than the few that have kernels of their own
  });

  t.test(`${name}: layers that are used twice have keys and values of each place`, async (t) => {
    using store = await goldenStore(device, model, name);
    await agrees(t, { model, store, layerMap: [0, 0, 2, 1, 2] }, 2, some, 1e-5);
  });

  t.test(`${name}: in bf16 they agree within the rounding of its eight bits`, async (t) => {
    using store = await goldenStore(device, model, name, { precision: 'bf16' });
    await agrees(t, { model, store, layerMap: plain }, 1, some, 2e-2);
    await agrees(t, { model, store, layerMap: plain }, 3, some, 2e-2);
  });

  t.test(`${name}: one sequence begins all of them`, async (t) => {
    using store = await goldenStore(device, model, name);
    const trained = { model, store, layerMap: plain };
    const rows = sequences(3, 12);
    const tokens = rows.map((row) => [...rows[0]!.slice(0, 5), ...row.slice(5)]);
    const expected = await wholePass(trained, tokens);
    using decoder = new Decoder(trained, { batch: 3, length: 12 });
    const first = await decoder.begin([tokens[0]!.slice(0, 5)]);
    t.equal(first.length, vocabSize);
    t.ok(relativeError(first, expected[0]![4]!) <= 1e-5);
    for (let i = 5; i < 12; i++) {
      const logits = await decoder.next(tokens.map((row) => row[i]!));
      for (const [b, rows] of expected.entries()) {
        const error = relativeError(logits.subarray(b * vocabSize, (b + 1) * vocabSize), rows[i]!);
        t.ok(error <= 1e-5, `sequence ${b}, position ${i}: ${error.toExponential(1)}`);
      }
    }
    t.equal(decoder.position, 12);
    const width = keyValueHeadsOf(model.config) * headSizeOf(model.config);
    t.equal(decoder.bytes, model.config.layers * 2 * 3 * 12 * width * 4, 'keys and values of the key/value heads');
  });
}

const model = await goldenModel('gpt2-ref');
const { vocabSize } = model.config;
const plain = plainMap(model);

t.test('what is kept is as long as asked for, and what does not fit is refused', async (t) => {
  using store = await goldenStore(device, model, 'gpt2-ref');
  const trained = { model, store, layerMap: plain };
  using decoder = new Decoder(trained, { batch: 2, length: 6 });
  await t.rejects(decoder.next([1, 2]), { code: 'BAD_ARGUMENT', message: /call begin first/ });
  await decoder.begin([[1, 2, 3, 4]]);
  const { layers, hidden } = model.config;
  t.equal(decoder.bytes, layers * 2 * 2 * 6 * hidden * 4, 'keys and values of all layers, sequences and positions');
  await t.rejects(decoder.next([1]), { message: /one token of each of 2 sequences; got 1/ });
  await decoder.next([5, 6]);
  await decoder.next([5, 6]);
  await t.rejects(decoder.next([5, 6]), { code: 'BAD_ARGUMENT', message: /all 6 positions are in use/ });
  await t.rejects(decoder.begin([[1, 2, 3, 4, 5, 6, 7]]), { message: /7 tokens are more than the 6 positions/ });
  await t.rejects(decoder.begin([[1], [1, 2]]), { message: /equal length/ });
  await t.rejects(decoder.begin([[1], [1], [1]]), { message: /1 or 2 sequences; got 3/ });
  await t.rejects(decoder.begin([[vocabSize], [1]]), /ids\[0\] is 120/);
  t.throws(() => new Decoder(trained, { length: 33 }), { message: /from 1 to 32/ });
  t.throws(() => new Decoder(trained, { batch: 0 }), { message: /batch must be/ });
  const bert = await goldenModel('bert-pretrain-ref');
  t.throws(() => new Decoder({ ...trained, model: bert }), {
    message: /Only a causal model \(GPT, Llama\) generates text/,
  });
});

t.test('calls that are not awaited take turns', async (t) => {
  using store = await goldenStore(device, model, 'gpt2-ref');
  const trained = { model, store, layerMap: plain };
  using one = new Decoder(trained);
  using other = new Decoder(trained);
  await one.begin([[1, 2]]);
  await one.next([3]);
  const expected = await one.next([4]);
  const [, , logits] = await Promise.all([other.begin([[1, 2]]), other.next([3]), other.next([4])]);
  t.same(logits, expected);
  t.equal(other.position, 4);
  const [wrong, after] = await Promise.allSettled([other.next([0.5]), other.next([5])]);
  t.match(wrong, {
    status: 'rejected',
    reason: { code: 'BAD_ARGUMENT', message: /whole numbers from 0 on; got 0\.5/ },
  });
  t.match(after, { status: 'fulfilled' }, 'a call that is refused takes no position');
  t.equal(other.position, 5);
});

t.test('disposing frees the keys and values', async (t) => {
  using store = await goldenStore(device, model, 'gpt2-ref');
  const decoder = new Decoder({ model, store, layerMap: plain });
  await decoder.begin([[1]]);
  decoder.dispose();
  await t.rejects(decoder.begin([[1]]), { code: 'CLOSED' });
});

import { join } from 'node:path';
import t from 'tap';
import { loadTokenizer, type Tokenizer } from '../../../lib/data/index.js';
import { type GeneratedToken, type GenerateOptions, generate } from '../../../lib/eval/generate/generate.js';
import type { TrainedModel } from '../../../lib/eval/trained.js';
import { testDevice } from '../../device.js';
import { goldenJson, goldenModel, goldenStore, plainMap } from '../../parity/golden.js';

const device = await testDevice({ threads: 2 });
t.teardown(() => device.close());

interface Answers {
  readonly greedy: readonly { prompt: number[]; repetitionPenalty: number; tokens: number[] }[];
  readonly text: { readonly prompt: string; readonly tokens: number[] };
}
const answers = (await goldenJson('generation.json')) as unknown as Answers;

const model = await goldenModel('gpt2-ref');
const store = await goldenStore(device, model, 'gpt2-ref');
t.teardown(() => store.dispose());
const small: TrainedModel = { model, store, layerMap: plainMap(model) };

/** A post-processor that puts a token before a text. */
const framed = (pieces: readonly string[], begin: number) => ({
  type: 'TemplateProcessing',
  single: [{ SpecialToken: { id: pieces[begin], type_id: 0 } }, { Sequence: { id: 'A', type_id: 0 } }],
  pair: [],
  special_tokens: { [pieces[begin]!]: { id: pieces[begin], ids: [begin], tokens: [pieces[begin]] } },
});

/** A tokenizer whose token i is the i-th piece. */
function piecewise(pieces: readonly string[], eot?: number, begin?: number): Tokenizer {
  const text = (ids: ArrayLike<number>) => Array.from(ids, (id) => pieces[id] ?? '').join('');
  const encode = (given: string) =>
    Uint32Array.from(given === '' ? [] : given.split('|').map((piece) => pieces.indexOf(piece)));
  return {
    kind: 'other',
    vocabSize: pieces.length,
    specials: { eot },
    definition: { post_processor: begin === undefined ? null : framed(pieces, begin) },
    encode,
    decode: text,
    streamDecoder: () => ({ push: (id: number) => pieces[id] ?? '', end: () => '' }),
  } as unknown as Tokenizer;
}

async function all(
  trained: TrainedModel,
  prompt: string | readonly number[],
  options: GenerateOptions,
): Promise<GeneratedToken[]> {
  const events: GeneratedToken[] = [];
  for await (const event of generate(trained, prompt, options)) events.push(event);
  return events;
}

const tokensOf = (events: readonly GeneratedToken[], sample = 0) =>
  events.filter((event) => event.sample === sample).map(({ token }) => token);
const textOf = (events: readonly GeneratedToken[]) => events.map(({ text }) => text).join('');

t.test('greedy tokens are those of transformers, with and without a repetition penalty', async (t) => {
  for (const { prompt, repetitionPenalty, tokens } of answers.greedy) {
    const events = await all(small, prompt, { greedy: true, maxTokens: tokens.length, repetitionPenalty });
    t.same(tokensOf(events), tokens, `${prompt.join()} with ${repetitionPenalty}`);
    t.same(events.at(-1)!.finish, 'length');
    t.notOk(events.slice(0, -1).some(({ finish }) => finish));
  }
});

t.test('a published GPT-2 with its tokenizer: the tokens of transformers and their text', async (t) => {
  const tiny = await goldenModel('tiny-gpt2');
  using weights = await goldenStore(device, tiny, 'tiny-gpt2');
  const tokenizer = loadTokenizer(join(import.meta.dirname, '../../fixtures/tokenizers/gpt2/tokenizer.json.gz'));
  const { prompt, tokens } = answers.text;
  const trained = { model: tiny, store: weights, layerMap: plainMap(tiny), tokenizer };
  const events = await all(trained, prompt, { greedy: true, maxTokens: tokens.length });
  t.same(tokensOf(events), tokens);
  t.equal(textOf(events), tokenizer.decode(tokens));
});

t.test('the same seed gives the same tokens, another seed others; each sample has its own', async (t) => {
  const drawn = (options: GenerateOptions) => all(small, [3, 4, 5], { maxTokens: 20, ...options });
  const first = tokensOf(await drawn({ seed: 1 }));
  t.same(tokensOf(await drawn({ seed: 1 })), first);
  t.notSame(tokensOf(await drawn({ seed: 2 })), first);
  const side = await drawn({ seed: 1, samples: 3 });
  t.same(tokensOf(side, 0), first, 'the first of several is the one alone');
  t.notSame(tokensOf(side, 1), first);
  t.notSame(tokensOf(side, 2), tokensOf(side, 1));
  for (const sample of [0, 1, 2]) t.equal(tokensOf(side, sample).length, 20);
});

t.test('drawing from the single most likely token is decoding greedily', async (t) => {
  const { prompt, tokens } = answers.greedy[2]!;
  t.same(tokensOf(await all(small, prompt, { topK: 1, maxTokens: tokens.length, seed: 9 })), tokens);
});

t.test('samples that have ended stay while others outgrow the positions', async (t) => {
  const length = 3 * model.config.maxPositions;
  const alone = await all(small, [3, 4], { maxTokens: length, eos: null, temperature: 2, seed: 6 });
  t.equal(alone.length, length);
  // The first token of the first sample ends all texts that come to it; the search finds a seed where not all do at once.
  for (let seed = 1; ; seed++) {
    const events = await all(small, [3, 4], { samples: 3, maxTokens: length, eos: 11, temperature: 2, seed });
    const counts = [0, 1, 2].map((sample) => tokensOf(events, sample).length);
    if (Math.min(...counts) > model.config.maxPositions / 2 || Math.max(...counts) < model.config.maxPositions)
      continue;
    t.equal(events.filter(({ finish }) => finish).length, 3, `seed ${seed}: ${counts.join(', ')} tokens`);
    break;
  }
});

t.test('the end of text ends a sample and has no text; eos: null continues', async (t) => {
  const { prompt, tokens } = answers.greedy[2]!; // 5, 5, 15, …
  const pieces = Array.from({ length: 120 }, (_, i) => `<${i}>`);
  const trained = { ...small, tokenizer: piecewise(pieces, 15) };
  const events = await all(trained, prompt, { greedy: true, maxTokens: 6 });
  t.same(tokensOf(events), [5, 5, 15]);
  t.equal(events.at(-1)!.finish, 'eos');
  t.equal(textOf(events), '<5><5>');
  t.same(tokensOf(await all(trained, prompt, { greedy: true, maxTokens: 6, eos: null })), tokens.slice(0, 6));
  t.same(tokensOf(await all(small, prompt, { greedy: true, maxTokens: 6, eos: 5 })), [5]);
});

t.test('samples end each by itself', async (t) => {
  const side = await all(small, [3], { maxTokens: 25, samples: 4, eos: 11, temperature: 2, seed: 5 });
  const alone = await Promise.all(
    [0, 1, 2, 3].map(async (sample) => {
      const tokens = tokensOf(side, sample);
      const ends = side.filter((event) => event.sample === sample && event.finish);
      t.equal(ends.length, 1);
      t.equal(ends[0]!.finish, tokens.at(-1) === 11 ? 'eos' : 'length');
      t.notOk(tokens.slice(0, -1).includes(11));
      return tokens.length;
    }),
  );
  t.ok(alone.every((length) => length > 0 && length <= 25));
});

t.test('a stop string that lies across tokens ends the text before it', async (t) => {
  const { prompt } = answers.greedy[2]!; // 5, 5, 15, 15, 73, …
  const pieces = Array.from({ length: 120 }, (_, i) => `${i}`);
  pieces[5] = 'ab\n';
  pieces[15] = '\ncd';
  const trained = { ...small, tokenizer: piecewise(pieces) };
  const events = await all(trained, prompt, { greedy: true, maxTokens: 10, stop: ['\n\n'] });
  t.same(
    events.map(({ text }) => text),
    ['ab', '\nab', ''],
  );
  t.equal(events.at(-1)!.finish, 'stop');
  const cut = await all(trained, prompt, { greedy: true, maxTokens: 2, stop: ['\n\n'] });
  t.equal(textOf(cut), 'ab\nab\n', 'what was held back comes at the end');
});

for (const name of ['gpt2-ref', 'llama-ref-a']) {
  t.test(`${name}: a text that outgrows the positions continues from its last half`, async (t) => {
    const model = await goldenModel(name);
    using store = await goldenStore(device, model, name);
    const small: TrainedModel = { model, store, layerMap: plainMap(model) };
    const { maxPositions } = model.config;
    const options = { greedy: true, maxTokens: maxPositions + 18 } as const;
    const tokens = tokensOf(await all(small, [7, 3, 99], options));
    t.equal(tokens.length, maxPositions + 18);
    const text = [7, 3, 99, ...tokens];
    // The token behind the last position is the first after the last half was read again.
    const [after] = tokensOf(
      await all(small, text.slice(maxPositions / 2, maxPositions), { greedy: true, maxTokens: 1 }),
    );
    t.equal(text[maxPositions], after);
    const side = await all(small, [7, 3, 99], { ...options, samples: 2 });
    t.same(tokensOf(side, 1), tokens, 'also side by side');
  });
}

t.test('an empty prompt starts with the end-of-text token', async (t) => {
  const trained = { ...small, tokenizer: piecewise(['a', 'b', 'c'], 1) };
  const events = await all(trained, '', { greedy: true, maxTokens: 4, eos: null });
  t.same(tokensOf(events), tokensOf(await all(small, [1], { greedy: true, maxTokens: 4 })));
});

t.test('a prompt stands behind the token that the tokenizer puts before a text', async (t) => {
  const trained = { ...small, tokenizer: piecewise(['a', 'b', 'c'], 1, 2) };
  const options = { greedy: true, maxTokens: 4, eos: null } as const;
  t.same(tokensOf(await all(trained, 'a|b', options)), tokensOf(await all(small, [2, 0, 1], options)));
  t.same(tokensOf(await all(trained, '', options)), tokensOf(await all(small, [2], options)));
});

t.test('an abort ends the iteration with ABORT_ERR, also between tokens', async (t) => {
  const controller = new AbortController();
  const seen: number[] = [];
  const run = async () => {
    for await (const { token } of generate(small, [1, 2], { maxTokens: 20, signal: controller.signal })) {
      seen.push(token);
      if (seen.length === 3) controller.abort();
    }
  };
  await t.rejects(run(), { code: 'ABORT_ERR' });
  t.equal(seen.length, 3);
});

t.test('leaving the loop early frees what was kept', async (t) => {
  const bufferBytes = () => device.info().bufferBytes;
  await all(small, [1], { maxTokens: 2 });
  for (let tries = 0; tries < 2; tries++) {
    for await (const event of generate(small, [1, 2], { maxTokens: 20 })) {
      t.ok(event);
      break;
    }
  }
  const storeBytes = store.bytes;
  // The device's thread may hold a buffer for a moment after it has answered.
  for (let tries = 0; bufferBytes() > storeBytes && tries < 2000; tries++) {
    await new Promise((done) => setTimeout(done, 1));
  }
  t.ok(bufferBytes() <= storeBytes, `${bufferBytes()} bytes in use, the store has ${storeBytes}`);
});

t.test('what cannot be is refused by name', async (t) => {
  const bert = await goldenModel('bert-pretrain-ref');
  const refused = (prompt: string | readonly number[], options: GenerateOptions, trained: TrainedModel = small) =>
    all(trained, prompt, options).then(
      () => 'nothing',
      (error: Error) => error.message,
    );
  t.match(await refused([1], { maxTokens: 0 }), /maxTokens must be a positive whole number; got 0/);
  t.match(await refused([1], { samples: 0 }), /samples must be a positive whole number/);
  t.match(await refused([1], { temperature: -1 }), /temperature must be a positive number/);
  t.match(await refused([1], { seed: 0.5 }), /seed must be a safe integer/);
  t.match(await refused([1], { stop: ['x'] }), /needs the tokenizer/);
  t.match(await refused('text', {}), /This model has no tokenizer/);
  t.match(await refused([], {}), /The prompt is empty/);
  t.match(await refused([1, 120], {}), /prompt\[1\] must be a token id from 0 to 119; got 120/);
  t.match(await refused([1.5], {}), /prompt\[0\] must be a token id/);
  t.match(await refused(new Array(33).fill(1), {}), /33 tokens and the model 32 positions/);
  t.match(await refused([1], {}, { ...small, model: bert }), /this model is a BERT/);
});

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import t from 'tap';
import { loadTokenizer, type Tokenizer } from '../../../lib/data/index.js';
import { type Device, Graph } from '../../../lib/engine/index.js';
import { checkWindow, lambada, readPassages, readTokens, textLoss } from '../../../lib/eval/index.js';
import { windows } from '../../../lib/eval/text/text-loss.js';
import { modelWeights } from '../../../lib/models/index.js';
import { type LoadedModel, loadModel } from '../../../lib/train/index.js';
import { fixture, shared } from '../../data/support.js';
import { testDevice } from '../../device.js';
import { type Kind, temporaryFolder, tinyModelFolder } from '../support.js';

let device: Device;
type Loaded = LoadedModel & { tokenizer: Tokenizer };
let gpt: Loaded;
let bert: Loaded;
let llama: Loaded;
const load = async (kind: Kind) => (await loadModel(device, await tinyModelFolder(device, kind))) as Loaded;

t.before(async () => {
  device = await testDevice({ threads: 1 });
  [gpt, bert, llama] = [await load('gpt'), await load('bert'), await load('llama')];
});
t.teardown(async () => {
  for (const model of [gpt, bert, llama]) model.dispose();
  await device.close();
});
const causal = { gpt: () => gpt, llama: () => llama };

/** Log-probabilities after each token of a sequence, [tokens][vocabulary], from the whole logits in f64. */
async function logProbabilities({ model, store, layerMap }: Loaded, ids: readonly number[]): Promise<number[][]> {
  const graph = new Graph();
  const shape = { batch: 1, seq: ids.length, padding: false };
  const weights = modelWeights(graph, model, 'f32');
  const { logits } = model.trace(graph, weights, shape, { layerMap, training: false, logits: true });
  graph.output('logits', logits!);
  const { outputs } = await (await device.compile(graph, { store })).run({ tokens: [...ids] });
  const { vocabSize } = model.config;
  return ids.map((_, place) => {
    const row = [...(outputs['logits'] as Float32Array).subarray(place * vocabSize, (place + 1) * vocabSize)];
    const most = Math.max(...row);
    const normal = most + Math.log(row.reduce((sum, value) => sum + Math.exp(value - most), 0));
    return row.map((value) => value - normal);
  });
}

t.test('windows count every token but the first once, behind as much context as there is', async (t) => {
  for (const [length, stride, seq, batch] of [
    [50, 5, 8, 3],
    [50, 7, 8, 2],
    [8, 4, 8, 2],
    [9, 4, 8, 2],
    [2, 1, 8, 1],
    [33, 8, 16, 4],
  ] as const) {
    const ids = Int32Array.from({ length }, (_, i) => 100 + i);
    const counts = new Map<number, number>();
    for (const window of windows(ids, stride, { batch, seq })) {
      const { tokens, labels } = window();
      labels!.forEach((label, place) => {
        if (label === -100) return;
        counts.set(label, (counts.get(label) ?? 0) + 1);
        t.equal(tokens![place], label - 1, 'a label is the token after the one that stands there');
        const context = (place % seq) + 1;
        t.ok(context >= Math.min(label - 100, seq - stride), `token ${label} has ${context} before it`);
      });
    }
    t.same(
      [...counts.keys()].sort((a, b) => a - b),
      [...ids.slice(1)],
    );
    t.ok([...counts.values()].every((count) => count === 1));
  }
  t.throws(() => windows(new Int32Array(9), 8, { batch: 1, seq: 8 }), { message: /stride.*from 1 to seq - 1 \(7\)/ });
});

for (const [kind, loaded] of Object.entries(causal)) {
  t.test(`${kind}: a text's loss is the mean of its tokens' surprise`, async (t) => {
    const model = loaded();
    const text = 'the actors shine and the river runs. it moves and it sings; birds sing at night.';
    const ids = [...model.tokenizer.encode(text)].slice(0, 40);
    const rows = await logProbabilities(model, ids);
    const total = ids.slice(1).reduce((sum, id, place) => sum - rows[place]![id]!, 0);
    const tokens = { ids: Int32Array.from(ids), bytes: 77, documents: 1 };
    const found = await textLoss(device, model, model.tokenizer, tokens, { batch: 2 });
    t.ok(Math.abs(found.loss - total / (ids.length - 1)) < 1e-5, `${found.loss}`);
    t.match(found, { of: 'token', tokens: ids.length - 1, perplexity: Math.exp(found.loss) });
    t.ok(Math.abs((found.bitsPerByte ?? 0) - total / Math.LN2 / 77) < 1e-4);

    // With a stride each token is predicted from its own window.
    const options = { batch: 3, seq: 16, stride: 6 };
    const strided = await textLoss(device, model, model.tokenizer, tokens, options);
    let sum = 0;
    for (let begin = 0, counted = 1; counted < ids.length; counted = begin + 16, begin += 6) {
      const part = ids.slice(begin, begin + 16);
      const inWindow = await logProbabilities(model, part);
      for (let at = counted; at < begin + part.length; at++) sum -= inWindow[at - begin - 1]![ids[at]!]!;
    }
    t.equal(strided.tokens, ids.length - 1);
    t.ok(Math.abs(strided.loss - sum / (ids.length - 1)) < 1e-5, `${strided.loss} against ${sum / (ids.length - 1)}`);
  });
}

t.test('BERT has a pseudo-loss over masked tokens, the same each time', async (t) => {
  const folder = temporaryFolder();
  writeFileSync(join(folder, 'a.txt'), 'a warm film and a dull story. '.repeat(60));
  const tokens = await readTokens([folder], bert.tokenizer);
  const once = await textLoss(device, bert, bert.tokenizer, tokens, { batch: 4 });
  t.equal(once.of, 'masked token');
  t.ok(once.tokens > 20 && once.tokens < 0.3 * tokens.ids.length, `${once.tokens} of ${tokens.ids.length}`);
  t.same(await textLoss(device, bert, bert.tokenizer, tokens, { batch: 4 }), once);
  t.notOk('bitsPerByte' in once);
});

t.test('documents end with the token that ends them in training', async (t) => {
  const folder = temporaryFolder();
  writeFileSync(join(folder, 'a.txt'), '<doc id="1">\nbirds sing\n</doc>\n<doc id="2">\ndogs bark\n</doc>\n');
  const { ids, documents, bytes } = await readTokens([join(folder, 'a.txt')], gpt.tokenizer);
  t.equal(documents, 2);
  const { eot } = gpt.tokenizer.specials;
  t.equal([...ids].filter((id) => id === eot).length, 2);
  t.equal(ids.at(-1), eot);
  t.ok(bytes >= 19 && bytes <= 24, `${bytes}`);
});

t.test('text that cannot be measured is refused', async (t) => {
  const one = { ids: Int32Array.of(1), bytes: 1, documents: 1 };
  const refuses = (model: typeof gpt, tokens: typeof one, options: object, error: object) =>
    t.rejects(textLoss(device, model, model.tokenizer, tokens, { batch: 1, ...options }), error as Error);
  await refuses(gpt, one, {}, { code: 'BAD_CORPUS', message: /has 1 tokens; at least 2/ });
  await refuses(bert, one, {}, { code: 'BAD_CORPUS', message: /at least 46.*smaller seq/ });
  await refuses(gpt, one, { seq: 49 }, { code: 'BAD_CONFIG', message: /model's 48 positions; got 49/ });
  await t.rejects(readTokens(['/nowhere.txt'], gpt.tokenizer), { code: 'BAD_CORPUS' });
});

for (const [kind, loaded] of Object.entries(causal)) {
  t.test(`${kind}: LAMBADA, a word counts when greedy decoding writes all its tokens`, async (t) => {
    const model = loaded();
    const { tokenizer } = model;
    const texts = [
      'the actors shine and lilac',
      'it moves and it euros',
      'birds sing at night',
      'rain fell and the mat',
    ];
    // Passages that it gets right: contexts after which the most likely token is a whole word.
    const isWord = (id: number) =>
      /^ [a-z]+$/.test(tokenizer.decode([id])) && tokenizer.encode(tokenizer.decode([id])).length === 1;
    const known = Array.from({ length: tokenizer.vocabSize }, (_, id) => id).filter(isWord);
    for (const [a, b] of known.flatMap((first) => known.map((second) => [first, second] as const))) {
      const context = `it${tokenizer.decode([a])}${tokenizer.decode([b])}`;
      const row = (await logProbabilities(model, [...tokenizer.encode(context)])).at(-1)!;
      const best = row.indexOf(Math.max(...row));
      if (isWord(best)) texts.push(context + tokenizer.decode([best]));
      if (texts.length === 8) break;
    }
    let hits = 0;
    let sum = 0;
    for (const text of texts) {
      const at = text.lastIndexOf(' ');
      const context = [...tokenizer.encode(text.slice(0, at))];
      let right = true;
      for (const id of tokenizer.encode(text.slice(at))) {
        const row = (await logProbabilities(model, context)).at(-1)!;
        sum -= row[id]!;
        right &&= row.indexOf(Math.max(...row)) === id;
        context.push(id);
      }
      hits += Number(right);
    }
    t.ok(hits > 0 && hits < texts.length, `${hits} of ${texts.length}`);
    const found = await lambada(device, model, tokenizer, texts, { batch: 4 });
    t.equal(found.passages, texts.length);
    t.equal(found.accuracy, hits / texts.length);
    t.ok(Math.abs(found.perplexity / Math.exp(sum / texts.length) - 1) < 1e-4, `${found.perplexity}`);
  });
}

t.test('a passage that is longer than the positions loses its start', async (t) => {
  const { tokenizer } = gpt;
  const context = 'rain fell in the north and the price went up, the train was late and the bus was early, '.repeat(3);
  const word = tokenizer.encode(' mat');
  const tokens = [...tokenizer.encode(context.trim()), ...word].slice(-48);
  const rows = await logProbabilities(gpt, tokens);
  const sum = tokens.slice(-word.length).reduce((all, id, i) => all - rows[47 - word.length + i]![id]!, 0);
  const { perplexity } = await lambada(device, gpt, tokenizer, [`${context}mat`], { batch: 1 });
  t.ok(Math.abs(perplexity / Math.exp(sum) - 1) < 1e-4, `${perplexity} for ${Math.exp(sum)}`);
});

t.test('the last word has the tokens that it has in the whole passage, with any text around it', async (t) => {
  const llama2 = loadTokenizer(fixture('tokenizers/llama/llama-2.json.gz'));
  const few = (ids: Uint32Array) => ids.map((id) => id % 300); // as many as the model has
  const tokenizer: Tokenizer = { ...llama2, encode: (text) => few(llama2.encode(text)) };
  const text = 'the little cat sat on the mat';
  const whole = llama2.encode(text);
  const before = llama2.encode('the little cat sat on the').length;
  const parts: Tokenizer = {
    ...llama2,
    encode: (given) => few(/^ ?mat$/.test(given) ? whole.slice(before) : whole.slice(0, before)),
  };
  const expected = await lambada(device, llama, parts, [text], { batch: 2 });
  t.ok(expected.perplexity > 1);
  for (const each of [text, `${text} `, `\n ${text}\n\n`])
    t.same(await lambada(device, llama, tokenizer, [each], { batch: 2 }), expected, JSON.stringify(each));
});

t.test('what has no last word to predict is refused', async (t) => {
  for (const text of ['mat', ' mat ', '']) {
    await t.rejects(lambada(device, gpt, gpt.tokenizer, ['the mat', text], { batch: 2 }), {
      code: 'BAD_CORPUS',
      message: `lambada: expected passages of at least two words; got ${JSON.stringify(text)}.`,
    });
  }
  await t.rejects(lambada(device, gpt, gpt.tokenizer, [], { batch: 2 }), {
    code: 'BAD_CORPUS',
    message: /at least one passage/,
  });
});

t.test('a masked model writes no words', async (t) => {
  await t.rejects(lambada(device, bert, bert.tokenizer, ['a b'], { batch: 4 }), {
    code: 'BAD_CONFIG',
    message: /this model is a BERT/,
  });
});

t.test('passages come as lines or as JSON lines', async (t) => {
  const folder = temporaryFolder();
  const file = (name: string, text: string) => {
    writeFileSync(join(folder, name), text);
    return readPassages(join(folder, name));
  };
  t.same(await file('a.txt', 'one two three\n\n four five \n'), ['one two three', 'four five']);
  t.same(await file('a.jsonl', '{"text": "one\\ntwo three"}\n{"text":"four five"}\n'), ['one\ntwo three', 'four five']);
  await t.rejects(file('b.jsonl', '{"text": "one two"}\n{"txt": "x y"}\n'), {
    message: /b\.jsonl, record 2: expected a passage of at least two words; it has no field "text"/,
  });
  await t.rejects(file('b.txt', 'one two\nthree\n'), { message: /b\.txt, line 2: expected a passage of at least two/ });
  await t.rejects(file('c.txt', '\n'), { code: 'BAD_CORPUS', message: /holds no passages/ });
  await t.rejects(readPassages(join(folder, 'none.txt')), { code: 'BAD_CORPUS', message: /There is no file/ });
});

t.test('passages are known by the endings that corpora are known by', async (t) => {
  const folder = temporaryFolder();
  const records = '{"text": "one two three"}\n{"text":"four five"}\n';
  const file = (name: string, content: string | Uint8Array, options = {}) => {
    writeFileSync(join(folder, name), content);
    return readPassages(join(folder, name), options);
  };
  for (const name of ['a.json', 'a.ndjson', 'a.JSONL', 'a.Json'])
    t.same(await file(name, records), ['one two three', 'four five'], name);
  t.same(await file('a.json.gz', gzipSync(records)), ['one two three', 'four five']);
  t.same(await file('a.csv', 'id,passage\n1,one two three\n', { field: 'passage' }), ['one two three']);
  t.same(await file('a.data', records, { format: 'jsonl' }), ['one two three', 'four five']);
  t.same(await file('a.md', '<doc> two\n'), ['<doc> two'], 'lines, however the text begins');
  await t.rejects(file('a.data', records), { message: /no format is known by the ending "\.data".*--format/ });
  await t.rejects(file('list.json', `[${records.trim().replace('\n', ',')}]`), { message: /is a JSON array/ });
});

t.test('text is read in the formats of corpora', async (t) => {
  const folder = temporaryFolder();
  writeFileSync(join(folder, 'a.csv'), 'id,body\r\n1,it was\n2,a dog\n');
  writeFileSync(join(folder, 'b.jsonl'), '{"body": "it was"}\n{"body": null}\n{"body": "a dog"}\n');
  const notes: string[] = [];
  const onNote = (note: string) => notes.push(note);
  const options = { field: 'body', onNote };
  const table = await readTokens([join(folder, 'a.csv')], gpt.tokenizer, options);
  t.equal(table.documents, 2);
  t.same(table.ids, (await readTokens([join(folder, 'b.jsonl')], gpt.tokenizer, options)).ids);
  t.same(notes, ['Skipped records: 1 with "body" is null.']);
});

t.test('a window that the model cannot have is refused from its configuration alone', async (t) => {
  const { config } = gpt.model;
  t.same(checkWindow(config, {}), { seq: config.maxPositions, stride: Math.ceil(config.maxPositions / 2) });
  t.throws(() => checkWindow(config, { seq: config.maxPositions + 1 }), { code: 'BAD_CONFIG' });
  t.throws(() => checkWindow(config, { seq: 8, stride: 8 }), { code: 'BAD_CONFIG' });
  t.throws(() => checkWindow(bert.model.config, { stride: 4 }), {
    code: 'BAD_CONFIG',
    message: /stride is for causal models .*; this model is a BERT\. Remove it/,
  });
});

const official = shared('lambada/lambada_development_plain_text.txt.gz');
t.test("LAMBADA's development file", { skip: official.skip }, async (t) => {
  const passages = await readPassages(official.path);
  t.equal(passages.length, 4869);
  t.equal(passages[1]?.split(' ').at(-1), 'rowan');
});

t.test('documents without text are left out and counted, as in a corpus', async (t) => {
  const docs = ['One.', '', 'Two.', ' \n', ''].map((text, id) => `<doc id="${id}">\n${text}\n</doc>\n`);
  const folder = t.testdir({ wiki_00: docs.join(''), 'lines.jsonl': '{"text":"One."}\n{"text":""}\n{"text":" "}\n' });
  const notes: string[] = [];
  const read = (name: string) =>
    readTokens([join(folder, name)], gpt.tokenizer, { onNote: (note) => notes.push(note) });
  const wiki = await read('wiki_00');
  t.equal(wiki.documents, 2);
  const eot = gpt.tokenizer.specials.eot!;
  t.equal([...wiki.ids].filter((id) => id === eot).length, 2);
  t.equal((await read('lines.jsonl')).documents, 1);
  t.match(notes, [/3 with empty text/, /2 with empty text/]);
});

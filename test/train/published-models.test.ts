/** Models in the forms in which they are published: what they compute, here and after training and export. */
import { cp, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { AdamW, accumulateGradients, Graph } from '../../lib/engine/index.js';
import { fillMask } from '../../lib/eval/generate/fill.js';
import { generate } from '../../lib/eval/generate/generate.js';
import { encodeSafetensors, SafetensorsReader, type TensorToWrite } from '../../lib/interop/safetensors.js';
import { createModel, modelWeights } from '../../lib/models/index.js';
import { exportModel, loadModel, openModelFolder } from '../../lib/train/index.js';
import { shiftedLabels } from '../parity/golden.js';
import { openTinyDevice } from './tiny.js';

const fixture = (...path: string[]): string => join(import.meta.dirname, '../fixtures/published', ...path);
const device = await openTinyDevice();
t.teardown(() => device.close());

type Loaded = Awaited<ReturnType<typeof loadModel>>;

/** "he" is token 256, any other byte that of ASCII. */
const saw = [256, ...Buffer.from(' saw a cat')];

async function lossOf({ model, store, layerMap }: Loaded, ids: readonly number[]): Promise<number> {
  const graph = new Graph();
  const shape = { batch: 1, seq: ids.length, padding: false };
  const { loss } = model.trace(graph, modelWeights(graph, model, 'f32'), shape, { layerMap, training: false });
  graph.output('loss', loss);
  using program = await device.compile(graph, { store });
  const tokens = Int32Array.from(ids);
  return (await program.run({ tokens, labels: shiftedLabels(tokens, ids.length) })).outputs['loss']![0]!;
}

const losses = JSON.parse(await readFile(fixture('losses.json'), 'utf8')) as Record<string, [number, number]>;
for (const [name, [withEnd, without]] of Object.entries(losses)) {
  t.test(`${name}: the losses of transformers, here and after export`, async (t) => {
    const loaded = await loadModel(device, fixture(name));
    const out = join(t.testdir(), 'exported');
    await exportModel(fixture(name), out);
    const again = await loadModel(device, out);
    for (const each of [loaded, again]) {
      t.ok(Math.abs((await lossOf(each, [...saw, 10])) / withEnd - 1) < 1e-5);
      t.ok(Math.abs((await lossOf(each, saw)) / without - 1) < 1e-5);
    }
    t.same(again.config, loaded.config);
    t.equal(loaded.config.tied === false, name.startsWith('g-untied'));
    t.same(
      again.warnings.filter((warning) => !warning.includes('okenizer')),
      [],
      'the export says in config.json what it is',
    );
    loaded.dispose();
    again.dispose();
  });
}

t.test('a head that config.json does not untie is read as it is, with a warning', async (t) => {
  const silent = await openModelFolder(fixture('g-untied-config-silent'));
  t.match(silent.warnings, [
    /"transformer\.wte\.weight" and "lm_head\.weight" differ, though config\.json does not untie/,
  ]);
  await silent.close();
  const said = await openModelFolder(fixture('g-untied'));
  t.same(said.warnings, []);
  await said.close();
});

t.test('gelu_python is the exact GELU: the words of transformers', async (t) => {
  const loaded = await loadModel(device, fixture('b-act-gelu_python'));
  const [mask] = await fillMask(loaded, 'he [MASK] a', { topK: 3 });
  t.same(
    mask!.candidates.map(({ text, probability }) => [text, Number(probability.toFixed(5))]),
    [
      ['[CLS]', 0.28968],
      ['d', 0.13765],
      ['said', 0.12238],
    ],
  );
  loaded.dispose();
});

t.test('an untied head and its embeddings are trained apart; a tied one is the embeddings', async (t) => {
  const loaded = await loadModel(device, fixture('g-untied'));
  const { model, store, layerMap } = loaded;
  const graph = new Graph();
  const tokens = Int32Array.from(saw);
  const shape = { batch: 1, seq: saw.length, padding: false };
  const options = { layerMap, training: true };
  const plain = createModel({ ...model.config, dropout: 0, attentionDropout: 0 });
  const { loss } = plain.trace(graph, modelWeights(graph, plain, 'f32'), shape, options);
  const names = accumulateGradients(loss);
  graph.output('loss', loss);
  using program = await device.compile(graph, { store });
  const before = await lossOf(loaded, saw);
  const [table, head] = [await store.read('embeddings.word'), await store.read('head.output')];
  await program.run({ tokens, labels: shiftedLabels(tokens, saw.length) });
  await new AdamW(store, { weightDecay: 0, maxNorm: 1 }).step(names, { learningRate: 0.01 });
  t.ok((await lossOf(loaded, saw)) < before);
  const moved = (now: Float32Array, then: Float32Array, row: number) =>
    now.subarray(16 * row, 16 * row + 16).some((value, i) => value !== then[16 * row + i]);
  const [tableNow, headNow] = [await store.read('embeddings.word'), await store.read('head.output')];
  // Byte 0 does not occur: nothing looks its row up, and as a column of the head's it is in every softmax.
  t.notOk(moved(tableNow, table, 0), 'no gradient of the head reaches the embeddings');
  t.ok(moved(headNow, head, 0));
  t.ok(moved(tableNow, table, 256));
  loaded.dispose();
});

/** The fixture's tensors, changed by `edit`, next to its config.json with `fields`. */
async function changed(
  t: Test,
  name: string,
  edit: (tensor: TensorToWrite & { data: Float32Array }) => TensorToWrite[],
  fields: object = {},
): Promise<string> {
  const folder = t.testdir();
  await using reader = await SafetensorsReader.open(fixture(name, 'model.safetensors'));
  const tensors: TensorToWrite[] = [];
  for (const { name: tensor, shape } of reader.tensors.values()) {
    tensors.push(...edit({ name: tensor, dtype: 'F32', shape, data: await reader.readFloat32(tensor) }));
  }
  const json = JSON.parse(await readFile(fixture(name, 'config.json'), 'utf8')) as object;
  await writeFile(join(folder, 'config.json'), JSON.stringify({ ...json, ...fields }));
  await writeFile(join(folder, 'model.safetensors'), await encodeSafetensors(tensors));
  return folder;
}

t.test('names that wrappers have changed: the same losses, and a warning that says so', async (t) => {
  const spellings: readonly (readonly [RegExp | string, string, RegExp])[] = [
    [/^/, 'module.', /"module\." in them/],
    [/^/, '_orig_mod.', /"_orig_mod\."/],
    [/^/, 'model.', /"model\."/],
    [/^/, 'module._orig_mod.', /"module\." and "_orig_mod\."/],
    [/^transformer\./, 'model.module.', /"model\." and "module\."/],
    [/^(transformer\.h\.\d+)\./, '$1._checkpoint_wrapped_module.', /"_checkpoint_wrapped_module\."/],
  ];
  for (const [from, to, warning] of spellings) {
    const folder = await changed(t, 'g-act-relu', (tensor) => [{ ...tensor, name: tensor.name.replace(from, to) }]);
    const loaded = await loadModel(device, folder);
    t.match(loaded.warnings, [warning], to);
    t.equal(loaded.warnings.length, 1);
    t.ok(Math.abs((await lossOf(loaded, saw)) / losses['g-act-relu']![1] - 1) < 1e-5, to);
    loaded.dispose();
  }
  const both = await changed(t, 'g-act-relu', (tensor) => [
    tensor,
    { ...tensor, name: `module.${tensor.name}`, data: tensor.data.map(() => 9) },
  ]);
  const plain = await loadModel(device, both);
  t.match(plain.warnings, [/does not use; they are ignored: module\.transformer/], 'the plain name wins');
  t.ok(Math.abs((await lossOf(plain, saw)) / losses['g-act-relu']![1] - 1) < 1e-5);
  plain.dispose();
});

t.test('a model that says it is not tied has two matrices, though they be equal or one be missing', async (t) => {
  const twice = (tensor: TensorToWrite) =>
    tensor.name === 'transformer.wte.weight' ? [tensor, { ...tensor, name: 'lm_head.weight' }] : [tensor];
  const equal = await loadModel(device, await changed(t, 'g-act-relu', twice, { tie_word_embeddings: false }));
  t.same(equal.warnings, []);
  t.same(await equal.store.read('head.output'), await equal.store.read('embeddings.word'));
  t.ok(Math.abs((await lossOf(equal, saw)) / losses['g-act-relu']![1] - 1) < 1e-5);
  equal.dispose();
  const tied = await loadModel(device, await changed(t, 'g-act-relu', twice));
  t.equal(tied.config.tied, undefined, 'equal, and not untied: one matrix');
  tied.dispose();
  const missing = await openModelFolder(
    await changed(t, 'g-act-relu', (tensor) => [tensor], { tie_word_embeddings: false }),
  );
  t.match(missing.warnings, [/has no output matrix, .*initial values: head\.output/]);
  await missing.close();
  const headAlone = await changed(
    t,
    'g-act-relu',
    (tensor) => [tensor.name === 'transformer.wte.weight' ? { ...tensor, name: 'lm_head.weight' } : tensor],
    { tie_word_embeddings: false },
  );
  await t.rejects(openModelFolder(headAlone), { message: /tensor "transformer\.wte\.weight" is missing/ });
});

t.test("BERT's decoder with a matrix and a bias of its own, there and back", async (t) => {
  const folder = await changed(t, 'b-act-gelu_python', (tensor) => {
    if (tensor.name === 'cls.predictions.bias') {
      return [tensor, { ...tensor, name: 'cls.predictions.decoder.bias', data: tensor.data.map((_, i) => i) }];
    }
    if (tensor.name !== 'bert.embeddings.word_embeddings.weight') return [tensor];
    return [tensor, { ...tensor, name: 'cls.predictions.decoder.weight', data: tensor.data.map((x) => -x) }];
  });
  await cp(fixture('b-act-gelu_python/vocab.txt'), join(folder, 'vocab.txt'));
  const loaded = await loadModel(device, folder);
  t.equal(loaded.warnings.length, 2, 'both are said to differ');
  t.same(
    [...(await loaded.store.read('head.bias'))],
    Array.from({ length: 12 }, (_, i) => i),
    "the decoder's",
  );
  const table = await loaded.store.read('embeddings.word');
  t.same(
    await loaded.store.read('head.output'),
    table.map((x) => -x),
  );
  const out = join(folder, 'exported');
  await exportModel(folder, out);
  const again = await loadModel(device, out);
  t.same(again.warnings, []);
  for (const name of loaded.store.names()) t.same(await again.store.read(name), await loaded.store.read(name), name);
  await using files = await SafetensorsReader.open(join(out, 'model.safetensors'));
  t.ok(files.tensors.has('cls.predictions.decoder.bias'), 'where Python looks for it when nothing is tied');
  loaded.dispose();
  again.dispose();
});

t.test('fill writes blanks where a tokenizer has marks for them', async (t) => {
  const loaded = await loadModel(device, fixture('fill-metaspace'));
  const sentences = async (text: string) =>
    Object.fromEntries(
      (await fillMask(loaded, text, { topK: 11 }))[0]!.candidates.map(({ text, sentence }) => [text, sentence]),
    );
  t.match(await sentences('he <mask> he'), { '\u2581said': 'he said he', a: 'hea he', '<pad>': 'he <pad> he' });
  t.match(await sentences('<mask> he'), { '\u2581said': 'said he' }, 'none where the text begins');
  loaded.dispose();
});

t.test('generation ends at every token that the model names, and a model that names none says so', async (t) => {
  const folder = t.testdir();
  for (const file of ['config.json', 'model.safetensors']) await cp(fixture('g-act-relu', file), join(folder, file));
  type Definition = { added_tokens: unknown[]; model: { vocab: Record<string, number> } };
  const tokenizer = JSON.parse(await readFile(fixture('end-of-text/tokenizer.json'), 'utf8')) as Definition;
  tokenizer.added_tokens.pop(); // <pad>: the model has 258 tokens
  delete tokenizer.model.vocab['<pad>'];
  await writeFile(join(folder, 'tokenizer.json'), JSON.stringify(tokenizer));
  // A class without special tokens of its own: that of GPT-2 would add its <|endoftext|>.
  const plain = JSON.stringify({ tokenizer_class: 'PreTrainedTokenizerFast' });
  await writeFile(join(folder, 'tokenizer_config.json'), plain);
  const config = JSON.parse(await readFile(join(folder, 'config.json'), 'utf8')) as object;
  await writeFile(join(folder, 'config.json'), JSON.stringify({ ...config, eos_token_id: null }));
  const none = await loadModel(device, folder);
  t.same(none.ends, []);
  t.match(none.warnings, [/names no end of text.*Texts end only by their length/]);
  const tokens: number[] = [];
  for await (const { token } of generate(none, [256], { greedy: true, maxTokens: 6 })) tokens.push(token);
  t.equal(tokens.length, 6);
  none.dispose();

  const last = tokens.at(-1)!;
  const settings = { temperature: 0.6, top_p: 1, top_k: null, repetition_penalty: 1.5 };
  await writeFile(
    join(folder, 'generation_config.json'),
    JSON.stringify({ eos_token_id: [257, last], bos_token_id: 256, ...settings }),
  );
  const some = await loadModel(device, folder);
  t.same(some.ends, [257, last]);
  t.match(some.warnings, [
    /generation_config\.json sets temperature 0\.6, repetition_penalty 1\.5: text is generated without/,
  ]);
  t.equal(some.warnings.length, 1);
  const exported = join(folder, 'exported');
  await exportModel(folder, exported);
  const again = await loadModel(device, exported);
  t.same([again.ends, again.warnings], [[257, last], []], 'an export keeps all ends');
  again.dispose();
  const finishes: unknown[] = [];
  for await (const { finish } of generate(some, [256], { temperature: 0, maxTokens: 6 })) finishes.push(finish);
  t.equal(finishes.length, tokens.indexOf(last) + 1);
  t.equal(finishes.at(-1), 'eos');
  some.dispose();
});

import { cp, mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { type Device, Graph, ParameterStore } from '../../../lib/engine/index.js';
import { SafetensorsReader } from '../../../lib/interop/safetensors.js';
import { apollo, scratch } from '../../../lib/methods/index.js';
import {
  type BatchShape,
  createModel,
  initialiseParameters,
  initialValue,
  modelWeights,
  withDefaults,
  withShape,
} from '../../../lib/models/index.js';
import { stepFlops } from '../../../lib/train/cost.js';
import { loadModel, openModelFolder, saveCheckpoint, train } from '../../../lib/train/index.js';
import { relativeError, shiftedLabels } from '../../parity/golden.js';
import { countingCorpus, openTinyDevice, runTiny, tinyLlama, tinyModel, tinyOptions } from '../tiny.js';

const golden = (path: string): string => join(import.meta.dirname, '../../fixtures/golden', path);
const device = await openTinyDevice();
t.teardown(() => device.close());

type Loaded = Awaited<ReturnType<typeof loadModel>>;

/** The outputs of a loaded model without dropout: loss, logits of all positions and hidden states. */
async function compute(device: Device, loaded: Loaded, shape: BatchShape, inputs: Record<string, Int32Array>) {
  const { model, store, layerMap } = loaded;
  const graph = new Graph();
  const trace = model.trace(graph, modelWeights(graph, model, store.precision), shape, {
    layerMap,
    training: false,
    logits: true,
    hiddenStates: true,
  });
  graph.output('loss', trace.loss);
  if (trace.logits) graph.output('logits', trace.logits);
  for (const [i, state] of trace.hiddenStates?.entries() ?? []) graph.output(`state${i}`, state);
  const program = await device.compile(graph, { store });
  const { outputs } = await program.run(inputs);
  program.dispose();
  return outputs;
}

/** Golden inputs and expected outputs; the last state of GPT is named by its number, that of bare BERT by itself. */
const goldens = [
  {
    name: 'bert-pretrain-ref',
    inputs: 'inputs.safetensors',
    expected: 'expected.safetensors',
    warnings: [],
    outputs: { state0: 'hidden_states.0', state3: 'hidden_states.3', logits: 'prediction_logits', loss: 'mlm_loss' },
  },
  {
    name: 'gpt2-ref',
    inputs: 'inputs.safetensors',
    expected: 'expected.safetensors',
    warnings: [],
    outputs: { state0: 'hidden_states.0', state2: 'hidden_states.2', logits: 'logits', loss: 'loss' },
  },
  {
    name: 'tiny-gpt2',
    inputs: 'expected_hf.safetensors',
    expected: 'expected_hf.safetensors',
    warnings: [],
    outputs: { state1: 'hidden_states.1', lastLogits: 'logits_last', loss: 'loss' },
  },
  {
    name: 'tiny-bert-a',
    inputs: 'expected_hf.safetensors',
    expected: 'expected_hf.safetensors',
    warnings: [/bare encoder without a masked-language-model head.*head\.transform\.weight/],
    outputs: { state1: 'last_hidden_state' },
  },
] as const;

for (const { name, inputs: inputFile, expected: expectedFile, warnings, outputs } of goldens) {
  t.test(`the golden model ${name} gives its expected outputs`, async (t) => {
    const loaded = await loadModel(device, golden(name));
    t.match(loaded.warnings, warnings);
    t.equal(loaded.warnings.length, warnings.length);
    t.equal(loaded.tokenizer, undefined);
    const { kind, vocabSize } = loaded.config;
    await using inputs = await SafetensorsReader.open(golden(`${name}/${inputFile}`));
    await using expected = await SafetensorsReader.open(golden(`${name}/${expectedFile}`));
    const [batch, seq] = inputs.info('input_ids').shape as [number, number];
    const tokens = await inputs.readInt32('input_ids');
    const fed: Record<string, Int32Array> = { tokens };
    const shape: { batch: number; seq: number; padding: boolean; targets?: number; types?: boolean } = {
      batch,
      seq,
      padding: inputs.tensors.has('attention_mask'),
    };
    if (shape.padding) fed['mask'] = await inputs.readInt32('attention_mask');
    if (kind === 'gpt') fed['labels'] = shiftedLabels(tokens, seq);
    else {
      shape.types = true;
      fed['types'] = await inputs.readInt32('token_type_ids');
      const dense = inputs.tensors.has('mlm_labels') ? await inputs.readInt32('mlm_labels') : Int32Array.of(1);
      const masked = [...dense.keys()].filter((i) => dense[i] !== -100);
      shape.targets = masked.length;
      fed['positions'] = Int32Array.from(masked);
      fed['labels'] = Int32Array.from(masked, (i) => dense[i] as number);
    }
    const got = await compute(device, loaded, shape, fed);
    got['lastLogits'] = (got['logits'] as Float32Array).subarray(-vocabSize);
    for (const [ours, theirs] of Object.entries(outputs)) {
      // Roundings of f32 sums, as in test/parity.
      const error = relativeError(got[ours] as Float32Array, await expected.readFloat32(theirs));
      t.ok(error <= 1e-5, `${theirs}: relative error ${error.toExponential(1)}`);
    }
    if (warnings.length > 0) {
      for (const spec of loaded.model.parameters(1).filter((each) => each.name.startsWith('head.'))) {
        t.same(await loaded.store.read(spec.name), initialValue(spec, 0), `${spec.name} is its initial value`);
      }
    }
    loaded.dispose();
  });
}

t.test('of a run whose newest checkpoint is damaged the one before is opened, saying so', async (t) => {
  const run = t.testdir();
  const checkpointDir = join(run, 'checkpoints');
  await runTiny(device, { evaluateEvery: 0, checkpointEvery: 4, stopAfter: { steps: 8 } }, { checkpointDir });
  const weights = join(checkpointDir, 'step-00000008/model.safetensors');
  const bytes = await readFile(weights);
  bytes[bytes.length - 1]! ^= 1;
  await writeFile(weights, bytes);
  const folder = await openModelFolder(run);
  t.equal(folder.folder, join(checkpointDir, 'step-00000004'));
  t.match(folder.warnings, [/step-00000008 is damaged: .* This is the model of step 4: .*step-00000004/]);
  await folder.close();
  t.same((await readdir(checkpointDir)).sort(), ['step-00000004', 'step-00000008'], 'nothing is changed');
  await t.rejects(openModelFolder(join(checkpointDir, 'step-00000008')), {
    code: 'BAD_CHECKPOINT',
    message: /is damaged/,
  });
});

t.test('a run is found by its folder, its checkpoints, one of them, and while it is written', async (t) => {
  const run = t.testdir();
  const checkpointDir = join(run, 'checkpoints');
  const options = { evaluateEvery: 0, checkpointEvery: 4, keepCheckpoints: 3, stopAfter: { steps: 8 } };
  await runTiny(device, options, { checkpointDir });
  await writeFile(join(run, 'tokenizer.json'), '{}');
  const newest = join(checkpointDir, 'step-00000008');
  for (const path of [run, checkpointDir, newest]) {
    const folder = await openModelFolder(path);
    t.equal(folder.folder, newest, path);
    t.equal(folder.kind, 'checkpoint');
    t.equal(folder.layers, 2, 'Apollo is in its second stage');
    t.same(folder.layerMap, [0, 0, 1, 1]);
    t.equal(folder.config.layers, 4);
    t.equal(folder.tokenizerPath, join(run, 'tokenizer.json'));
    t.equal(folder.costs?.tokens, 8 * 4 * 16 * 2);
    await t.rejects(folder.read('layer.3.ffn.up.weight'), { code: 'BAD_ARGUMENT', message: /has no parameter/ });
    await folder.close();
  }
  const older = await openModelFolder(join(checkpointDir, 'step-00000004'));
  t.equal(older.layers, 1);
  await older.close();

  await mkdir(join(checkpointDir, '.writing-step-00000012'));
  await rename(newest, join(checkpointDir, '.replaced-step-00000008'));
  const waiting = await openModelFolder(run);
  t.equal(waiting.folder, join(checkpointDir, '.replaced-step-00000008'), 'its replacement is under way');
  await waiting.close();
  t.same(
    (await readdir(checkpointDir)).sort(),
    ['.replaced-step-00000008', '.writing-step-00000012', 'step-00000004'],
    'nothing was changed',
  );
});

t.test('the costs of a model that began with another are those of both', async (t) => {
  const store = new ParameterStore(device, { precision: 'f32' });
  await initialiseParameters(store, tinyModel, 4, 1);
  const head = 2 * 32 * 13; // multiply-adds of the tied head, a token
  const totals = { tokens: 10, flopsModel: 3 * head * 10 + 500, flopsExecuted: 700, trainMs: 9 };
  const path = await saveCheckpoint(t.testdir(), store, {
    step: 1,
    stage: { index: 0, trainedLayers: 4 },
    layerMap: [0, 1, 2, 3],
    identity: { model: tinyModel.config },
    totals,
    source: { tokens: 1, flopsModel: 2, flopsLayers: 3, flopsExecuted: 4, trainMs: 5 },
    nonFiniteSteps: 0,
    evaluated: false,
    device: { kind: 'cpu', threads: 1 },
  });
  store.dispose();
  await using folder = await openModelFolder(path);
  t.same(folder.costs, {
    tokens: 11,
    flopsModel: totals.flopsModel + 2,
    flopsLayers: 503,
    flopsExecuted: 704,
    trainMs: 14,
  });
});

/** A Llama with grouped heads, half as wide for the first six of 24 steps. */
const grouped = createModel(withDefaults({ ...tinyLlama.config, heads: 4, keyValueHeads: 2 }));
const narrowShape = { hidden: 16, heads: 2, ffn: 64 };
const narrowStart = {
  method: 'staged' as const,
  options: {
    stages: [{ trainedLayers: 4, shape: narrowShape, boundary: 0.25 }, { trainedLayers: 4 }],
  },
};

t.test('a model within a stage of other widths is opened in these, grouped heads included', async (t) => {
  const checkpointDir = t.testdir();
  const deps = { checkpointDir, model: grouped, method: narrowStart };
  await runTiny(device, { evaluateEvery: 0, stopAfter: { steps: 3 } }, deps);
  const { model, dispose } = await loadModel(device, checkpointDir);
  t.match(model.config, { hidden: 16, heads: 2, keyValueHeads: 1 });
  dispose();
});

t.test('the FLOPs of the layers are those of each step, whose head may have been narrower', async (t) => {
  const checkpointDir = t.testdir();
  await runTiny(device, { evaluateEvery: 0 }, { checkpointDir, model: grouped, method: narrowStart });
  await using folder = await openModelFolder(checkpointDir);
  const size = { seq: 16, tokens: 128 };
  const narrow = withShape(grouped.config, narrowShape);
  const early = stepFlops(narrow, { depth: 4 }, size).layers;
  const late = stepFlops(grouped.config, { depth: 4 }, size).layers;
  t.equal(folder.costs?.flopsLayers, 6 * early + 18 * late);

  // As older versions wrote it, one that began with such a model included.
  const file = join(folder.folder, 'state.json');
  const { totals, ...state } = JSON.parse(await readFile(file, 'utf8'));
  const { flopsLayers, ...older } = totals;
  const source = { ...totals, flopsLayers: -5 };
  await writeFile(file, JSON.stringify({ ...state, totals: { ...older, flopsModel: 1 }, source }));
  await using old = await openModelFolder(checkpointDir);
  t.equal(old.costs?.flopsLayers, 0, 'never less than nothing');
});

t.test('a tokenizer in any layout that loadTokenizer reads is found', async (t) => {
  const layouts = [['tokenizer.json.gz'], ['encoder.json', 'vocab.bpe'], ['r50k_base.tiktoken'], ['vocab.txt']];
  for (const layout of layouts) {
    const path = t.testdir();
    await cp(golden('gpt2-ref'), path, { recursive: true });
    for (const name of ['tokenizer.json', 'vocab.json', 'merges.txt']) await rm(join(path, name), { force: true });
    for (const name of layout) await writeFile(join(path, name), '');
    await using folder = await openModelFolder(path);
    t.equal(folder.tokenizerPath, path, layout.join(' and '));
  }
});

t.test('stored depth runs the stored layers, full depth the whole network', async (t) => {
  const checkpointDir = t.testdir();
  await runTiny(device, { evaluateEvery: 0, stopAfter: { steps: 8 } }, { checkpointDir });
  const stored = await loadModel(device, checkpointDir, { depth: 'stored' });
  t.same(stored.layerMap, [0, 1]);
  const full = await loadModel(device, checkpointDir);
  t.same(full.layerMap, [0, 0, 1, 1]);
  t.same(full.store.names(), stored.store.names());
  stored.dispose();
  full.dispose();
});

t.test('a method can begin with a Hugging Face model, whose costs are not known', async (t) => {
  const { model, dispose } = await loadModel(device, golden('gpt2-ref'));
  dispose();
  const plain = scratch({ layers: 3, totalSteps: 24, seed: 1 });
  const method = {
    ...plain,
    initial: { source: golden('gpt2-ref'), check: () => {}, value: (spec, source) => source.read(spec.name) },
  } as typeof plain;
  const events = [];
  for await (const event of train(
    { ...tinyOptions, seq: 8, stopAfter: { steps: 1 } },
    { device, model, method, corpus: countingCorpus },
  )) {
    events.push(event);
  }
  const [start, warning] = events;
  t.equal(start?.type === 'start' && start.source, undefined);
  t.match(warning, {
    type: 'warning',
    code: 'BEGINS_WITH',
    message: /The training cost of the model in .* is unknown/,
  });
});

t.test('a model that is still growing is no source', async (t) => {
  const checkpointDir = t.testdir();
  await runTiny(device, { evaluateEvery: 0, stopAfter: { steps: 8 } }, { checkpointDir });
  const plain = apollo({ layers: 4, totalSteps: 24, seed: 5, boundaries: { steps: [6, 14] } });
  const method = {
    ...plain,
    initial: { source: checkpointDir, check: () => {}, value: (spec, source) => source.read(spec.name) },
  } as typeof plain;
  await t.rejects(runTiny(device, {}, { method, model: tinyModel }), {
    code: 'BAD_CONFIG',
    message: /still growing \(2 of 4 layers\)/,
  });
});

t.test('a folder without a model says what was expected', async (t) => {
  const folder = t.testdir();
  const refuses = (path: string, message: RegExp) =>
    t.rejects(openModelFolder(path), { code: 'BAD_CHECKPOINT', message });
  await refuses(join(folder, 'none'), /There is no model in .*none: there is no such folder/);
  await refuses(folder, /expected the folder of a run, of its checkpoints/);
  await cp(golden('gpt2-ref/model.safetensors'), join(folder, 'model.safetensors'));
  await refuses(folder, /weights but no config\.json/);
  await refuses(join(folder, 'model.safetensors'), /cannot be read as a folder \(ENOTDIR\)/);
  const config = JSON.parse(await readFile(golden('gpt2-ref/config.json'), 'utf8')) as { n_layer: number };
  await writeFile(join(folder, 'config.json'), JSON.stringify({ ...config, n_layer: 4 }));
  await refuses(folder, /lacks weights of the model that its config\.json describes, 12 parameters: layer\.3\.att/);
  await writeFile(join(folder, 'config.json'), JSON.stringify({ ...config, n_head: 5 }));
  await refuses(folder, /config\.json: model\.heads must divide hidden \(32\); got 5/);
  await writeFile(join(folder, 'config.json'), JSON.stringify({ ...config, n_embd: 64 }));
  await refuses(folder, /"transformer\.wte\.weight" has shape \[\d+, 32\]; expected \[\d+, 64\]/);
  await writeFile(join(folder, 'config.json'), JSON.stringify({ ...config, n_layer: 2 }));
  const fewer = await openModelFolder(folder);
  t.match(fewer.warnings, [/does not use; they are ignored: transformer\.h\.2\.attn/]);
  await fewer.close();

  const comparison = join(folder, 'comparison');
  await runTiny(
    device,
    { evaluateEvery: 0, stopAfter: { steps: 1 } },
    { checkpointDir: join(comparison, 'apollo-42') },
  );
  await refuses(comparison, /it is a comparison of several runs\. Name one of them: apollo-42\./);
});

t.test('a tokenizer with more tokens than the model is refused', async (t) => {
  const folder = t.testdir();
  for (const file of ['config.json', 'model.safetensors']) await cp(golden(`gpt2-ref/${file}`), join(folder, file));
  const words = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', ...Array.from({ length: 500 }, (_, i) => `w${i}`)];
  await writeFile(join(folder, 'vocab.txt'), words.join('\n'));
  await writeFile(join(folder, 'tokenizer_config.json'), JSON.stringify({ tokenizer_class: 'BertTokenizer' }));
  await t.rejects(loadModel(device, folder), { code: 'BAD_CONFIG', message: /The tokenizer has 505 token ids/ });
});

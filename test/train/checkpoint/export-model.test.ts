import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { SafetensorsReader } from '../../../lib/interop/safetensors.js';
import {
  evaluateMaps,
  exportModel,
  type LoadedModel,
  loadModel,
  RunPrograms,
  stageNetwork,
} from '../../../lib/train/index.js';
import { openTinyDevice } from '../tiny.js';
import { type Kind, logitsOf, tinyRun } from '../tiny-run.js';

const golden = (path: string): string => join(import.meta.dirname, '../../fixtures/golden', path);
const device = await openTinyDevice();
t.teardown(() => device.close());

const tokens = Int32Array.from({ length: 24 }, (_, i) => (7 * i * i + 3 * i + 1) % 400);
const families = {
  bert: { modelType: 'bert', targets: { targets: 1 } },
  gpt: { modelType: 'gpt2', targets: {} },
  llama: { modelType: 'llama', targets: {} },
};
const bits = (values: Float32Array) => Buffer.from(values.buffer, values.byteOffset, values.byteLength).toString('hex');

async function withModel<Result>(path: string, use: (loaded: LoadedModel) => Promise<Result>, depth?: 'stored') {
  const loaded = await loadModel(device, path, depth ? { depth } : {});
  try {
    return await use(loaded);
  } finally {
    loaded.dispose();
  }
}

for (const [kind, { modelType, targets }] of Object.entries(families) as [Kind, (typeof families)[Kind]][]) {
  t.test(
    `${kind}: a model in the middle of a stage is exported at full depth and at its own, to the bit`,
    async (t) => {
      const root = t.testdir();
      const run = join(root, 'run');
      await mkdir(run);
      const { lossFull, batches } = await tinyRun(device, kind, run);
      const logits = (loaded: LoadedModel) =>
        logitsOf(device, loaded, tokens, { batch: 2, seq: 12, padding: false, ...targets });

      const full = join(root, 'full');
      const exported = await exportModel(run, full, { shardBytes: 40_000 });
      t.same(exported.warnings, []);
      t.equal(exported.stored, 2);
      t.equal(exported.config.layers, 4);
      t.ok(exported.files.filter(({ name }) => name.endsWith('.safetensors')).length > 2, 'in several files');
      t.equal(await withModel(full, logits).then(bits), await withModel(run, logits).then(bits));
      const again = await withModel(full, async ({ config, layerMap, model, store, tokenizer }) => {
        t.equal(config.layers, 4);
        t.same(layerMap, [0, 1, 2, 3]);
        t.ok(tokenizer && tokenizer.vocabSize <= 400);
        const programs = new RunPrograms({
          device,
          store,
          network: stageNetwork(model, { index: 0, trainedLayers: 4 }),
          precision: 'f32',
        });
        const maps = { full: layerMap, stage: layerMap };
        return evaluateMaps(maps, {
          programs,
          corpus: batches,
          batch: 4,
          seq: 16,
          objective: model.objective,
          limit: 2,
        });
      });
      t.equal(again.lossFull, lossFull, 'the held-out loss that the run evaluated at full depth');

      const stored = join(root, 'stored');
      t.equal((await exportModel(run, stored, { depth: 'stored' })).config.layers, 2);
      t.equal(await withModel(stored, logits).then(bits), await withModel(run, logits, 'stored').then(bits));
      t.not(await withModel(stored, logits).then(bits), await withModel(full, logits).then(bits));

      // Again, from the Hugging Face folder: nothing changes any more.
      const copy = join(root, 'copy');
      await exportModel(full, copy);
      const files = (await readdir(copy)).sort();
      t.ok(files.includes('model.safetensors'), 'small enough for one file now');
      t.equal(await withModel(copy, logits).then(bits), await withModel(run, logits).then(bits));
      const config = JSON.parse(await readFile(join(copy, 'config.json'), 'utf8')) as Record<string, unknown>;
      t.match(config, { model_type: modelType, torch_dtype: 'float32', vocab_size: 416 });
      const isCausal = kind !== 'bert';
      const end = isCausal ? await withModel(run, async ({ tokenizer }) => tokenizer?.specials.eot) : undefined;
      t.equal(config['eos_token_id'], end);
      t.same(
        files.filter((name) => !name.endsWith('.safetensors')),
        isCausal
          ? [
              'config.json',
              'generation_config.json',
              'merges.txt',
              'special_tokens_map.json',
              'tokenizer.json',
              'tokenizer_config.json',
              'vocab.json',
            ]
          : ['config.json', 'special_tokens_map.json', 'tokenizer.json', 'tokenizer_config.json', 'vocab.txt'],
      );
      await using reader = await SafetensorsReader.open(join(copy, 'model.safetensors'));
      t.same(reader.metadata, { format: 'pt' });
      t.notOk(
        [...reader.tensors.keys()].some((name) => /lm_head|decoder/.test(name)),
        'tied tensors stand once',
      );
    },
  );
}

t.test('bf16 and f16 are the nearest values', async (t) => {
  const root = t.testdir();
  // bf16 has 8 significant bits and f16 11; the weights are far from f16's smallest numbers.
  for (const [dtype, distance] of [
    ['bf16', 2 ** -9],
    ['f16', 2 ** -12],
  ] as const) {
    const folder = join(root, dtype);
    await exportModel(golden('gpt2-ref'), folder, { dtype });
    await using rounded = await SafetensorsReader.open(join(folder, 'model.safetensors'));
    await using exact = await SafetensorsReader.open(golden('gpt2-ref/model.safetensors'));
    let different = 0;
    for (const name of rounded.tensors.keys()) {
      t.equal(rounded.info(name).dtype, dtype.toUpperCase());
      const [ours, theirs] = [await rounded.readFloat32(name), await exact.readFloat32(name)];
      const far = ours.findIndex((value, i) => {
        const x = theirs[i] as number;
        const ulps = 2 ** Math.floor(Math.log2(Math.max(Math.abs(x), 2 ** -14))) * 2 * distance;
        return Math.abs(value - x) > ulps;
      });
      t.equal(far, -1, `${dtype} ${name}`);
      different += ours.filter((value, i) => value !== theirs[i]).length;
    }
    t.ok(different > 0, 'something was rounded');
  }
});

t.test('without a tokenizer the export says so, and takes one that is named', async (t) => {
  const root = t.testdir();
  const plain = await exportModel(golden('gpt2-ref'), join(root, 'plain'));
  t.match(plain.warnings, [/No tokenizer was found with the model in/]);
  t.same((await readdir(join(root, 'plain'))).sort(), ['config.json', 'generation_config.json', 'model.safetensors']);
  const { eos_token_id: end } = JSON.parse(await readFile(join(root, 'plain/config.json'), 'utf8')) as {
    eos_token_id: unknown;
  };
  t.equal(end, null, "not the id of GPT-2's own vocabulary, which this model does not have");

  const words = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', 'a', 'b'];
  await writeFile(join(root, 'vocab.txt'), words.join('\n'));
  const named = await exportModel(golden('bert-pretrain-ref'), join(root, 'named'), {
    tokenizer: join(root, 'vocab.txt'),
  });
  t.same(named.warnings, []);
  t.ok((await readdir(join(root, 'named'))).includes('tokenizer.json'));
  await t.rejects(exportModel(golden('gpt2-ref'), join(root, 'no'), { tokenizer: join(root, 'none.txt') }), {
    code: 'BAD_TOKENIZER',
  });
  t.notOk((await readdir(root)).includes('no'), 'and nothing is written');
});

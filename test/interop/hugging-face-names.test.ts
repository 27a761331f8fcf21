import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { configFromHuggingFace, huggingFaceOf } from '../../lib/interop/hugging-face-config.js';
import {
  foreignTensors,
  joinForeign,
  readForeign,
  splitForeign,
  writeForeign,
} from '../../lib/interop/hugging-face-names.js';
import { encodeSafetensors, SafetensorsReader } from '../../lib/interop/safetensors.js';
import { createModel, initialValue, preset } from '../../lib/models/index.js';

const bert = huggingFaceOf({ kind: 'bert' });

/** A parameter of three parts of these outputs. */
const fused = (name: string, shape: number[], transposed: boolean, sizes: readonly number[] = [2, 2, 2]) => ({
  name,
  shape,
  axes: { columns: sizes.map((size) => ({ axis: 'heads' as const, size })) },
  foreign: { names: ['q', 'k', 'v'], transposed },
});

const golden = (path: string): string => join(import.meta.dirname, '../fixtures/golden', path);

async function goldenModel(name: string) {
  return createModel(configFromHuggingFace(JSON.parse(await readFile(golden(`${name}/config.json`), 'utf8'))));
}

t.test('every tensor of a reference checkpoint has its place in our model, and none is used twice', async (t) => {
  // Left over: the pooler and next-sentence head, which we do not have, and second names of tied tensors.
  const leftOver: Record<string, string[]> = {
    'bert-pretrain-ref': [
      'bert.pooler.dense.bias',
      'bert.pooler.dense.weight',
      'cls.predictions.decoder.bias',
      'cls.predictions.decoder.weight',
      'cls.seq_relationship.bias',
      'cls.seq_relationship.weight',
    ],
    'gpt2-ref': [],
    'tiny-gpt2': [],
    'llama-ref-a': [],
    'llama-ref-b': [],
  };
  for (const [name, expected] of Object.entries(leftOver)) {
    const model = await goldenModel(name);
    await using reader = await SafetensorsReader.open(golden(`${name}/model.safetensors`));
    const used = model.parameters(model.config.layers).flatMap((spec) => foreignTensors(spec).names);
    t.equal(new Set(used).size, used.length, name);
    t.same(
      used.filter((each) => !reader.tensors.has(each)),
      [],
      `${name} has all of them`,
    );
    t.same([...reader.tensors.keys()].filter((each) => !used.includes(each)).sort(), expected, name);
    for (const spec of model.parameters(model.config.layers)) {
      t.equal(
        (await readForeign(reader, huggingFaceOf(model.config), spec))?.length,
        spec.shape.reduce((a, b) => a * b, 1),
        spec.name,
      );
    }
  }
});

t.test('a bare encoder without prefixes is read; what it lacks is undefined', async (t) => {
  const model = await goldenModel('tiny-bert-a');
  await using reader = await SafetensorsReader.open(golden('tiny-bert-a/model.safetensors'));
  for (const spec of model.parameters(1)) {
    t.equal((await readForeign(reader, bert, spec)) === undefined, spec.name.startsWith('head.'), spec.name);
  }
});

t.test('query, key and value are joined by columns, transposed', async (t) => {
  // theirs [outputs 2, inputs 3] each; ours [inputs 3, 6] = [q | k | v] transposed
  const spec = fused('layer.0.attention.qkv.weight', [3, 6], true);
  const parts = [0, 10, 20].map((base) => Float32Array.from([1, 2, 3, 4, 5, 6], (value) => value + base));
  const joined = joinForeign(spec, parts);
  t.same([...joined], [1, 4, 11, 14, 21, 24, 2, 5, 12, 15, 22, 25, 3, 6, 13, 16, 23, 26]);
  for (const [index, part] of parts.entries()) t.same(splitForeign(spec, joined, index), part);
  t.same(
    [
      ...joinForeign(
        fused('b', [6], false),
        [0, 2, 4].map((v) => Float32Array.from([v, v + 1])),
      ),
    ],
    [0, 1, 2, 3, 4, 5],
  );
});

t.test('parts of unequal sizes, as of a Llama whose query heads share keys and values', async (t) => {
  // theirs q [3, 2], k [1, 2], v [1, 2]; ours [2, 5]
  const spec = fused('layer.0.attention.qkv.weight', [2, 5], true, [3, 1, 1]);
  const parts = [Float32Array.of(1, 2, 3, 4, 5, 6), Float32Array.of(11, 12), Float32Array.of(21, 22)];
  const joined = joinForeign(spec, parts);
  t.same([...joined], [1, 3, 5, 11, 21, 2, 4, 6, 12, 22]);
  for (const [index, part] of parts.entries()) t.same(splitForeign(spec, joined, index), part);
});

t.test('what is written is what is read', async (t) => {
  for (const name of ['bert-pretrain-ref', 'gpt2-ref', 'llama-ref-a', 'llama-ref-b']) {
    const model = await goldenModel(name);
    const family = huggingFaceOf(model.config);
    const specs = model.parameters(model.config.layers);
    const values = new Map(
      specs.map((spec) => [spec.name, initialValue({ ...spec, init: { kind: 'normal', std: 1 } }, 9)]),
    );
    const tensors = specs.flatMap((spec) =>
      writeForeign(family, spec, async () => values.get(spec.name) as Float32Array),
    );
    const reader = await SafetensorsReader.fromBytes(await encodeSafetensors(tensors));
    for (const spec of specs) t.same(await readForeign(reader, family, spec), values.get(spec.name), spec.name);
    const reference = await SafetensorsReader.open(golden(`${name}/model.safetensors`));
    for (const { name: theirs, shape } of reader.tensors.values()) t.same(shape, reference.info(theirs).shape, theirs);
    await reference.close();
  }
});

t.test('biases of Llama and Qwen2 have the names of their modules', async (t) => {
  const sizes = { layers: 1, hidden: 8, heads: 4, keyValueHeads: 2, ffn: 6, vocabSize: 4 } as const;
  const biases = (changes: object) =>
    createModel(preset('llama-nano', { ...sizes, ...changes }))
      .parameters(1)
      .flatMap(({ foreign }) => foreign?.names ?? [])
      .filter((name) => name.endsWith('.bias'))
      .map((name) => name.replace('model.layers.0.', ''));
  const qkv = ['q', 'k', 'v'].map((part) => `self_attn.${part}_proj.bias`);
  t.same(biases({}), []);
  t.same(biases({ attentionBias: 'qkv' }), qkv);
  t.same(biases({ attentionBias: 'all', ffnBias: true }), [
    ...qkv,
    'self_attn.o_proj.bias',
    'mlp.gate_proj.bias',
    'mlp.up_proj.bias',
    'mlp.down_proj.bias',
  ]);
});

t.test('a checkpoint with part of a layer, or another width, is refused', async (t) => {
  const spec = createModel(preset('bert-nano', { layers: 1, hidden: 2, heads: 1, ffn: 2 }))
    .parameters(1)
    .find(({ name }) => name === 'layer.0.attention.qkv.bias')!;
  const file = async (names: string[], width: number) =>
    SafetensorsReader.fromBytes(
      await encodeSafetensors(
        names.map((name) => ({ name, dtype: 'F32', shape: [width], data: new Float32Array(width) })),
      ),
      'm.safetensors',
    );
  const [query, key, value] = foreignTensors(spec).names as [string, string, string];
  await t.rejects(readForeign(await file([query, value], 2), bert, spec), {
    code: 'BAD_CHECKPOINT',
    message: 'm.safetensors: tensor "bert.encoder.layer.0.attention.self.key.bias" is missing.',
  });
  await t.rejects(readForeign(await file([query, key, value], 3), bert, spec), {
    message: /has shape \[3\]; expected \[2\]/,
  });
  t.throws(() => foreignTensors({ name: 'own.scale', shape: [2] }), {
    code: 'BAD_ARGUMENT',
    message: /"own\.scale" has no name/,
  });
});

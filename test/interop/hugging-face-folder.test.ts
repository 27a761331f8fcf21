import { cp, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { decodeFloat32 } from '../../lib/interop/elements.js';
import { openHuggingFaceFolder } from '../../lib/interop/hugging-face-folder.js';
import { encodeSafetensors, SafetensorsReader, type TensorToWrite } from '../../lib/interop/safetensors.js';
import { createModel, type ModelConfig, type ParameterSpec } from '../../lib/models/index.js';

const golden = (name: string): string => join(import.meta.dirname, '../fixtures/golden', name);

/** The tensors of a golden model as 32-bit floats, by their names there. */
async function tensorsOf(name: string): Promise<TensorToWrite[]> {
  await using reader = await SafetensorsReader.open(join(golden(name), 'model.safetensors'));
  const tensors: TensorToWrite[] = [];
  for (const { name: tensor, shape } of reader.tensors.values()) {
    tensors.push({ name: tensor, dtype: 'F32', shape, data: await reader.readFloat32(tensor) });
  }
  return tensors;
}

/** A folder with the golden model's configuration, changed, and the given tensors. */
async function folderOf(t: Test, name: string, tensors: readonly TensorToWrite[], config: object = {}) {
  const folder = t.testdir();
  const json = JSON.parse(await readFile(join(golden(name), 'config.json'), 'utf8')) as object;
  await writeFile(join(folder, 'config.json'), JSON.stringify({ ...json, ...config }));
  await writeFile(join(folder, 'model.safetensors'), await encodeSafetensors(tensors, { format: 'pt' }));
  return folder;
}

/** Every parameter of the model in `folder`, as text that is equal for equal bits. */
async function contents(folder: string): Promise<Record<string, string | undefined>> {
  const files = await openHuggingFaceFolder(folder);
  const values: Record<string, string | undefined> = {};
  for (const spec of createModel(files.config).parameters(files.config.layers)) {
    const value = await files.read(spec);
    t.equal(files.has(spec), value !== undefined, spec.name);
    values[spec.name] = value && Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('base64');
  }
  await files.close();
  return values;
}

const rename = (tensors: readonly TensorToWrite[], by: (name: string) => string | undefined): TensorToWrite[] =>
  tensors.flatMap((tensor) => {
    const name = by(tensor.name);
    return name === undefined ? [] : [{ ...tensor, name }];
  });

/** A parameter of a model of this configuration. */
const specOf = (config: ModelConfig, name: string): ParameterSpec =>
  createModel(config)
    .parameters(1)
    .find((spec) => spec.name === name)!;

t.test('a folder says what it has, lacks and holds besides', async (t) => {
  const bert = await openHuggingFaceFolder(golden('tiny-bert-a'));
  const specs = createModel(bert.config).parameters(1);
  t.same(
    specs.filter((spec) => !bert.has(spec)).map(({ name }) => name),
    ['head.transform.weight', 'head.transform.bias', 'head.norm.weight', 'head.norm.bias', 'head.bias'],
  );
  t.same(bert.unused(specs), []);
  t.same(bert.unused(specs.filter(({ name }) => name !== 'embeddings.position')), [
    'embeddings.position_embeddings.weight',
  ]);
  await bert.close();
  const whole = await openHuggingFaceFolder(golden('bert-pretrain-ref'));
  t.same(whole.unused(createModel(whole.config).parameters(3)), [], 'pooler and next-sentence head are known');
  await whole.close();
});

t.test('prefixes, gamma and beta, and which of two tied tensors is stored do not matter', async (t) => {
  const bert = await tensorsOf('bert-pretrain-ref');
  const expected = await contents(golden('bert-pretrain-ref'));
  const legacy = (name: string) =>
    name.replace(/LayerNorm\.weight$/, 'LayerNorm.gamma').replace(/LayerNorm\.bias$/, 'LayerNorm.beta');
  t.same(await contents(await folderOf(t, 'bert-pretrain-ref', rename(bert, legacy))), expected, 'gamma and beta');
  const decoderOnly = (name: string) =>
    name.endsWith('word_embeddings.weight') || name === 'cls.predictions.bias' ? undefined : name;
  t.same(await contents(await folderOf(t, 'bert-pretrain-ref', rename(bert, decoderOnly))), expected, 'decoder');
  const bare = (name: string) => (/^cls\.|pooler/.test(name) ? undefined : name.replace(/^bert\./, ''));
  const encoder = Object.fromEntries(
    Object.entries(expected).map(([name, value]) => [name, name.startsWith('head.') ? undefined : value]),
  );
  t.same(
    await contents(await folderOf(t, 'bert-pretrain-ref', rename(bert, bare))),
    encoder,
    'without prefix and head',
  );

  const gpt = await tensorsOf('gpt2-ref');
  const ofGpt = await contents(golden('gpt2-ref'));
  const headOnly = (name: string) => (name === 'transformer.wte.weight' ? 'lm_head.weight' : name);
  t.same(await contents(await folderOf(t, 'gpt2-ref', rename(gpt, headOnly))), ofGpt, 'lm_head');
  const bareGpt = (name: string) => name.replace(/^transformer\./, '');
  t.same(await contents(await folderOf(t, 'gpt2-ref', rename(gpt, bareGpt))), ofGpt, 'a bare GPT2Model');
});

t.test(
  "Llama's own prefix is no wrapper's; with wrappers, bare, or as the class for spans has it, it is the same",
  async (t) => {
    for (const name of ['llama-ref-a', 'llama-ref-b']) {
      const tensors = await tensorsOf(name);
      const expected = await contents(golden(name));
      for (const [from, to, warning] of [
        [/^/, '', undefined],
        [/^model\./, '', undefined],
        [/^model\./, 'transformer.', undefined],
        [/^/, 'model.', /have "model\." in them/],
        [/^/, 'module.', /have "module\." in them/],
        [/^/, '_orig_mod.model.', /have "_orig_mod\." and "model\." in them/],
      ] as const) {
        const folder = await folderOf(
          t,
          name,
          rename(tensors, (tensor) => tensor.replace(from, to)),
        );
        const files = await openHuggingFaceFolder(folder);
        t.match(files.warnings, warning ? [warning] : [], `${name} ${to}`);
        t.equal(files.warnings.length, warning ? 1 : 0);
        t.same(files.unused(createModel(files.config).parameters(files.config.layers)), []);
        await files.close();
        t.same(await contents(folder), expected, `${name} ${to}`);
      }
    }
  },
);

t.test("Llama's head is untied where config.json is silent, and buffers of older versions are no loss", async (t) => {
  const tensors = await tensorsOf('llama-ref-b'); // tied
  const buffer = {
    name: 'model.layers.0.self_attn.rotary_emb.inv_freq',
    dtype: 'F32',
    shape: [1],
    data: new Float32Array(1),
  };
  const table = tensors.find(({ name }) => name === 'model.embed_tokens.weight') as TensorToWrite;
  const head = { ...table, name: 'lm_head.weight', data: (table.data as Float32Array).map((x) => 2 * x) };
  const silent = await openHuggingFaceFolder(
    await folderOf(t, 'llama-ref-b', [...tensors, head, buffer as TensorToWrite], { tie_word_embeddings: undefined }),
  );
  t.same(silent.warnings, []);
  t.equal(silent.config.tied, false);
  t.same(silent.unused(createModel(silent.config).parameters(3)), []);
  t.same(await silent.read(specOf(silent.config, 'head.output')), head.data);
  await silent.close();
  const differing = await openHuggingFaceFolder(await folderOf(t, 'llama-ref-b', [...tensors, head]));
  t.match(differing.warnings, [/: "model\.embed_tokens\.weight" and "lm_head\.weight" differ/]);
  t.equal(differing.config.tied, false);
  await differing.close();
});

t.test('bf16 and f16 tensors become the f32 values that they encode', async (t) => {
  const gpt = await tensorsOf('gpt2-ref');
  const folder = await folderOf(
    t,
    'gpt2-ref',
    gpt.map((tensor) => ({ ...tensor, dtype: 'BF16' })),
  );
  const files = await openHuggingFaceFolder(folder);
  const table = (await files.read(specOf(files.config, 'embeddings.word'))) as Float32Array;
  const exact = gpt.find(({ name }) => name === 'transformer.wte.weight')?.data as Float32Array;
  t.equal(table.length, exact.length);
  // bf16 has 8 significant bits, so rounding moves a value by at most 2^-8 of itself.
  t.ok(table.every((value, i) => Math.abs(value - (exact[i] as number)) <= 2 ** -8 * Math.abs(exact[i] as number)));
  t.not(Buffer.compare(Buffer.from(table.buffer), Buffer.from(exact.buffer)), 0);
  await files.close();
});

/** Writes the tensors as shards of a few each, with an index changed by `edit`. */
async function sharded(
  t: Test,
  edit: (map: Record<string, string>) => Record<string, unknown> = (map) => map,
  name = 'gpt2-ref',
) {
  const tensors = await tensorsOf(name);
  const folder = t.testdir();
  await cp(join(golden(name), 'config.json'), join(folder, 'config.json'));
  const map: Record<string, string> = {};
  for (let shard = 0; shard < 3; shard++) {
    const file = `model-0000${shard + 1}-of-00003.safetensors`;
    const part = tensors.filter((_, i) => i % 3 === shard);
    for (const { name } of part) map[name] = file;
    await writeFile(join(folder, file), await encodeSafetensors(part));
  }
  const index = { metadata: { total_size: 1 }, weight_map: edit(map) };
  await writeFile(join(folder, 'model.safetensors.index.json'), JSON.stringify(index));
  return folder;
}

t.test('shards are read as one model', async (t) => {
  for (const name of ['gpt2-ref', 'llama-ref-a']) {
    t.same(await contents(await sharded(t, undefined, name)), await contents(golden(name)), name);
  }
});

t.test('an index that does not fit its shards is refused', async (t) => {
  const refuses = async (edit: (map: Record<string, string>) => Record<string, unknown>, message: RegExp) =>
    t.rejects(openHuggingFaceFolder(await sharded(t, edit)), { code: 'BAD_CHECKPOINT', message });
  await refuses(() => ({}), /index\.json: its "weight_map" names no tensor/);
  await refuses(
    (map) => ({ ...map, 'transformer.wte.weight': '../x.safetensors' }),
    /a file beside the index; got "\.\./,
  );
  await refuses((map) => ({ ...map, 'transformer.wte.weight': 3 }), /a file beside the index; got 3/);
  await refuses((map) => ({ ...map, 'transformer.wte.weight': 'x.safetensors' }), /x\.safetensors: cannot be opened/);
  await refuses(
    (map) => ({ ...map, extra: map['transformer.wte.weight'] }),
    /says that "extra" is in model-0000\d-of-00003\.safetensors, which does not have it/,
  );
  const folder = await sharded(t);
  await writeFile(join(folder, 'model.safetensors.index.json'), '{');
  await t.rejects(openHuggingFaceFolder(folder), { message: /index\.json is not JSON: / });
  await writeFile(join(folder, 'model.safetensors.index.json'), '{"weight_map": []}');
  await t.rejects(openHuggingFaceFolder(folder), { message: /has no "weight_map"/ });
});

t.test('tied tensors that differ make a model that is not tied', async (t) => {
  const tensors = await tensorsOf('gpt2-ref');
  const table = tensors.find(({ name }) => name === 'transformer.wte.weight') as TensorToWrite;
  const head = { ...table, name: 'lm_head.weight', data: (table.data as Float32Array).slice() };
  const equal = await openHuggingFaceFolder(await folderOf(t, 'gpt2-ref', [...tensors, head]));
  await equal.close();
  head.data[5] = (head.data[5] as number) + 1;
  t.equal(equal.config.tied, undefined);
  const untied = await openHuggingFaceFolder(await folderOf(t, 'gpt2-ref', [...tensors, head]));
  t.match(untied.warnings, [/"transformer\.wte\.weight" and "lm_head\.weight" differ/]);
  t.equal(untied.config.tied, false);
  t.same(await untied.read(specOf(untied.config, 'head.output')), head.data);
  await untied.close();
});

t.test('F64 and 8-bit floats become the nearest floats', async (t) => {
  const values = [1 / 3, -1e-30, 1e300, 0];
  const bytes = new Uint8Array(new Float64Array(values).buffer);
  t.same([...decodeFloat32('F64', bytes)!], values.map(Math.fround));
  // FP8 formats for deep learning (2022), table 1: largest, smallest normal and subnormal numbers of both.
  t.same([...decodeFloat32('F8_E4M3', Uint8Array.of(0x7e, 0x08, 0x01, 0xfe, 0))!], [448, 2 ** -6, 2 ** -9, -448, 0]);
  t.ok(Number.isNaN(decodeFloat32('F8_E4M3', Uint8Array.of(0x7f))![0]));
  t.same([...decodeFloat32('F8_E5M2', Uint8Array.of(0x7b, 0x04, 0x01, 0x7c))!], [57344, 2 ** -14, 2 ** -16, Infinity]);
  t.equal(decodeFloat32('F4', Uint8Array.of(1)), undefined);
});

t.test('what cannot be read says what to do', async (t) => {
  const folder = t.testdir();
  await cp(join(golden('tiny-bert-a'), 'config.json'), join(folder, 'config.json'));
  const refuses = (message: RegExp) => t.rejects(openHuggingFaceFolder(folder), { code: 'BAD_CHECKPOINT', message });
  await refuses(/has a config\.json but no weights: expected model\.safetensors, or/);
  await writeFile(join(folder, 'pytorch_model.bin'), 'PK');
  await refuses(
    /pytorch_model\.bin: a Python pickle, which runs code.*Only safetensors.*save_pretrained\(NEW_FOLDER\)/,
  );
  await rm(join(folder, 'pytorch_model.bin'));
  await writeFile(join(folder, 'tf_model.h5'), '');
  await refuses(/tf_model\.h5: TensorFlow's format/);
  await writeFile(join(folder, 'config.json'), '[1]');
  await refuses(/config\.json should hold a JSON object, and holds an array/);
  await writeFile(join(folder, 'config.json'), '{');
  await refuses(/config\.json is not JSON: /);
  await writeFile(join(folder, 'config.json'), '\ufeff{"model_type": "other"}');
  await refuses(/config\.json: model_type is "other"/); // a byte order mark does no harm
  await mkdir(join(folder, 'empty'));
  await t.rejects(openHuggingFaceFolder(join(folder, 'empty')), { message: /config\.json cannot be read: / });
});

import { mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { openHuggingFaceFolder } from '../../lib/interop/hugging-face-folder.js';
import { type FolderToWrite, shardsOf, writeHuggingFaceFolder } from '../../lib/interop/hugging-face-writer.js';
import { SafetensorsReader, type TensorToWrite } from '../../lib/interop/safetensors.js';
import {
  createModel,
  initialValue,
  type ModelConfig,
  type ParameterSpec,
  withDefaults,
} from '../../lib/models/index.js';

const config = withDefaults({ kind: 'bert', layers: 2, hidden: 8, heads: 2, vocabSize: 20, maxPositions: 6 });
const specs = createModel(config).parameters(2);
const valuesOf = (name: string) => {
  const spec = specs.find((each) => each.name === name);
  if (!spec) throw new Error(`no parameter "${name}"`);
  return initialValue({ ...spec, init: { kind: 'normal', std: 1 } }, 3);
};
const model: FolderToWrite = { config, specs, read: async (name) => valuesOf(name) };

/** A parameter of a model of this configuration. */
const specOf = (config: ModelConfig, name: string): ParameterSpec =>
  createModel(config)
    .parameters(1)
    .find((spec) => spec.name === name)!;

t.test('tensors fill files in order, and one that is too large has its own', async (t) => {
  const tensor = (name: string, elements: number): TensorToWrite => ({
    name,
    dtype: 'F32',
    shape: [elements],
    data: new Float32Array(elements),
  });
  const list = [tensor('a', 2), tensor('b', 3), tensor('c', 9), tensor('d', 1), tensor('e', 4), tensor('f', 1)];
  const names = (limit: number) => shardsOf(list, limit).map((shard) => shard.map(({ name }) => name).join(''));
  t.same(names(20), ['ab', 'c', 'de', 'f']);
  t.same(names(1e9), ['abcdef']);
  t.same(names(1), ['a', 'b', 'c', 'd', 'e', 'f']);
});

t.test('each parameter is read once, and each file listed with its size', async (t) => {
  const folder = join(t.testdir(), 'deep/er');
  const reads = new Map<string, number>();
  const shares: number[] = [];
  const files = await writeHuggingFaceFolder(folder, {
    ...model,
    read: async (name) => {
      reads.set(name, (reads.get(name) ?? 0) + 1);
      return valuesOf(name);
    },
    shardBytes: 700,
    files: [{ name: 'vocab.txt', content: 'ä\n' }],
    fields: { eos_token_id: 7 },
    onProgress: (done) => shares.push(done),
  });
  t.same(
    [...reads.values()],
    specs.map(() => 1),
  );
  t.equal(shares.at(-1), 1);
  t.ok(shares.every((share, i) => i === 0 || share > (shares[i - 1] as number)));
  t.same(
    files.map(({ name }) => name),
    (await readdir(folder)).sort(),
  );
  for (const { name, bytes } of files) t.equal((await readFile(join(folder, name))).length, bytes, name);
  const json = JSON.parse(await readFile(join(folder, 'config.json'), 'utf8')) as object;
  t.match(json, { model_type: 'bert', eos_token_id: 7, torch_dtype: 'float32' });
  const index = JSON.parse(await readFile(join(folder, 'model.safetensors.index.json'), 'utf8')) as {
    metadata: { total_size: number };
    weight_map: Record<string, string>;
  };
  t.equal(index.metadata.total_size, 4 * specs.reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0));
  for (const file of new Set(Object.values(index.weight_map))) {
    const reader = await SafetensorsReader.open(join(folder, file));
    const inside = Object.entries(index.weight_map).flatMap(([name, place]) => (place === file ? [name] : []));
    t.same([...reader.tensors.keys()].sort(), inside, file);
    await reader.close();
  }
  const back = await openHuggingFaceFolder(folder);
  for (const spec of specs) t.same(await back.read(spec), valuesOf(spec.name), spec.name);
  await back.close();
});

t.test('an exported model is replaced only when asked, and nothing else ever', async (t) => {
  const root = t.testdir();
  const folder = join(root, 'out');
  await mkdir(folder);
  await writeHuggingFaceFolder(folder, { ...model, shardBytes: 700 }); // an empty folder is free
  const refuses = (options: Partial<FolderToWrite>, message: RegExp, path = folder) =>
    t.rejects(writeHuggingFaceFolder(path, { ...model, ...options }), { code: 'BAD_ARGUMENT', message });
  await refuses({}, /out holds an exported model already\. Name another folder, or replace it with --force/);
  await writeFile(join(folder, 'README.md'), 'mine');
  await mkdir(join(folder, '.git'));
  await writeHuggingFaceFolder(folder, { ...model, force: true });
  t.same((await readdir(folder)).sort(), ['.git', 'README.md', 'config.json', 'model.safetensors'], 'no shard is left');
  t.same(await readdir(root), ['out'], 'no other folder is left');

  await mkdir(join(root, 'home'));
  await writeFile(join(root, 'home/thesis.txt'), 'mine');
  await refuses({ force: true }, /home is not empty and does not hold an exported model/, join(root, 'home'));
  await refuses({ force: true }, /thesis\.txt is a file; name a folder/, join(root, 'home/thesis.txt'));
  await t.rejects(writeHuggingFaceFolder(join(root, 'home/thesis.txt/out'), model), {
    code: 'FILE_SYSTEM',
    message: /The exported model cannot be written: .*out: .*\((ENOTDIR|EEXIST)\)/,
  });
  t.equal(await readFile(join(root, 'home/thesis.txt'), 'utf8'), 'mine');

  await symlink(folder, join(root, 'link'));
  await writeHuggingFaceFolder(join(root, 'link'), { ...model, force: true });
  t.equal(await readFile(join(root, 'link/README.md'), 'utf8'), 'mine', 'through a link to the folder it names');
});

t.test('an export that fails or is stopped leaves what was there', async (t) => {
  const root = t.testdir();
  const folder = join(root, 'out');
  await writeHuggingFaceFolder(folder, model);
  const before = await readFile(join(folder, 'model.safetensors'));
  const failing: FolderToWrite = {
    ...model,
    force: true,
    read: async (name) => {
      if (name === 'layer.1.ffn.up.weight') throw new Error('the disk is on fire');
      return valuesOf(name);
    },
  };
  await t.rejects(writeHuggingFaceFolder(folder, failing), { message: 'the disk is on fire' });
  const controller = new AbortController();
  const stopped = { ...model, force: true, signal: controller.signal, onProgress: () => controller.abort() };
  await t.rejects(writeHuggingFaceFolder(folder, stopped), { code: 'ABORT_ERR', message: /nothing was written/ });
  await t.rejects(writeHuggingFaceFolder(join(root, 'new'), stopped), { code: 'ABORT_ERR' });
  t.same(await readdir(root), ['out']);
  t.same(await readFile(join(folder, 'model.safetensors')), before);
});

t.test('a value beyond f16 is refused, infinities are kept', async (t) => {
  const root = t.testdir();
  const reading = (value: number): FolderToWrite => ({
    ...model,
    dtype: 'f16',
    read: async (name) => valuesOf(name).fill(value, 0, 1),
  });
  await t.rejects(writeHuggingFaceFolder(join(root, 'a'), reading(-70000)), {
    code: 'BAD_ARGUMENT',
    message: /"bert\..*" holds -70000, which f16 cannot \(its largest number is 65504\)\. Export as bf16 or f32/,
  });
  t.same(await readdir(root), []);
  await writeHuggingFaceFolder(join(root, 'b'), reading(Number.POSITIVE_INFINITY));
  const back = await openHuggingFaceFolder(join(root, 'b'));
  t.equal((await back.read(specOf(back.config, 'head.bias')))?.[0], Number.POSITIVE_INFINITY);
  await back.close();
});

/**
 * Against Python's transformers, in both directions: it loads what is exported here and gives the same logits and ids,
 * and what it saves is loaded here with equal logits. Runs where APOLLO_PYTHON names a Python that has it.
 */
import { spawnSync } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { loadTokenizer } from '../../lib/data/index.js';
import { Graph, type Tensor } from '../../lib/engine/index.js';
import {
  classification,
  exportFineTuned,
  loadFineTuned,
  NetworkPrograms,
  type Outputs,
  predict,
  regression,
  sequenceEncoder,
  spans,
  type TunedTask,
} from '../../lib/eval/index.js';
import { SafetensorsReader } from '../../lib/interop/safetensors.js';
import { modelWeights } from '../../lib/models/index.js';
import { exportModel, loadModel } from '../../lib/train/index.js';
import { shared } from '../data/support.js';
import { tinyFineTuned } from '../eval/support.js';
import { relativeError } from '../parity/golden.js';
import { openTinyDevice } from '../train/tiny.js';
import { logitsOf, tinyRun } from '../train/tiny-run.js';

const python = process.env['APOLLO_PYTHON'];
const skip = python ? false : 'APOLLO_PYTHON is not set (a Python with torch, transformers and safetensors)';

/** f32 sums in another order; the models' logits are of order 1. */
const tolerance = 1e-4;
const [batch, seq] = [2, 12];
const tokens = Int32Array.from({ length: batch * seq }, (_, i) => (7 * i * i + 3 * i + 1) % 60);
const rows = Array.from({ length: batch }, (_, row) => [...tokens.slice(row * seq, (row + 1) * seq)]);

const classes = { bert: 'BertForMaskedLM', gpt: 'GPT2LMHeadModel', llama: 'LlamaForCausalLM' } as const;
const taskClasses = { bert: 'Bert', gpt: 'GPT2', llama: 'Llama' } as const;
const kinds = ['bert', 'gpt', 'llama'] as const;
const causal = { batch, seq, padding: false };
const shapes = { bert: { ...causal, targets: 1 }, gpt: causal, llama: causal };

function ask(jobs: readonly object[]): Record<string, unknown>[] {
  const script = join(import.meta.dirname, 'transformers_models.py');
  const { status, stdout, stderr } = spawnSync(python as string, [script], {
    input: JSON.stringify(jobs),
    encoding: 'utf8',
    maxBuffer: 1 << 26,
  });
  if (status !== 0) throw new Error(`${python} ${script}: ${stderr}`);
  return JSON.parse(stdout) as Record<string, unknown>[];
}

async function logitsIn(path: string): Promise<Float32Array> {
  await using reader = await SafetensorsReader.open(path);
  return reader.readFloat32('logits');
}

t.test('transformers loads what is exported, with the same logits and ids', { skip }, async (t) => {
  await using device = await openTinyDevice();
  const root = t.testdir();
  const variants = [
    { name: 'f32', dtype: 'f32', torch: 'torch.float32' },
    { name: 'sharded', dtype: 'f32', shardBytes: 20_000, torch: 'torch.float32' },
    { name: 'bf16', dtype: 'bf16', torch: 'torch.bfloat16' },
    { name: 'f16', dtype: 'f16', torch: 'torch.float16' },
    { name: 'stored', dtype: 'f32', depth: 'stored', torch: 'torch.float32' },
  ] as const;
  const jobs: Record<string, unknown>[] = [];
  const texts: string[] = [];
  for (const kind of kinds) {
    const run = join(root, kind);
    await mkdir(run);
    const { text } = await tinyRun(device, kind, run);
    if (texts.length === 0)
      texts.push(...text.split('\n').filter(Boolean).slice(0, 20), 'Ünïcode 文字 🙂  two  blanks\n');
    for (const { name, torch: _, ...options } of variants) {
      const folder = join(root, `${kind}-${name}`);
      await exportModel(run, folder, options);
      jobs.push({
        do: 'load',
        class: classes[kind],
        folder,
        tokens: rows,
        texts,
        out: join(root, `${kind}-${name}.st`),
      });
    }
  }
  const answers = ask(jobs);
  let index = 0;
  for (const kind of kinds) {
    for (const { name, torch } of variants) {
      const folder = join(root, `${kind}-${name}`);
      const answer = answers[index++] as Record<string, unknown>;
      const loaded = await loadModel(device, folder);
      const { tokenizer } = loaded;
      const { missing, unexpected, mismatched, layers, dtype, max_length } = answer;
      t.same([missing, unexpected, mismatched], [[], [], []], `${kind} ${name}: every weight has its place`);
      t.same(
        [answer['class'], layers, dtype, max_length],
        [classes[kind], name === 'stored' ? 2 : 4, torch, 24],
        `${kind} ${name}: what the Auto class makes of it`,
      );
      t.same(
        answer['ids'],
        texts.map((text) => [...loadTokenizer(folder).encode(text)]),
        `${kind} ${name}: ids`,
      );
      if (kind !== 'bert') {
        t.equal(answer['eos'], tokenizer?.specials.eot);
        const generated = answer['generated'] as number[];
        t.same(generated.slice(0, 4), rows[0]?.slice(0, 4));
        t.ok(generated.length > 4, 'it generates');
      }
      const ours = await logitsOf(device, loaded, tokens, shapes[kind]);
      const error = relativeError(ours, await logitsIn(join(root, `${kind}-${name}.st`)));
      t.ok(error <= tolerance, `${kind} ${name}: relative error of the logits ${error.toExponential(1)}`);
      loaded.dispose();
    }
  }
});

t.test('what transformers saves is loaded here, with equal logits', { skip }, async (t) => {
  await using device = await openTinyDevice();
  const root = t.testdir();
  const cases = kinds.flatMap((kind) => ['5GB', '10KB'].map((shard) => ({ kind, shard, name: `${kind}-${shard}` })));
  const answers = ask(
    cases.map(({ kind, shard, name }) => ({
      do: 'make',
      kind,
      shard,
      folder: join(root, name),
      tokens: rows,
      out: join(root, `${name}.st`),
    })),
  );
  for (const [index, { kind, shard, name }] of cases.entries()) {
    const files = answers[index]?.['files'] as string[];
    t.equal(files.includes('model.safetensors.index.json'), shard === '10KB', `${name}: ${files.join(', ')}`);
    const loaded = await loadModel(device, join(root, name));
    t.same(loaded.warnings, []);
    const error = relativeError(
      await logitsOf(device, loaded, tokens, shapes[kind]),
      await logitsIn(join(root, `${name}.st`)),
    );
    t.ok(error <= tolerance, `${name}: relative error of the logits ${error.toExponential(1)}`);
    loaded.dispose();
  }
});

const tasks: readonly TunedTask[] = [
  { name: 'a', title: 'A', head: classification(3), labels: ['no', 'perhaps', 'yes'] },
  { name: 'b', title: 'B', head: regression() },
  { name: 'c', title: 'C', head: spans },
];

t.test('transformers loads fine-tuned models, with the same outputs, labels and ids', { skip }, async (t) => {
  await using device = await openTinyDevice();
  const root = t.testdir();
  const texts = [['a warm film'], ['the story limps', 'it was a bore']] as const;
  const cases = kinds.flatMap((kind) => tasks.map((task) => ({ kind, task, out: join(root, `${kind}-${task.name}`) })));
  const jobs: object[] = [];
  const expected: Outputs[] = [];
  const encoded: { tokens: number[]; types: number[] }[][] = [];
  for (const { kind, task, out } of cases) {
    const folder = await tinyFineTuned(device, kind, task);
    await exportFineTuned(folder, out, { task });
    const { model, store, layerMap, tokenizer, maxLength, dispose } = await loadFineTuned(device, folder, task);
    const encoder = sequenceEncoder(tokenizer, model.config, maxLength);
    const sequences = texts.map(([a, b]) => encoder.encode(a, b));
    const { head } = task;
    const programs = new NetworkPrograms({ device, store, model, layerMap, head, batch: 2 });
    const features = sequences.map((sequence) => [sequence]);
    expected.push(await predict(programs, features, { head, batch: 2, maxLength, padId: encoder.padId }));
    encoded.push(sequences);
    programs.dispose();
    dispose();
    const suffix = task.head.huggingFace?.task;
    jobs.push({
      do: 'tuned',
      class: `AutoModelFor${suffix}`,
      folder: out,
      sequences: sequences.map(({ tokens, types }) => [tokens, types]),
      texts,
    });
  }
  for (const [index, answer] of ask(jobs).entries()) {
    const { kind, task } = cases[index]!;
    const { huggingFace } = task.head;
    const name = `${kind} ${huggingFace?.task}`;
    t.equal(answer['class'], `${taskClasses[kind]}For${huggingFace?.task}`);
    t.same([answer['missing'], answer['unexpected']], [[], []], name);
    if (huggingFace?.outputs) t.equal(answer['problem'], huggingFace.outputs.problem, name);
    if (task.labels) t.same(answer['labels'], task.labels, name);
    t.same(
      answer['ids'],
      encoded[index]!.map(({ tokens }) => tokens),
      name,
    );
    if (kind === 'bert') {
      t.same(
        answer['types'],
        encoded[index]!.map(({ types }) => types),
        name,
      );
    }
    for (const [sequence, theirs] of (answer['outputs'] as number[][]).entries()) {
      const [row] = expected[index]![sequence] as [Float32Array];
      // Of spans, ours are start and end logits of all places of the bucket.
      const length = encoded[index]![sequence]!.tokens.length;
      const seq = row.length / 2;
      const ours = task.head === spans ? [...row.slice(0, length), ...row.slice(seq, seq + length)] : [...row];
      const error = relativeError(Float32Array.from(ours), Float32Array.from(theirs));
      t.ok(error <= tolerance, `${name}: relative error of the outputs ${error.toExponential(1)}`);
    }
  }
});

const pickle = shared('golden/bert-xsmall-dummy');
t.test(
  'a pickle is refused, and read after the conversion that the error names',
  { skip: skip || pickle.skip },
  async (t) => {
    await using device = await openTinyDevice();
    const folder = join(t.testdir(), 'converted');
    const { message } = (await loadModel(device, pickle.path).catch((error: unknown) => error)) as Error;
    const [, advice] = /in Python: (.*); then copy the tokenizer's files\.$/.exec(message) ?? [];
    t.ok(advice, message);
    const code = (advice as string).replace('NEW_FOLDER', JSON.stringify(folder));
    const { status, stderr } = spawnSync(python as string, ['-c', code], {
      encoding: 'utf8',
      env: { ...process.env, HF_HUB_OFFLINE: '1' },
    });
    t.equal(status, 0, stderr);
    const loaded = await loadModel(device, folder);
    t.same(loaded.warnings, []);
    const { model, store, layerMap } = loaded;
    await using expected = await SafetensorsReader.open(join(pickle.path, 'expected_hf.safetensors'));
    const graph = new Graph();
    const shape = { batch: 2, seq: 12, padding: true, types: true, targets: 1 };
    const { hiddenStates, loss } = model.trace(graph, modelWeights(graph, model, 'f32'), shape, {
      layerMap,
      training: false,
      hiddenStates: true,
    });
    graph.output('last', hiddenStates?.at(-1) as Tensor);
    graph.output('loss', loss);
    const program = await device.compile(graph, { store });
    const { outputs } = await program.run({
      tokens: await expected.readInt32('input_ids'),
      types: await expected.readInt32('token_type_ids'),
      mask: await expected.readInt32('attention_mask'),
      positions: [0],
      labels: [1],
    });
    const error = relativeError(outputs['last'] as Float32Array, await expected.readFloat32('last_hidden_state'));
    t.ok(error <= tolerance, `relative error of the last hidden state ${error.toExponential(1)}`);
    program.dispose();
    loaded.dispose();
  },
);

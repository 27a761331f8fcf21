/** Fine-tuned models as Hugging Face folders: what is written, and that it is read back with the same bits. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import type { Device } from '../../../lib/engine/index.js';
import {
  classification,
  evaluateTask,
  exportFineTuned,
  type FineTuneTask,
  type Head,
  loadFineTuned,
  regression,
  spans,
  type TunedTask,
  taskByName,
} from '../../../lib/eval/index.js';
import { SafetensorsReader } from '../../../lib/interop/safetensors.js';
import { testDevice } from '../../device.js';
import { temporaryFolder, tinyFineTuned, tinyTokenizer } from '../support.js';

let device: Device;
t.before(async () => {
  device = await testDevice({ threads: 1 });
});
t.teardown(() => device.close());

const json = (...path: string[]) => JSON.parse(readFileSync(join(...path), 'utf8'));
const task = (head: Head, labels?: readonly string[]): TunedTask => ({
  name: 'toy',
  title: 'Toy',
  head,
  ...(labels && { labels }),
});

async function weights(folder: string, of: TunedTask): Promise<Map<string, Float32Array>> {
  const loaded = await loadFineTuned(device, folder, of);
  const values = new Map<string, Float32Array>();
  for (const name of loaded.store.names()) values.set(name, await loaded.store.read(name));
  loaded.dispose();
  return values;
}

for (const [kind, prefix] of [
  ['bert', 'Bert'],
  ['gpt', 'GPT2'],
  ['llama', 'Llama'],
] as const) {
  for (const [name, of, fields] of [
    [
      'SequenceClassification',
      task(classification(3), ['no', 'perhaps', 'yes']),
      {
        problem_type: 'single_label_classification',
        id2label: { 0: 'no', 1: 'perhaps', 2: 'yes' },
        label2id: { no: 0, perhaps: 1, yes: 2 },
      },
    ],
    ['SequenceClassification', task(regression()), { problem_type: 'regression', id2label: { 0: 'LABEL_0' } }],
    ['QuestionAnswering', task(spans), {}],
  ] as const) {
    t.test(`${kind}, ${of.head.kind}: there and back with the same bits`, async (t) => {
      const folder = await tinyFineTuned(device, kind, of);
      const out = join(temporaryFolder(), 'exported');
      const exported = await exportFineTuned(folder, out, { task: of });
      t.match(exported, { autoClass: `AutoModelFor${name}`, stored: 2 });
      t.equal(exported.warnings.length, kind === 'bert' ? 0 : 1);
      t.match(json(out, 'config.json'), { architectures: [`${prefix}For${name}`], ...fields });
      t.equal(json(out, 'tokenizer_config.json').model_max_length, 40);
      t.same(await weights(out, of), await weights(folder, of));
    });
  }
}

/** The sequences that a task's examples become for the model in `folder`. */
async function sequences(folder: string, of: TunedTask, examples: readonly (readonly [string, string?])[]) {
  const seen: number[][] = [];
  const task: FineTuneTask<readonly [string, string?]> = {
    ...of,
    metrics: ['none'],
    read: async () => ({ train: [], evaluations: [], tests: [], notes: [] }),
    features([a, b], encoder) {
      const feature = encoder.encode(a, b);
      seen.push(feature.tokens);
      return [feature];
    },
    score: () => ({ none: 0 }),
    predictions: () => [],
  };
  const data = { evaluations: [{ name: 'dev', examples }], tests: [] };
  await evaluateTask({ device, folder, task, data, batch: 2 });
  return seen;
}

t.test(
  "a causal model of other origin reads what its tokenizer makes, one tuned here its trainer's marks",
  async (t) => {
    const of = task(classification(2), ['no', 'yes']);
    const examples = [['a warm film'], ['the story limps', 'it was a bore']] as const;
    for (const kind of ['gpt', 'llama'] as const) {
      const tokenizer = await tinyTokenizer(kind);
      const { eot } = tokenizer.specials;
      const ids = (text: string) => [...tokenizer.encode(text)];
      const tuned = await tinyFineTuned(device, kind, of);
      const out = join(temporaryFolder(), 'exported');
      await exportFineTuned(tuned, out, { task: of });
      const marked = [
        [eot, ...ids(examples[0][0]), eot],
        [eot, ...ids(examples[1][0]), eot, ...ids(examples[1][1]), eot],
      ];
      t.same(await sequences(tuned, of, examples), marked, `${kind}, tuned here`);
      t.same(await sequences(out, of, examples), marked, `${kind}, exported: its tokenizer adds the marks`);
      writeFileSync(join(out, 'tokenizer.json'), JSON.stringify(tokenizer.definition));
      const bare = [ids(examples[0][0]), [...ids(examples[1][0]), ...ids(examples[1][1])]];
      t.same(await sequences(out, of, examples), bare, `${kind}, with a tokenizer that adds nothing`);
    }
  },
);

t.test('a model that is used for another task with the same head warns', async (t) => {
  const of = task(classification(2), ['no', 'yes']);
  const folder = await tinyFineTuned(device, 'bert', of);
  for (const [name, warnings] of [
    ['toy', []],
    ['other', [/was fine-tuned on toy and is used for other: both have classification of 2/]],
  ] as const) {
    const loaded = await loadFineTuned(device, folder, { ...of, name });
    t.match(loaded.warnings, warnings);
    t.equal(loaded.warnings.length, warnings.length);
    loaded.dispose();
  }
});

t.test('a language model is no fine-tuned one, which the message says', async (t) => {
  const of = task(classification(2));
  for (const [name, message] of [
    ['golden/tiny-bert-a', /is a BertModel, which has no head for Toy\. Fine-tune it first: .*--task toy/],
    ['golden/gpt2-ref', /is a bare model, which has no head for Toy/],
    ['published/g-untied', /is a GPT2LMHeadModel, which has no head for Toy/],
  ] as const) {
    const folder = join(import.meta.dirname, '../../fixtures', name);
    await t.rejects(loadFineTuned(device, folder, of), { code: 'BAD_CONFIG', message });
  }
});

t.test('classes that are numbers in the files of a task are exported by what they mean', async (t) => {
  const named = { ...task(classification(2), ['0', '1']), classes: taskByName('sst2').classes! };
  const folder = await tinyFineTuned(device, 'bert', named);
  const out = join(temporaryFolder(), 'exported');
  const exported = await exportFineTuned(folder, out, { task: named });
  t.same(json(out, 'config.json').id2label, { 0: 'negative', 1: 'positive' });
  t.same(json(out, 'config.json').label2id, { negative: 0, positive: 1 });
  t.same(exported.warnings, []);
  t.same(await weights(out, named), await weights(folder, named), 'found again by these names');
});

t.test('a Llama has the names of its classes, which for spans have another prefix', async (t) => {
  for (const [of, names] of [
    [task(classification(3)), ['model.embed_tokens.weight', 'score.weight']],
    [task(spans), ['qa_outputs.bias', 'qa_outputs.weight', 'transformer.embed_tokens.weight']],
  ] as const) {
    const out = join(temporaryFolder(), 'exported');
    await exportFineTuned(await tinyFineTuned(device, 'llama', of), out, { task: of });
    await using reader = await SafetensorsReader.open(join(out, 'model.safetensors'));
    const outside = [...reader.tensors.keys()].filter((name) => !/layers|norm/.test(name));
    t.same(outside.sort(), names, of.head.kind);
  }
});

t.test('a model whose layers share weights gets all its layers', async (t) => {
  const of = task(classification(2));
  const folder = await tinyFineTuned(device, 'bert', of, [0, 0]);
  const out = join(temporaryFolder(), 'exported');
  t.match(await exportFineTuned(folder, out, { task: of }), { stored: 1, config: { layers: 2 } });
  const [ours, theirs] = [await weights(folder, of), await weights(out, of)];
  for (const [name, values] of theirs) t.same(values, ours.get(name.replace(/^layer\.1\./, 'layer.0.')), name);
});

t.test('what cannot be exported or read is refused, and nothing is left behind', async (t) => {
  const of = task(classification(2), ['no', 'yes']);
  const folder = await tinyFineTuned(device, 'bert', of);
  const root = temporaryFolder();
  const out = join(root, 'exported');
  const { huggingFace: _, ...unknown } = of.head;
  await t.rejects(exportFineTuned(folder, out, { task: { ...of, head: unknown } }), {
    code: 'BAD_ARGUMENT',
    message: /no class for a head of classification of 2/,
  });
  await t.rejects(exportFineTuned(folder, out), { code: 'BAD_CONFIG', message: /no task "toy"/ });
  await t.rejects(exportFineTuned(folder, out, { task: task(regression()) }), {
    code: 'BAD_CONFIG',
    message: /was fine-tuned on toy \(classification of 2\); Toy needs regression/,
  });
  t.same(readdirSync(root), []);

  await exportFineTuned(folder, out, { task: of });
  await t.rejects(exportFineTuned(folder, out, { task: of }), { code: 'BAD_ARGUMENT', message: /--force|force/ });
  await exportFineTuned(folder, out, { task: of, force: true, dtype: 'bf16', shardBytes: 20_000 });
  t.ok(readdirSync(out).includes('model.safetensors.index.json'));

  for (const [other, message] of [
    [task(classification(3)), /BertForSequenceClassification with 2 outputs; Toy needs classification of 3/],
    [task(spans), /BertForSequenceClassification with 2 outputs; Toy needs spans/],
  ] as const) {
    await t.rejects(loadFineTuned(device, out, other), { code: 'BAD_CONFIG', message });
  }
  (await loadFineTuned(device, out, task(classification(2), ['0', '1']))).dispose(); // names of other people
  const index = json(out, 'model.safetensors.index.json');
  const file = index.weight_map['classifier.weight'];
  writeFileSync(join(out, file), readFileSync(join(out, file)).subarray(0, 100));
  await t.rejects(loadFineTuned(device, out, of), { code: 'BAD_CHECKPOINT' });
});

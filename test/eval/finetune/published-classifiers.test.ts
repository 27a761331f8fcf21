/** Published classifiers: a task gets the same scores for any order and names of their classes. */
import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { run } from '../../../lib/cli/run.js';
import { evaluateTask, taskByName } from '../../../lib/eval/index.js';
import { encodeSafetensors, SafetensorsReader, type TensorToWrite } from '../../../lib/interop/safetensors.js';
import { memoryIo } from '../../cli/support.js';
import { testDevice } from '../../device.js';

const device = await testDevice({ threads: 1 });
t.teardown(() => device.close());
const fixture = (name: string): string => join(import.meta.dirname, '../../fixtures/published', name);

/** The fixture with rows of its classifier in the order `rows`, which are then called `names`. */
async function reordered(t: Test, name: string, rows: readonly number[], fields: object): Promise<string> {
  const folder = t.testdir();
  cpSync(fixture(name), folder, { recursive: true });
  const tensors: TensorToWrite[] = [];
  await using reader = await SafetensorsReader.open(join(fixture(name), 'model.safetensors'));
  for (const { name: tensor, shape } of reader.tensors.values()) {
    const data = await reader.readFloat32(tensor);
    const width = data.length / rows.length;
    const order = () => Float32Array.from(data, (_, i) => data[rows[Math.floor(i / width)]! * width + (i % width)]!);
    tensors.push({ name: tensor, dtype: 'F32', shape, data: tensor.startsWith('classifier.') ? order() : data });
  }
  writeFileSync(join(folder, 'model.safetensors'), await encodeSafetensors(tensors));
  const { id2label: _, label2id: __, ...json } = JSON.parse(readFileSync(join(folder, 'config.json'), 'utf8'));
  writeFileSync(join(folder, 'config.json'), JSON.stringify({ ...json, ...fields }));
  return folder;
}

const named = (...names: string[]) => ({ id2label: Object.fromEntries(names.map((name, id) => [id, name])) });

async function scores(name: string, folder: string) {
  const task = taskByName(name);
  const data = await task.read(join(fixture(name), 'data'), ['evaluations']);
  return evaluateTask({ device, folder, task, data, batch: 4 });
}

t.test('SST-2 is 100 for any names and order of its classes', async (t) => {
  const cases: readonly (readonly [readonly number[], object, number])[] = [
    [[0, 1], named('negative', 'positive'), 0],
    [[1, 0], named('positive', 'negative'), 0],
    [[1, 0], named('POSITIVE', 'NEGATIVE'), 0],
    [[0, 1], named('LABEL_0', 'LABEL_1'), 1],
    [[1, 0], { label2id: { positive: 0, negative: 1 } }, 0],
    [[0, 1], {}, 1],
  ];
  for (const [rows, fields, warnings] of cases) {
    const found = await scores('sst2', await reordered(t, 'sst2', rows, fields));
    t.equal(found.metrics['dev']!['accuracy'], 1, JSON.stringify(fields));
    t.equal(found.warnings.length, warnings);
  }
});

t.test('MNLI is two thirds, also where the classes have no names', async (t) => {
  const cases: readonly (readonly [readonly number[], object, number])[] = [
    [[0, 1, 2], named('ENTAILMENT', 'NEUTRAL', 'CONTRADICTION'), 0],
    [[2, 0, 1], named('contradiction', 'entailment', 'neutral'), 0],
    [[0, 1, 2], named('LABEL_0', 'LABEL_1', 'LABEL_2'), 1],
  ];
  for (const [rows, fields, warnings] of cases) {
    const found = await scores('mnli', await reordered(t, 'mnli', rows, fields));
    t.ok(Math.abs(found.metrics['matched']!['accuracy']! - 2 / 3) < 1e-9, JSON.stringify(fields));
    t.equal(found.warnings.length, warnings);
  }
});

t.test('evaluate --out: tests alone give predictions, and no line of scores', async (t) => {
  const folder = await reordered(t, 'sst2', [0, 1], named('negative', 'positive'));
  const data = join(folder, 'tests');
  mkdirSync(data);
  writeFileSync(join(data, 'test.tsv'), 'index\tsentence\n0\tgood\n');
  const evaluate = async (...args: string[]) => {
    const io = memoryIo();
    const given = ['--model', folder, '--task', 'sst2', '--threads', '1', ...args];
    return { code: await run(['evaluate', ...given], io), out: io.out(), err: io.err() };
  };
  const out = join(folder, 'predicted');
  t.equal((await evaluate('--data', data, '--out', out)).out, `predictions: ${join(out, 'SST-2.tsv')}\n`);
  const without = await evaluate('--data', data);
  t.equal(without.code, 1);
  t.match(without.err, /has no dev\.tsv.* To predict its test\.tsv alone, give evaluate --out\./);
});

t.test('evaluate --out: a folder that cannot be written is found before anything is measured', async (t) => {
  const io = memoryIo();
  const out = join(t.testdir({ file: '' }), 'file');
  t.equal(await run(['evaluate', '--model', 'no-model', '--text', 'no-text', '--out', out], io), 1);
  t.match(io.err(), /The results cannot be written: .*file: a file stands where a folder is needed \(ENOTDIR\)/);
});

t.test('evaluate --json gives its notes on stderr and in its results', async (t) => {
  const folder = await reordered(t, 'sst2', [0, 1], {});
  const out = join(folder, 'out');
  writeFileSync(join(folder, 'data/test.tsv'), 'index\tsentence\n0\tgood\n');
  const args = ['--task', 'sst2', '--data', join(folder, 'data'), '--threads', '1', '--json', '--out', out];
  const io = memoryIo();
  t.equal(await run(['evaluate', '--model', folder, ...args], io), 0, io.err());
  t.match(io.err(), /^warning: .*have no known meaning/);
  for (const text of [io.out(), readFileSync(join(out, 'results.json'), 'utf8')]) {
    t.match(JSON.parse(text).warnings, [/order of Hugging Face's datasets/]);
  }
});

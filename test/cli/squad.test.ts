/** SQuAD through the commands: fine-tuning a tiny model, measuring it, its files, and settings that only SQuAD has. */
import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { run } from '../../lib/cli/run.js';
import { fixture } from '../data/support.js';
import { smallTokenizer } from '../eval/finetune/squad/support.js';
import { engineMissing, memoryIo, temporaryFolder } from './support.js';

const folder = temporaryFolder();
const model = join(folder, 'model');
mkdirSync(model);
for (const name of ['config.json', 'model.safetensors']) {
  copyFileSync(fixture(`golden/tiny-bert-a/${name}`), join(model, name));
}
writeFileSync(join(model, 'tokenizer.json'), JSON.stringify(smallTokenizer().definition));
const v1 = fixture('squad/made-up-v1.1.json');
const v2 = fixture('squad/made-up-v2.0.json');

const command = async (...args: string[]) => {
  const io = memoryIo();
  const code = await run(args, io);
  return { code, out: io.out(), err: io.err() };
};
const read = (path: string): any => JSON.parse(readFileSync(path, 'utf8'));
const skip = engineMissing();

t.test('v2.0 from fine-tuning to the files of the official script', { skip }, async (t) => {
  const data = join(folder, 'data');
  mkdirSync(data);
  copyFileSync(v2, join(data, 'train-v2.0.json'));
  copyFileSync(v2, join(data, 'dev-v2.0.json'));
  copyFileSync(v1, join(data, 'train-v1.1.json'));
  const out = join(folder, 'tuned');
  const settings = [
    '--max-length',
    '48',
    '--doc-stride',
    '12',
    '--epochs',
    '2',
    '--batch',
    '4',
    '--learning-rate',
    '1e-3',
  ];
  const tuned = await command(
    ...['finetune', '--task', 'squad2', '--data', data, '--model', model, '--threads', '1', '--out', out],
    ...settings,
  );
  t.equal(tuned.code, 0, tuned.err);
  t.match(tuned.out, /SQuAD v2\.0, scores x 100/);
  t.match(tuned.out, /no answer/, 'the baseline');
  const results = read(join(out, 'results.json'));
  t.same(results.splits, ['dev-v2.0']);
  t.equal(results.baselines[0].metrics['dev-v2.0'].exact, 0.4);

  const best = join(out, 'pre-trained/seed-42/model');
  const found = join(folder, 'found');
  const measured = await command(
    ...['evaluate', '--model', best, '--data', data, '--doc-stride', '12', '--null-threshold', '-1.5'],
    ...['--threads', '1', '--out', found],
  );
  t.equal(measured.code, 0, measured.err);
  t.match(measured.out, /SQuAD v2\.0: dev-v2\.0 f1 \d/);
  t.match(measured.out, /dev-v2\.0: best F1 .* with --null-threshold /);
  const ids = ['river-1', 'river-2', 'river-3', 'garden-1', 'garden-2'];
  const predictions = read(join(found, 'dev-v2.0/predictions.json'));
  const odds = read(join(found, 'dev-v2.0/null_odds.json'));
  const lists = read(join(found, 'dev-v2.0/nbest_predictions.json'));
  t.same([Object.keys(predictions), Object.keys(odds), Object.keys(lists)], [ids, ids, ids]);
  for (const id of ids) {
    const answer = lists[id].find(({ text }: { text: string }) => text !== '')?.text ?? '';
    t.equal(predictions[id], odds[id] > -1.5 ? '' : answer, id);
  }
  t.equal(read(join(found, 'dev-v2.0/scores.json')).total, 5);
});

t.test('v1.1 with the files named', { skip }, async (t) => {
  const out = join(folder, 'first');
  const tuned = await command(
    ...['finetune', '--task', 'squad', '--data', v1, '--dev', v1, '--model', model, '--threads', '1'],
    ...['--max-length', '64', '--epochs', '1', '--batch', '8', '--out', out],
  );
  t.equal(tuned.code, 0, tuned.err);
  t.match(tuned.out, /f1 +exact/);
  const best = join(out, 'pre-trained/seed-42/model');
  const measured = await command('evaluate', '--model', best, '--data', v1, '--threads', '1', '--json');
  t.equal(measured.code, 0, measured.err);
  const { task } = JSON.parse(measured.out);
  t.same(
    task.metrics['made-up-v1.1'],
    read(join(out, 'results.json')).variants[0].seeds[0].best.metrics['made-up-v1.1'],
  );
});

t.test('what is wrong is said before anything is written', async (t) => {
  const out = join(folder, 'nothing');
  const failing = async (...args: string[]): Promise<string> => {
    const { code, err } = await command('finetune', '--data', v2, '--model', model, '--out', out, ...args);
    t.equal(code, 1);
    t.notOk(existsSync(out));
    return err;
  };
  t.match(await failing('--task', 'cola', '--doc-stride', '5'), /--doc-stride is of squad, squad2; CoLA has no such/);
  t.match(await failing('--task', 'squad2', '--n-best', '0'), /--n-best must be at least 1; got 0/);
  t.match(await failing('--task', 'squad2'), /holds no dev\*\.json.*--dev/);
  t.match(await failing('--task', 'squad', '--dev', v1), /river-2 has no answer.*squad2/);
});

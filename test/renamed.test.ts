/** Old names of settings: an error with the new one wherever a user gives one, and current names in files of earlier versions. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { run } from '../lib/cli/run.js';
import { loadSettings } from '../lib/cli/settings/config.js';
import { flagOf, settingNames } from '../lib/cli/settings/schema.js';
import { arraySource } from '../lib/data/batches/token-source.js';
import { createMethod } from '../lib/methods/index.js';
import { createModel, type ModelConfig, preset } from '../lib/models/index.js';
import { oldNames, renamedText, withCurrentNames } from '../lib/renamed.js';
import { readMetrics } from '../lib/report/metrics.js';
import { resolveConfig } from '../lib/train/config.js';
import { trainingCorpus } from '../lib/train/text-corpus.js';
import { engineMissing, memoryIo, temporaryFolder } from './cli/support.js';
import { tinyConfig } from './cli/tiny.js';

const settings = [
  ['accumulate', 'accumulation'],
  ['lr', 'learningRate'],
  ['evalEvery', 'evaluateEvery'],
  ['evalBatches', 'evaluationBatches'],
  ['vocab', 'vocabSize'],
] as const;

t.test('a setting of a file and a flag', async (t) => {
  const folder = temporaryFolder();
  for (const [old, current] of settings) {
    const config = join(folder, `${old}.json`);
    writeFileSync(config, JSON.stringify({ [old]: 1 }));
    const message = `${config}: ${old}: setting '${old}' is now '${current}'`;
    t.throws(() => loadSettings({ config, flags: {} }), { code: 'BAD_CONFIG', message });
    t.ok(loadSettings({ config, keptByRun: true, flags: {} })[current], 'of an earlier run');
    for (const flag of [[flagOf(old), '1'], [`${flagOf(old)}=1`]]) {
      const io = memoryIo();
      t.equal(await run(['train', ...flag], io), 1);
      t.equal(io.err(), `apollo-lm: option '${flagOf(old)}' is now '${flagOf(current)}'.\n`);
    }
  }
  t.ok(
    oldNames.every((name) => !(settingNames as string[]).includes(name)),
    'no old name is a setting',
  );
});

t.test('an option from JavaScript', async (t) => {
  const fails = (act: () => unknown, message: RegExp) => t.throws(act, { name: 'ApolloError', message });
  const size = { steps: 1, batch: 1, seq: 8 };
  fails(() => resolveConfig({ ...size, lr: 1 } as never), /^train: setting 'lr' is now 'learningRate'\.$/);
  fails(() => preset('gpt-nano', { vocab: 9 } as never), /preset: changes: setting 'vocab' is now 'vocabSize'/);
  const { vocabSize: vocab, ...others } = preset('gpt-nano');
  fails(() => createModel({ ...others, vocab } as unknown as ModelConfig), /setting 'vocab' is now 'vocabSize'/);
  const run = { layers: 2, totalSteps: 4, seed: 1 };
  fails(
    () => createMethod('ligo', { ...run, operatorRate: 1 } as never),
    /^ligo: setting 'operatorRate' is now 'operatorLearningRate'\.$/m,
  );
  fails(
    () => createMethod('apollo', { ...run, units: [1, 2] } as never),
    /^apollo: setting 'units' is now 'stageLayers'\.$/,
  );
  fails(
    () =>
      createMethod('staged', { ...run, stages: [{ units: 2 }] } as never, { model: preset('gpt-nano', { layers: 2 }) }),
    /setting 'units' is now 'stageLayers' or 'trainedLayers'\.$/m,
  );
  const tokens = arraySource([1, 2, 3], 10);
  const tokenizer = { specials: {}, specialIds: [], vocabSize: 10 };
  const corpus = { train: tokens, heldOut: tokens, key: 'none', tokenizer };
  fails(
    () => trainingCorpus(corpus as never, { heldOutBatches: 1 } as never),
    /setting 'heldOutBatches' is now 'evaluationBatches'/,
  );
  t.equal(renamedText('lr', ['steps']), undefined, 'of another kind of options');
});

t.test('recorded fields', async (t) => {
  const recorded = { lr: 1, nested: [{ vocab: 2, other: { accumulate: 3 } }] };
  t.same(withCurrentNames(recorded), { learningRate: 1, nested: [{ vocabSize: 2, other: { accumulation: 3 } }] });
  t.same(withCurrentNames([{ units: [1, 2] }, { units: 2 }]), [{ stageLayers: [1, 2] }, { trainedLayers: 2 }]);
});

/** The text that an earlier version would have written. */
const withOldNames = (text: string): string =>
  [...settings, ['units', 'stageLayers'] as const, ['units', 'trainedLayers'] as const].reduce(
    (all, [old, current]) => all.replaceAll(`"${current}":`, `"${old}":`),
    text,
  );

t.test('a run that an earlier version started is resumed to the same bits', { skip: engineMissing() }, async (t) => {
  const folder = temporaryFolder();
  const config = tinyConfig(folder, { checkpointEvery: 4 });
  const [whole, cut] = [join(folder, 'whole'), join(folder, 'cut')];
  t.equal(await run(['train', '--config', config, '--out', whole], memoryIo()), 0);
  const io = memoryIo({ onWrite: (text, self) => /"type":"step".*"step":5,/.test(text) && self.interrupt() });
  t.equal(await run(['train', '--config', config, '--out', cut, '--json'], io), 130, 'interrupted');

  const checkpoints = join(cut, 'checkpoints');
  const states = readdirSync(checkpoints).map((name) => join(checkpoints, name, 'state.json'));
  const files = [join(cut, 'settings.json'), join(cut, 'metrics.jsonl'), ...states];
  for (const file of files) writeFileSync(file, withOldNames(readFileSync(file, 'utf8')));
  t.match(readFileSync(files[0]!, 'utf8'), /"evalEvery":/);
  t.equal(await run(['train', '--resume', '--out', cut], memoryIo()), 0, io.err());

  const lines = async (path: string) => {
    const records = [];
    for await (const record of readMetrics(join(path, 'metrics.jsonl')))
      if (record.type === 'step') records.push([record.step, record.loss, record.learningRate]);
    return records;
  };
  t.same(await lines(cut), await lines(whole));
});

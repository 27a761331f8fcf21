import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { loadSettings } from '../../../lib/cli/settings/config.js';
import { amount, whole } from '../../../lib/cli/settings/options.js';
import { quoted } from '../../../lib/cli/settings/quoted.js';
import { flagOf } from '../../../lib/cli/settings/schema.js';
import { temporaryFolder } from '../support.js';

const folder = temporaryFolder();

function file(name: string, content: unknown): string {
  const path = join(folder, name);
  writeFileSync(path, typeof content === 'string' ? content : JSON.stringify(content));
  return path;
}

t.test('defaults, preset, file and command line: later ones win', async (t) => {
  t.match(loadSettings({ flags: {} }), {
    model: 'gpt-mini',
    batch: 16,
    methods: ['scratch', 'auto'],
    precision: 'auto',
  });
  const config = file('run.json', { batch: 8, learningRate: 0.5, steps: 10 });
  const settings = loadSettings({ preset: 'sample', config, flags: { learningRate: 0.25 } });
  t.match(settings, { batch: 8, learningRate: 0.25, steps: 10, seq: 64, model: { preset: 'gpt-nano' } });
});

t.test('tokens and steps replace each other across layers, and exclude each other within one', async (t) => {
  const settings = loadSettings({ preset: 'sample', flags: { tokens: 5000 } });
  t.equal(settings.steps, undefined);
  t.equal(settings.tokens, 5000);
  t.throws(() => loadSettings({ flags: { tokens: 5000, steps: 3 } }), {
    code: 'BAD_CONFIG',
    message: /--steps and --tokens/,
  });
});

t.test('objects are combined field by field', async (t) => {
  const config = file('model.json', {
    model: { preset: 'gpt-nano', layers: 4 },
    methodOptions: { apollo: { sampler: 'edge' } },
  });
  const settings = loadSettings({
    config,
    flags: { method: 'apollo', model: { dropout: 0 }, methodOptions: { apollo: { moments: 'reset' } } },
  });
  t.same(settings.model, { preset: 'gpt-nano', layers: 4, dropout: 0 });
  t.same(settings.methodOptions, { apollo: { sampler: 'edge', moments: 'reset' } });
  t.same(loadSettings({ flags: { model: { dropout: 0 } } }).model, { preset: 'gpt-mini', dropout: 0 });
});

t.test('an optimizer by name keeps what is set of it, and Muon has settings of its own', async (t) => {
  const config = file('muon.json', { optimizer: { weightDecay: 0.1 }, muon: { momentum: 0.9 } });
  const settings = loadSettings({ config, flags: { optimizer: 'muon', muon: { adjust: 'original' } } });
  t.same(settings.optimizer, { name: 'muon', weightDecay: 0.1 });
  t.same(settings.muon, { momentum: 0.9, adjust: 'original' });
  t.same(loadSettings({ flags: {} }).optimizer, { name: 'adamw' });
  const fails = (flags: Record<string, unknown>, message: RegExp) =>
    t.throws(() => loadSettings({ flags }), { code: 'BAD_CONFIG', message });
  fails({ muon: { momentum: 0.9 } }, /--set muon: .*the optimizer is "adamw"\. Add --optimizer muon/);
  fails({ optimizer: 'moun' }, /--optimizer: .*got "moun"/);
  fails({ optimizer: 'muon', muon: { momentun: 0.9 } }, /--set muon\.momentun: .*did you mean "momentum"/);
});

t.test('all paths in a file are relative to the file; those that a run has kept are absolute', async (t) => {
  mkdirSync(join(folder, 'paths'), { recursive: true });
  const paths = { init: 'model', tokenizer: './tok.json', cache: 'cache', tensorboard: 'events' };
  const config = file('paths/run.json', paths);
  const placed = Object.fromEntries(Object.entries(paths).map(([key, path]) => [key, join(folder, 'paths', path)]));
  t.match(loadSettings({ config, flags: {} }), placed);
  t.match(loadSettings({ config, flags: { cache: 'here' } }), { cache: 'here' });
  t.match(loadSettings({ config: file('paths/kind.json', { tokenizer: 'bpe', tensorboard: true }), flags: {} }), {
    tokenizer: 'bpe',
    tensorboard: true,
    cache: '.cache/apollo-lm',
  });
  t.match(loadSettings({ config, keptByRun: true, flags: {} }), paths);
});

t.test('settings of a method that does not train are refused for every command', async (t) => {
  const flags = { methodOptions: { auto: { share: 1 } } };
  const refused = { code: 'BAD_CONFIG', message: /--set auto: .*does not train here/ };
  t.throws(() => loadSettings({ flags: { ...flags, method: 'scratch' }, trains: 'method' }), refused);
  t.throws(() => loadSettings({ flags: { ...flags, methods: ['scratch', 'apollo'] }, trains: 'methods' }), refused);
  t.ok(loadSettings({ flags, trains: 'method' }));
});

t.test('numbers with a unit, and paths for a shell', async (t) => {
  for (const [text, value] of Object.entries({ '16.1k': 16_100, '8.2M': 8_200_000, '1.001M': 1_001_000, '2e3': 2000 }))
    t.equal(whole(text), value);
  t.equal(amount('0.1'), 0.1);
  t.same(['.5', '5.', '+3', '1e+3', '-.25', '.5M'].map(amount), [0.5, 5, 3, 1000, -0.25, 500_000], 'as Python reads');
  for (const wrong of ['.', 'e3', '1e', '--1', '1.2.3']) t.throws(() => amount(wrong), /must be a number/);
  t.throws(() => whole('1.5'), /whole number/);
  t.equal(quoted('runs/a-1_b.c'), 'runs/a-1_b.c');
  t.equal(quoted("my run's"), "'my run'\\''s'");
});

t.test('data in a file is relative to the file, on the command line to the working folder', async (t) => {
  mkdirSync(join(folder, 'sub'), { recursive: true });
  const config = file('sub/data.json', { data: 'books/*.txt' });
  t.same(loadSettings({ config, flags: {} }).data, [join(folder, 'sub/books/*.txt')]);
  t.same(loadSettings({ config, flags: { data: ['x.txt'] } }).data, ['x.txt']);
});

t.test('an error names the key and where it came from', async (t) => {
  const config = file('wrong.json', {
    stpes: 10,
    batch: 0,
    optimizer: { weightDeacy: 1 },
    methods: ['scratch'],
    variants: { ES: { method: 'nope' } },
    small: { stpes: 1 },
  });
  try {
    loadSettings({ config, flags: { learningRate: -1, evaluateEvery: 'x' } });
    t.fail('must not pass');
  } catch (error) {
    const { message, code } = error as { message: string; code: string };
    t.equal(code, 'BAD_CONFIG');
    t.match(message, `${config}: stpes: there is no such setting; did you mean "steps"?`);
    t.match(message, `${config}: optimizer.weightDeacy: there is no such setting; did you mean "weightDecay"?`);
    t.match(message, /wrong\.json: batch: expected at least 1; got 0/);
    t.match(message, /wrong\.json: methods: .*got \["scratch"\]/);
    t.match(message, /wrong\.json: variants\.ES\.method: .*got "nope"/);
    t.match(message, `${config}: small.stpes: there is no such setting; did you mean "steps"?`);
    t.match(message, /^--learning-rate: .*got -1$/m);
    t.match(message, /^--evaluate-every: .*got "x"$/m);
  }
});

t.test('a setting is named as it is given on the command line, with the values that it takes', async (t) => {
  const message = (flags: Record<string, unknown>) => {
    try {
      loadSettings({ flags });
    } catch (error) {
      return (error as Error).message;
    }
    return 'none';
  };
  t.equal(message({ schedule: 'cosin' }), '--schedule: expected cosine, linear, constant or wsd; got "cosin"');
  t.equal(message({ optimizer: 'adam' }), '--optimizer: expected adamw or muon; got "adam"');
  t.match(
    message({ optimizer: { beta3: 1 } }),
    /^--set optimizer\.beta3: there is no such setting; did you mean "beta1"/,
  );
  t.match(
    message({ methodOptions: { apolo: { sampler: 'edge' } } }),
    /^--set apolo: there is no method, and no setting with fields, "apolo"; did you mean "apollo"\? Known: model, small/,
  );
  t.match(
    message({ methodOptions: { late: { sampler: 'edge' } }, variants: { late: { method: 'apollo' } } }),
    /^--set late: this is a variant of "apollo", .* in variants of the configuration file.* --set apollo\.KEY=VALUE\.$/,
  );
  t.match(message({ methodOptions: { apollo: 3 } }), /^--set apollo: expected record; got 3/);
  t.match(message({ muon: { momentum: 0.9 } }), /^--set muon: these are settings of the optimizer "muon"/);
});

t.test('a setting of the command line that the run would not use is refused', async (t) => {
  const refused = (flags: Record<string, unknown>, message: RegExp) =>
    t.throws(() => loadSettings({ flags }), { code: 'BAD_CONFIG', message });
  const edge = { methodOptions: { apollo: { sampler: 'edge' } } };
  const variants = { ES: { method: 'apollo' } };
  refused(
    { ...edge, method: 'scratch', methods: ['scratch', 'auto'] },
    /^--set apollo: .*method "apollo", which does not/,
  );
  t.doesNotThrow(() => loadSettings({ flags: { ...edge, method: 'apollo' } }));
  t.doesNotThrow(() => loadSettings({ flags: { ...edge, methods: ['scratch', 'ES'], variants } }));
  refused({ dashboardKeep: true }, /^--dashboard-keep: .*Add --dashboard, or remove it/);
  t.doesNotThrow(() => loadSettings({ flags: { dashboardKeep: true, dashboard: 0 } }));
  refused({ decay: { share: 0.1 } }, /^--decay: .*schedule "wsd", and the schedule is "cosine"/);
  t.doesNotThrow(() => loadSettings({ flags: { decay: { share: 0.1 }, schedule: 'constant' } }));
});

t.test('a method may be one of the package or a variant of the settings', async (t) => {
  const variants = { ES: { method: 'apollo', sampler: 'edge' } };
  t.same(loadSettings({ flags: { methods: ['scratch', 'ES'], variants } }).methods, ['scratch', 'ES']);
  t.throws(() => loadSettings({ flags: { methods: ['scratch', 'apolo'] } }), {
    code: 'BAD_CONFIG',
    message: /^--methods: there is no method "apolo"; did you mean "apollo"\? Known: auto, scratch, apollo, /,
  });
  t.throws(() => loadSettings({ flags: { method: 'ES' } }), { message: /^--method: there is no method "ES"/ });
});

t.test('a file that is no JSON object is refused by name', async (t) => {
  for (const content of ['{', '[1]', '3']) {
    t.throws(() => loadSettings({ config: file('bad.json', content), flags: {} }), {
      code: 'BAD_CONFIG',
      message: /bad\.json/,
    });
  }
  t.throws(() => loadSettings({ config: join(folder, 'none.json'), flags: {} }), {
    message: /none\.json cannot be read/,
  });
  t.equal(loadSettings({ config: file('schema.json', { $schema: 'x', batch: 3 }), flags: {} }).batch, 3);
});

t.test('an unknown preset is answered with the known ones', async (t) => {
  t.throws(() => loadSettings({ preset: 'smaple', flags: {} }), {
    code: 'BAD_CONFIG',
    message: /did you mean "sample"/,
  });
});

t.test('flag names', async (t) => {
  t.equal(flagOf('evaluateEvery'), '--evaluate-every');
});

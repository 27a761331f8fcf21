/** Methods and families that a module adds: named by its file on the command line, kept with the run, clear where something is wrong. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { run } from '../../lib/cli/run.js';
import { loadModules } from '../../lib/cli/settings/modules.js';
import { plainEnv, typescript } from '../typescript.js';
import { engineMissing, memoryIo, temporaryFolder } from './support.js';
import { tinyConfig } from './tiny.js';

const folder = temporaryFolder();
t.teardown(() => rmSync(folder, { recursive: true }));
const file = (name: string, text: string) => {
  writeFileSync(join(folder, name), text);
  return join(folder, name);
};
const example = fileURLToPath(new URL('../../examples/own-method/halves.mjs', import.meta.url));

async function outcome(...args: string[]) {
  const io = memoryIo();
  return { code: await run(args, io), out: io.out(), err: io.err() };
}

t.test('plan takes the example, with its settings by its name', async (t) => {
  const plan = async (...more: string[]) => {
    const args = ['--model', 'gpt-nano', '--steps', '100', '--no-measure', '--json', ...more];
    const { code, out, err } = await outcome('plan', '--method', example, ...args);
    t.equal(code, 0, err);
    return JSON.parse(out) as { method: string; stages: { trainedLayers: number; from: number; until: number }[] };
  };
  const { method, stages } = await plan();
  t.equal(method, 'halves');
  t.same(
    stages.map(({ trainedLayers }) => trainedLayers),
    [6, 12],
  );
  t.not(JSON.stringify(await plan('--set', 'halves.first=0.5')), JSON.stringify({ method, stages }));
  const wrong = await outcome('plan', '--method', example, '--steps', '10', '--no-measure', '--set', 'halves.fist=1');
  t.equal(wrong.code, 1);
  t.match(wrong.err, /^apollo-lm: halves\.fist: there is no such setting\. Known: first\.\n$/);
});

t.test('a name with "-" has settings on the command line', async (t) => {
  const path = file('late-halves.mjs', readFileSync(example, 'utf8').replaceAll('halves', 'late-halves'));
  const args = ['plan', '--model', 'gpt-nano', '--method', path, '--steps', '10', '--no-measure', '--json'];
  const { code, out, err } = await outcome(...args, '--set', 'late-halves.first=0.5');
  t.equal(code, 0, err);
  t.same(
    (JSON.parse(out) as { stages: { steps: number }[] }).stages.map(({ steps }) => steps),
    [5, 5],
  );
});

t.test('a module that cannot be used is answered with one line that names it', async (t) => {
  const good = "{ name: 'NAME', create: () => 3 }";
  const cases: [args: string[], message: RegExp][] = [
    [['--method', './none.mjs'], /^apollo-lm: --method \.\/none\.mjs: there is no file .*none\.mjs\.\n$/],
    [
      ['--method', file('empty.mjs', 'export const x = 1;')],
      /empty\.mjs: the module adds no training method\. Export one as default, \{ name, create \}/,
    ],
    [
      ['--method', file('throws.mjs', "\nthrow new TypeError('no such thing');")],
      /throws\.mjs: the module cannot be loaded: no such thing \(at .*throws\.mjs:2\)\.\n$/,
    ],
    [['--method', file('syntax.mjs', 'export default {')], /syntax\.mjs: the module cannot be loaded: Unexpected/],
    [
      ['--method', file('clash.mjs', `export default ${good.replace('NAME', 'apollo')};`)],
      /clash\.mjs: registerMethod: there is a method "apollo" already; choose another name\.\n$/,
    ],
    [
      ['--method', file('named.mjs', `export default ${good.replace('NAME', 'a b')};`)],
      /named\.mjs: registerMethod: name must be of letters, digits, - and _; got "a b"\.\n$/,
    ],
    [
      ['--method', file('two.mjs', `export default [${good.replace('NAME', 'one')}, ${good.replace('NAME', 'two')}];`)],
      /two\.mjs: the module adds several methods\. Name one: --import .*two\.mjs --method one \(it has one, two\)/,
    ],
    [
      ['--import', join(folder, 'two.mjs'), '--method', 'two'],
      /^apollo-lm: The method "two" must make a TrainingMethod \{ name, layers, .*got 3\.\n$/,
    ],
    [['--method', 'halfs'], /--method: there is no method "halfs"; did you mean "halves"\?/],
  ];
  for (const [args, message] of cases) {
    const { code, out, err } = await outcome('plan', '--model', 'gpt-nano', '--steps', '10', '--no-measure', ...args);
    t.equal(code, 1, args.join(' '));
    t.match(err, message);
    t.equal(out, '');
  }
});

t.test('a configuration names modules from its own folder', async (t) => {
  mkdirSync(join(folder, 'inner'));
  const text = readFileSync(example, 'utf8').replaceAll('halves', 'pieces');
  writeFileSync(join(folder, 'inner/pieces.mjs'), text);
  const config = file('inner/run.json', JSON.stringify({ model: 'gpt-nano', steps: 10, method: './pieces.mjs' }));
  const { code, out, err } = await outcome('plan', '--config', config, '--no-measure', '--json');
  t.equal(code, 0, err);
  t.equal((JSON.parse(out) as { method: string }).method, 'pieces');
});

t.test('a family of a module, by its preset', async (t) => {
  const family = `import { registerFamily } from 'apollo-lm';
    import { familyOf } from ${JSON.stringify(new URL('../../lib/models/index.ts', import.meta.url).href)};
    registerFamily({ ...familyOf({ kind: 'gpt' }), kind: 'mine', presets: { 'mine-nano': { layers: 2, hidden: 64, heads: 1, vocabSize: 64, maxPositions: 16 } } });`;
  const path = file('family.mjs', family);
  const args = ['--model', 'mine-nano', '--steps', '10', '--method', 'scratch', '--no-measure', '--json'];
  const { code, err } = await outcome('plan', '--import', path, ...args);
  t.equal(code, 0, err);
});

t.test(
  'train and compare keep the module with the run; a new process resumes it',
  { skip: engineMissing() },
  async (t) => {
    const config = tinyConfig(folder);
    const main = fileURLToPath(new URL('../../lib/cli/main.ts', import.meta.url));
    const inChild = (...args: string[]) =>
      execFileSync(process.execPath, [...typescript, main, ...args], { env: plainEnv, encoding: 'utf8', cwd: folder });
    writeFileSync(join(folder, 'mine.mjs'), readFileSync(example, 'utf8').replaceAll('halves', 'mine'));

    const out = join(folder, 'run');
    inChild('train', '--config', config, '--method', './mine.mjs', '--set', 'mine.first=0.5', '--out', out, '--json');
    const kept = JSON.parse(readFileSync(join(out, 'settings.json'), 'utf8')) as Record<string, unknown>;
    t.equal(kept['method'], 'mine');
    t.same(kept['import'], [join(folder, 'mine.mjs')]);
    t.same(kept['methodOptions'], { mine: { first: 0.5 } });
    const lines = inChild('train', '--resume', '--out', out, '--json').trim().split('\n');
    const [start, done] = [lines[0]!, lines.at(-1)!].map((line) => JSON.parse(line) as Record<string, unknown>);
    t.equal(start!['step'], 8);
    t.equal(done!['complete'], true);

    const compared = join(folder, 'compared');
    inChild('compare', '--config', config, '--methods', 'scratch,./mine.mjs', '--out', compared, '--json');
    const { runs } = JSON.parse(readFileSync(join(compared, 'results.json'), 'utf8')) as { runs: { method: string }[] };
    t.same(
      runs.map(({ method }) => method),
      ['scratch', 'mine'],
    );
    t.ok(existsSync(join(compared, 'mine-42')), 'its folder has its name');

    renameSync(join(folder, 'mine.mjs'), join(folder, 'moved.mjs'));
    const away = join(folder, 'mine.mjs');
    await t.rejects(loadModules({ flags: { resume: true, out }, run: out }), {
      code: 'BAD_CONFIG',
      message: `--resume: the run in ${out} uses the module ${away}, which is not there any more. Give its new place: --import PATH`,
    });
    const again = inChild('train', '--resume', '--out', out, '--import', './moved.mjs', '--json');
    t.match(again, /"complete":true/);
  },
);

// The workflows of GitHub: GitHub's parser accepts them, and each step runs a script of this repository that exists.
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { parse } from 'yaml';

const root = fileURLToPath(new URL('..', import.meta.url));
const folder = join(root, '.github/workflows');
const { targets } = (await import(join(root, 'scripts/package/targets.mjs'))) as { targets: object };
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { scripts: Record<string, string> };

interface Workflow {
  readonly jobs: Record<
    string,
    {
      readonly steps: readonly { readonly run?: string; readonly uses?: string }[];
      readonly strategy?: { readonly matrix: { readonly include: readonly { readonly target: string }[] } };
    }
  >;
}

const workflows = new Map(
  readdirSync(folder).map((name) => [name, parse(readFileSync(join(folder, name), 'utf8')) as Workflow]),
);
const steps = [...workflows].flatMap(([name, { jobs }]) =>
  Object.entries(jobs).flatMap(([job, { steps }]) => steps.map((step) => ({ ...step, where: `${name}: ${job}` }))),
);

/** What runs the line, where that is a script of this repository; else what is wrong. */
function problem(line: string): string | undefined {
  const npm = /^npm (?:test|run (?:--silent )?(\S+))$/.exec(line);
  if (npm) return (npm[1] ?? 'test') in manifest.scripts ? undefined : 'no such script in package.json';
  const [, program, script] = /^(bash|node) (\S+)( |$)/.exec(line) ?? [];
  if (!script) return 'is not one call of bash, node or npm';
  if (!existsSync(join(root, script))) return `there is no ${script}`;
  return script.endsWith('.mjs') === (program === 'node') ? undefined : `${program} does not run ${script}`;
}

t.test('each step is one script that exists', async (t) => {
  const lines = steps.flatMap(({ run, where }) => (run ? [{ run: run.trim(), where }] : []));
  t.ok(lines.length > 10);
  for (const { run, where } of lines) t.equal(problem(run), undefined, `${where}: ${run}`);
  t.match(problem('npm run nothing'), /no such script/);
  t.match(problem('node scripts/nothing.mjs'), /there is no/);
  t.match(problem('apt-get install cmake'), /is not one call/);
});

t.test('actions are those of GitHub, each at a version', async (t) => {
  for (const { uses, where } of steps) if (uses) t.match(uses, /^actions\/[a-z-]+@v\d+$/, where);
});

t.test('every platform with a package is built and published', async (t) => {
  const { jobs } = workflows.get('publish.yml')!;
  const built = [
    ...jobs.linux!.strategy!.matrix.include.map(({ target }) => target),
    ...jobs.macos!.steps.flatMap(({ run }) => /scripts\/package\.mjs --target (\S+)/.exec(run ?? '')?.slice(1) ?? []),
  ];
  t.same(built.sort(), Object.keys(targets).sort());
});

t.test('the linter finds what is wrong', async (t) => {
  const lint = (text: string) => {
    const file = join(t.testdir({ 'workflow.yml': text }), 'workflow.yml');
    return spawnSync(process.execPath, [join(root, 'scripts/lint-workflows.mjs'), file], { encoding: 'utf8' });
  };
  const sound = 'on: push\njobs:\n  a:\n    runs-on: ubuntu-24.04\n    steps:\n      - run: npm test\n';
  t.equal(lint(sound).status, 0);
  const { status, stderr } = lint(sound.replace('npm test', `npm $\{{ nothing.here }}`).replace('runs-on', 'runs-at'));
  t.equal(status, 1);
  t.match(stderr, /Line: 4, Col: 5\): Unexpected value 'runs-at'/);
  t.match(stderr, /Unrecognized named-value: 'nothing'/);
});

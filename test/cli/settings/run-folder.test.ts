import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { run } from '../../../lib/cli/run.js';
import { inRunFolder, openRunFolder } from '../../../lib/cli/settings/run-folder.js';
import { ApolloError } from '../../../lib/errors.js';
import { lockFolder } from '../../../lib/fs/lock.js';
import { memoryIo, temporaryFolder } from '../support.js';
import { tinyConfig } from '../tiny.js';

for (const command of ['train', 'compare']) {
  const cases: readonly (readonly [string, Readonly<Record<string, unknown>>])[] = [
    ['a field of the model that is not known', { model: { preset: 'gpt-nano', width: 64 } }],
    ['a text that is not there', { data: 'nowhere.txt' }],
    [
      "a method's option that does not fit the model",
      { method: 'apollo', methods: ['scratch', 'apollo'], methodOptions: { apollo: { stageLayers: [1, 9] } } },
    ],
  ];
  for (const [what, changes] of cases) {
    t.test(`${command}: ${what} leaves the folder free for the next try`, async (t) => {
      const folder = temporaryFolder();
      const out = join(folder, 'runs', 'one');
      const io = memoryIo();
      t.equal(await run([command, '--config', tinyConfig(folder, changes), '--out', out], io), 1);
      t.match(io.err(), /^apollo-lm: /m);
      t.notOk(existsSync(out));
      const again = memoryIo();
      t.equal(await run([command, '--config', tinyConfig(folder), '--out', out], again), 0, again.err());
    });
  }

  t.test(`${command}: what stood in the folder before a failed run stays`, async (t) => {
    const folder = temporaryFolder();
    const out = join(folder, 'mine');
    mkdirSync(out);
    writeFileSync(join(out, 'notes.txt'), 'mine');
    const config = tinyConfig(folder, { data: 'nowhere.txt' });
    t.equal(await run([command, '--config', config, '--out', out], memoryIo()), 1);
    t.same(readdirSync(out), ['notes.txt']);
  });

  t.test(`${command}: a finished run keeps its folder`, async (t) => {
    const folder = temporaryFolder();
    const out = join(folder, 'one');
    const config = tinyConfig(folder);
    t.equal(await run([command, '--config', config, '--out', out], memoryIo()), 0);
    const io = memoryIo();
    t.equal(await run([command, '--config', config, '--out', out], io), 1);
    t.match(io.err(), /holds an earlier run\. Add --resume/);
    t.notOk(existsSync(join(out, 'run.lock')));
    t.ok(existsSync(join(out, 'settings.json')));
  });

  t.test(`${command}: a run that is stopped while its text is prepared resumes`, async (t) => {
    const folder = temporaryFolder();
    const out = join(folder, 'one');
    const onWrite = (text: string, self: ReturnType<typeof memoryIo>) => /text: /.test(text) && self.interrupt();
    const io = memoryIo({ onWrite });
    t.equal(await run([command, '--config', tinyConfig(folder), '--out', out], io), 130, io.err());
    t.notOk(existsSync(join(out, 'tokenizer.json')));
    t.notOk(existsSync(join(out, 'run.lock')));
    const again = memoryIo();
    t.equal(await run([command, '--resume', '--out', out], again), 0, again.err());
    t.match(again.err(), /There is no checkpoint in .*one to resume from yet: the run starts at step 0/);
  });

  t.test(`${command}: a start that fails removes what it made and nothing else`, async (t) => {
    const folder = temporaryFolder();
    const out = join(folder, 'deep', 'work');
    const config = tinyConfig(folder);
    const inside = ['--out', out, '--cache', join(out, 'cache')];
    const opened = await openRunFolder({ config, flags: { out } }, 'runs/x', `apollo-lm ${command}`);
    const failing = inRunFolder(opened, `apollo-lm ${command}`, async () => {
      writeFileSync(join(out, 'tokenizer.json'), '{}'); // the run's own
      mkdirSync(join(out, 'cache'));
      writeFileSync(join(out, 'cache', 'prepared'), 'text');
      writeFileSync(join(out, 'notes.txt'), 'mine'); // put there while the text is prepared
      throw new ApolloError('BAD_CORPUS', 'too little text');
    });
    await t.rejects(failing, { code: 'BAD_CORPUS' });
    t.same(readdirSync(out).sort(), ['cache', 'notes.txt']);
    t.same(readdirSync(join(out, 'cache')), ['prepared'], 'the prepared text stays');
    const again = memoryIo();
    t.equal(await run([command, '--config', config, ...inside], again), 0, again.err());
  });

  t.test(`${command}: a folder is resumed by the command that made it alone`, async (t) => {
    const folder = temporaryFolder();
    const out = join(folder, 'one');
    t.equal(await run([command, '--config', tinyConfig(folder), '--out', out], memoryIo()), 0);
    const [before, other] = [readdirSync(out), command === 'train' ? 'compare' : 'train'];
    const io = memoryIo();
    t.equal(await run([other, '--resume', '--out', out], io), 1);
    t.match(io.err(), `is the folder of "${command}", not of "${other}". Nothing was changed.`);
    t.match(io.err(), `apollo-lm ${command} --resume --out ${out}`);
    t.same(readdirSync(out), before);
  });

  t.test(`${command}: a run without a checkpoint has nothing to resume from, and stays as it is`, async (t) => {
    const folder = temporaryFolder();
    const out = join(folder, 'one');
    t.equal(await run([command, '--config', tinyConfig(folder), '--out', out], memoryIo()), 0);
    const runs = command === 'train' ? [out] : ['scratch-42', 'apollo-42'].map((name) => join(out, name));
    for (const path of runs) {
      for (const name of readdirSync(path)) {
        if (/^(checkpoints|step-)/.test(name)) rmSync(join(path, name), { recursive: true });
      }
    }
    const metrics = runs.map((path) => readFileSync(join(path, 'metrics.jsonl'), 'utf8'));
    const io = memoryIo();
    t.equal(await run([command, '--resume', '--out', out], io), 1);
    t.match(
      io.err(),
      /nothing to resume from in .*one: the run ended before its first checkpoint\. Nothing was changed/,
    );
    t.match(io.err(), new RegExp(`apollo-lm ${command} --config .*settings.json --out .*one-2`), 'what to do');
    t.same(
      runs.map((path) => readFileSync(join(path, 'metrics.jsonl'), 'utf8')),
      metrics,
    );
  });

  t.test(
    `${command}: a folder that another process works in is left alone, one of a process that ended is not`,
    async (t) => {
      const folder = temporaryFolder();
      const out = join(folder, 'one');
      const config = tinyConfig(folder);
      t.equal(await run([command, '--config', config, '--out', out, '--steps', '8'], memoryIo()), 0);
      const lock = await lockFolder(out, 'apollo-lm train');
      const before = treeOf(out);
      for (const args of [['--resume'], ['--config', config]]) {
        const io = memoryIo();
        t.equal(await run([command, ...args, '--out', out], io), 1);
        t.match(io.err(), /is in use by this process itself \(apollo-lm train/);
        t.equal(io.err().split('\n').length, 2, 'one message');
      }
      t.same(treeOf(out), before);
      await lock.release();
      const dead = { host: hostname(), pid: 4194303, start: 1, command: 'x', since: '2026-01-01T00:00:00Z', id: 'a' };
      writeFileSync(join(out, 'run.lock'), JSON.stringify(dead));
      const io = memoryIo();
      t.equal(await run([command, '--resume', '--out', out], io), 0, io.err());
      t.notOk(existsSync(join(out, 'run.lock')));
    },
  );

  t.test(`${command}: what the file system refuses is one message, and no defect`, async (t) => {
    const folder = temporaryFolder();
    const config = tinyConfig(folder);
    writeFileSync(join(folder, 'file'), 'mine');
    for (const [args, message] of [
      [['--out', join(folder, 'file')], /^apollo-lm: The folder of the run cannot be written: .*file: .*\(EEXIST\)/],
      [['--out', join(folder, 'file/run')], /^apollo-lm: The folder of the run .*file\/run: .*\(ENOTDIR\)/],
      [['--out', ''], /^apollo-lm: --out: expected a value; got an empty one \(""\)/],
      [['--out', join(folder, 'new'), '--cache', join(folder, 'file')], /The cache of prepared text .*\(EEXIST\)/],
      [['--out', join(folder, 'new'), '--cache', ''], /--cache: expected a value/],
    ] as const) {
      const io = memoryIo();
      t.equal(await run([command, '--config', config, ...args], io), 1);
      t.match(io.err(), message);
      t.notMatch(io.err(), /defect/);
    }
    t.equal(readFileSync(join(folder, 'file'), 'utf8'), 'mine');
    t.notOk(existsSync(join(folder, 'new')));
  });
}

/** Names, sizes and times of all files below a folder. */
function treeOf(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .sort()
    .map((name) => {
      const { size, mtimeMs } = statSync(join(folder, name));
      return `${name} ${size} ${mtimeMs}`;
    });
}

t.test('train: --keep-checkpoints is how many of the newest stay', async (t) => {
  const folder = temporaryFolder();
  const config = tinyConfig(folder, { method: 'scratch' });
  for (const [kept, expected] of [
    ['1', ['step-00000008']],
    ['3', ['step-00000004', 'step-00000006', 'step-00000008']],
  ] as const) {
    const out = join(folder, kept);
    const args = ['train', '--config', config, '--out', out, '--checkpoint-every', '2', '--keep-checkpoints', kept];
    const io = memoryIo();
    t.equal(await run(args, io), 0, io.err());
    t.same(readdirSync(join(out, 'checkpoints')).sort(), expected);
  }
});

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { programName } from '../../lib/cli/io.js';
import { run } from '../../lib/cli/run.js';
import { memoryIo, temporaryFolder } from './support.js';

const commands = [
  'train',
  'anneal',
  'compare',
  'finetune',
  'evaluate',
  'generate',
  'fill',
  'prepare',
  'export',
  'report',
  'doctor',
  'plan',
  'build',
];

t.test('every command has help', async (t) => {
  const io = memoryIo();
  t.equal(await run(['--help'], io), 0);
  for (const command of commands) {
    t.match(io.out(), new RegExp(`^  ${command} `, 'm'));
    const own = memoryIo();
    t.equal(await run([command, '--help'], own), 0, command);
    t.match(own.out(), new RegExp(`Usage: apollo-lm ${command}`));
    t.equal(own.err(), '');
  }
});

t.test("the version is the package's", async (t) => {
  const io = memoryIo();
  t.equal(await run(['--version'], io), 0);
  t.match(io.out(), /^\d+\.\d+\.\d+\n$/);
});

t.test('a wrong option or command is answered with the nearest one and exit code 1', async (t) => {
  const io = memoryIo();
  t.equal(await run(['compare', '--stepz', '3'], io), 1);
  t.match(io.err(), /unknown option '--stepz'\n\(Did you mean --steps\?\)/);
  t.equal(io.out(), '');
  const unknown = memoryIo();
  t.equal(await run(['trian'], unknown), 1);
  t.match(unknown.err(), /unknown command 'trian'\n\(Did you mean train\?\)/);
  const number = memoryIo();
  t.equal(await run(['plan', '--steps', 'many'], number), 1);
  t.match(number.err(), /--steps <n>.* 'many' is invalid.*must be a number/);
});

t.test('an empty value is refused where none can be meant', async (t) => {
  for (const [args, name] of [
    [['train', '--data', ''], '--data'],
    [['train', '--data', 'a.txt', ''], '--data'],
    [['plan', '--model', ''], '--model'],
    [['export', '', '--out', 'x'], '<run>'],
    [['anneal', '', '--at', '25%'], '<run>'],
    [['evaluate', '--model', 'x', '--tokenizer', ''], '--tokenizer'],
  ] as const) {
    const io = memoryIo();
    t.equal(await run(args, io), 1, args.join(' '));
    t.equal(io.err(), `apollo-lm: ${name}: expected a value; got an empty one ("")\n`);
  }
  for (const args of [
    ['generate', '--model', '/nowhere', '--prompt', ''],
    ['fill', '--model', '/nowhere', ''],
  ]) {
    const io = memoryIo();
    t.equal(await run(args, io), 1);
    t.match(io.err(), /There is no model in .*nowhere/, 'a text may be empty');
  }
});

t.test("a user's error is one message without a stack and exit code 1", async (t) => {
  for (const [args, expected] of [
    [['train', '--steps', '10', '--out', join(temporaryFolder(), 'a')], /No text to train on: give --data/],
    [['plan'], /--steps or --tokens/],
    [['plan', '--steps', '10', '--model', 'gpt-hugo'], /there is no model "gpt-hugo"/],
    [['plan', '--steps', '10', '--set', 'model.dropout'], /--set takes KEY\.FIELD=VALUE/],
    [['plan', '--steps', '10', '--method', 'apollo', '--set', 'apollo.smapler=edge'], /smapler/],
    [['compare', '--preset', 'nope'], /no preset "nope"/],
    [['train', '--resume'], /--resume requires --out/],
    [['train', '--resume', '--out', temporaryFolder()], /not the folder of an earlier run/],
  ] as const) {
    const io = memoryIo();
    t.equal(await run(args, io), 1, args.join(' '));
    t.match(io.err(), expected);
    t.match(io.err(), /^apollo-lm: /);
    t.notMatch(io.err(), /\n +at /);
  }
});

t.test('APOLLO_DEBUG=1 adds the stack', async (t) => {
  const io = memoryIo({ env: { APOLLO_DEBUG: '1' } });
  t.equal(await run(['plan'], io), 1);
  t.match(io.err(), /\n +at /);
});

t.test('a configuration file is named in its errors', async (t) => {
  const path = join(temporaryFolder(), 'mine.json');
  writeFileSync(path, JSON.stringify({ steps: 10, batchSize: 3, apollo: { sampler: 'edge' } }));
  const io = memoryIo();
  t.equal(await run(['plan', '--config', path], io), 1);
  t.match(io.err(), `${path}: batchSize: there is no such setting`);
  t.match(
    io.err(),
    `${path}: apollo: there is no such setting; settings of a method belong in methodOptions: { "apollo": `,
  );
});

t.test('messages name the program as it was called', async (t) => {
  t.equal(programName('/home/me/project/node_modules/.bin/apollo-lm'), 'npx apollo-lm');
  t.equal(programName('/home/me/project/node_modules/apollo-lm/dist/cli/main.js'), 'npx apollo-lm');
  t.equal(programName(join(process.cwd(), 'dist/cli/main.js')), 'node dist/cli/main.js');
});

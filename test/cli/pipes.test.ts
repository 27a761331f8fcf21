import type { ChildProcess } from 'node:child_process';
import { existsSync, openSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { run } from '../../lib/cli/run.js';
import { config, folder, resumesToSameBits, start, stepsOf, training, whole } from './child.js';
import { engineMissing, memoryIo } from './support.js';

const skip = engineMissing();
const linux = process.platform === 'linux';

t.test('a reader of --json that goes away stops the run with a checkpoint', { skip }, async (t) => {
  const out = join(folder, 'head');
  const { child, ended, shows } = start(training(out));
  await shows('"type":"start"');
  child.stdout!.destroy();
  const { code, signal, err } = await ended;
  t.same({ code, signal }, { code: 141, signal: null }, err);
  t.match(err, /The reader of stdout has closed it, so the run stops: .*checkpoint/);
  t.match(err, /Stopped\. Resume with: .* train --resume --out /);
  t.notMatch(err, /EPIPE|at .*\.ts|node:/, 'no stack');
  await resumesToSameBits(t, out);
});

t.test('a reader of stderr that goes away does not end the run', { skip }, async (t) => {
  const out = join(folder, 'stderr');
  const { child, ended } = start(['train', '--config', config, '--out', out]);
  child.stderr!.once('data', () => child.stderr!.destroy());
  const { code } = await ended;
  t.equal(code, 0);
  t.same(stepsOf(out), ['step-00000400']);
});

const full = linux && existsSync('/dev/full') ? false : 'needs /dev/full';

t.test(
  'stdout on a full disk: a run is complete, and its exit code says that output is lost',
  { skip: skip || full },
  async (t) => {
    const out = join(folder, 'full');
    const { ended } = start(training(out), { stdout: openSync('/dev/full', 'w') });
    const { code, err } = await ended;
    t.equal(code, 1);
    t.match(err, /warning: stdout can no longer be written: no space is left on the disk \(ENOSPC\)/);
    t.match(err, /apollo-lm: The output cannot be written to stdout: no space is left on the disk \(ENOSPC\)\./);
    t.same(stepsOf(out), ['step-00000400']);
  },
);

t.test('short commands end silently when their reader has gone, and say when a disk is full', { skip }, async (t) => {
  await run(['train', '--config', config, '--out', whole], memoryIo());
  const closes = (child: ChildProcess) => child.stdout!.destroy();
  const text = start(['generate', '--model', whole, '--prompt', 'the', '--max-tokens', '12', '--threads', '1']);
  text.child.stdout!.once('data', () => closes(text.child));
  const help = start(['--help']);
  closes(help.child);
  for (const { ended } of [text, help]) {
    const { code, err } = await ended;
    t.same({ code, err: err.replace(/.* tokens; the first after .*\n/, '') }, { code: 0, err: '' });
  }
  if (full) return;
  const { code, err } = await start(['--help'], { stdout: openSync('/dev/full', 'w') }).ended;
  t.equal(code, 1);
  t.match(err, /^apollo-lm: The output cannot be written to stdout: .*\(ENOSPC\)\.\n$/);
});

import { join } from 'node:path';
import t from 'tap';
import { folder, resumesToSameBits, start, stepsOf, training } from './child.js';
import { engineMissing } from './support.js';

const skip = engineMissing();
const linux = process.platform === 'linux';

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  t.test(`${signal} stops a run with a checkpoint`, { skip }, async (t) => {
    const out = join(folder, signal);
    const { child, ended, shows } = start(training(out));
    await shows('"type":"step"');
    child.kill(signal);
    const { code, err } = await ended;
    t.equal(code, 130, err);
    t.equal(stepsOf(out).length, 1);
    await resumesToSameBits(t, out);
  });
}

t.test('SIGHUP is ignored below nohup', { skip: skip || (linux ? false : 'needs /proc') }, async (t) => {
  const out = join(folder, 'nohup');
  // A shell sets _ for the program that it starts.
  const { child, ended, shows } = start(training(out), { through: ['nohup'], env: { _: '/usr/bin/nohup' } });
  await shows('"type":"step"');
  child.kill('SIGHUP');
  const { code, err, out: text } = await ended;
  t.equal(code, 0, err);
  t.match(text, /"type":"done".*"complete":true/);
});

import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { run } from '../../lib/cli/run.js';
import { memoryIo, temporaryFolder } from './support.js';
import { tinyConfig } from './tiny.js';

for (const command of ['train', 'compare']) {
  const cases: readonly (readonly [string, Readonly<Record<string, unknown>>])[] = [
    ['a field of the model that is not known', { model: { preset: 'gpt-nano', width: 64 } }],
    ['a text that is not there', { data: 'nowhere.txt' }],
    [
      "a method's option that does not fit the model",
      { method: 'apollo', methods: ['scratch', 'apollo'], methodOptions: { apollo: { units: [1, 9] } } },
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

  t.test(`${command}: a run that has begun keeps its folder`, async (t) => {
    const folder = temporaryFolder();
    const out = join(folder, 'one');
    const config = tinyConfig(folder);
    t.equal(await run([command, '--config', config, '--out', out], memoryIo()), 0);
    const io = memoryIo();
    t.equal(await run([command, '--config', config, '--out', out], io), 1);
    t.match(io.err(), /holds an earlier run\. Add --resume/);
    t.ok(existsSync(join(out, 'settings.json')));
  });

  t.test(`${command}: a run that is stopped while its text is prepared goes on with --resume`, async (t) => {
    const folder = temporaryFolder();
    const out = join(folder, 'one');
    const onWrite = (text: string, self: ReturnType<typeof memoryIo>) => /text: /.test(text) && self.interrupt();
    const io = memoryIo({ onWrite });
    t.equal(await run([command, '--config', tinyConfig(folder), '--out', out], io), 130, io.err());
    t.notOk(existsSync(join(out, 'tokenizer.json')));
    const again = memoryIo();
    t.equal(await run([command, '--resume', '--out', out], again), 0, again.err());
  });
}

import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { ignoresHangup } from '../../lib/cli/hangup.js';
import { plainEnv, typescript } from '../typescript.js';

const script = fileURLToPath(new URL('../../lib/cli/hangup.ts', import.meta.url));

t.test('nohup is known by what the shell sets', async (t) => {
  t.ok(ignoresHangup({ _: '/usr/bin/nohup' }));
});

t.test(
  'a parent that ignores SIGHUP passes that on',
  { skip: process.platform === 'linux' ? false : 'needs /proc' },
  async (t) => {
    const ask = `import(${JSON.stringify(script)}).then((m) => console.log(m.ignoresHangup({})))`;
    const command = [process.execPath, ...typescript, '-e', ask].map((word) => `'${word}'`).join(' ');
    const answer = (before: string) =>
      spawnSync('sh', ['-c', `${before} ${command}; true`], {
        encoding: 'utf8',
        env: plainEnv,
        stdio: ['ignore', 'pipe', 'inherit'],
      }).stdout.trim();
    t.equal(answer("trap '' HUP;"), 'true');
    t.equal(answer(''), String(ignoresHangup({})), 'else as this process has it');
  },
);

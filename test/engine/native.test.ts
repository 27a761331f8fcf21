/** Loading the addon: OpenMP gets its setting, and the host program's environment stays as it was. */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { defaultSpinCount } from '../../lib/engine/native.js';
import { plainEnv, typescript } from '../typescript.js';

/** What spin-child.ts prints with these variables, and what OpenMP says that its settings are. */
function loaded(variables: Record<string, string>) {
  const { GOMP_SPINCOUNT: _, ...env } = plainEnv;
  const script = fileURLToPath(new URL('./spin-child.ts', import.meta.url));
  const { stdout, stderr } = spawnSync(process.execPath, [...typescript, script], {
    encoding: 'utf8',
    env: { ...env, OMP_DISPLAY_ENV: 'VERBOSE', ...variables },
  });
  const spinCount = /GOMP_SPINCOUNT = '(\d+)'/.exec(stderr)?.[1];
  return { ...(JSON.parse(stdout) as object), spinCount };
}

const skip = process.platform !== 'linux' && 'the setting is that of GNU OpenMP';

t.test('idle OpenMP threads sleep soon, and child processes do not inherit the setting', { skip }, async (t) => {
  t.same(loaded({}), { values: [3, 6], child: 'absent', unchanged: true, spinCount: defaultSpinCount });
});

t.test('a setting of the caller stays', { skip }, async (t) => {
  const expected = { values: [3, 6], child: '77', unchanged: true, spinCount: '77' };
  t.same(loaded({ GOMP_SPINCOUNT: '77' }), expected);
});

t.test('a limit of OpenMP on its threads changes no result', { skip }, async (t) => {
  const script = fileURLToPath(new URL('./team-child.ts', import.meta.url));
  const trained = (variables: Record<string, string>) => {
    const { OMP_THREAD_LIMIT: _, OMP_DYNAMIC: __, ...env } = plainEnv;
    const { stdout } = spawnSync(process.execPath, [...typescript, script], {
      encoding: 'utf8',
      env: { ...env, ...variables },
    });
    return JSON.parse(stdout) as { threads: number; losses: number[] };
  };
  const usual = trained({});
  t.equal(usual.threads, 2);
  t.equal(usual.losses.length, 2);
  for (const variables of [{ OMP_THREAD_LIMIT: '1' }, { OMP_DYNAMIC: 'true' }]) {
    const { threads, losses } = trained(variables);
    t.equal(threads, 'OMP_THREAD_LIMIT' in variables ? 1 : 2, 'what the device says is what it uses');
    for (const [step, loss] of losses.entries()) t.ok(Math.abs(loss - usual.losses[step]!) < 1e-5, `${loss}`);
  }
});

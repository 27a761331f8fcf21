import { spawn } from 'node:child_process';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { uniformNumber } from '../../lib/growth/index.js';
import { plainEnv, typescript } from '../typescript.js';
import { contentsOf, openTinyDevice, runTiny } from './tiny.js';

const script = fileURLToPath(new URL('./kill-child.ts', import.meta.url));

/** Runs the child until it ends, or kills it `delayMs` after it has reported `step`; returns how it ended. */
async function runChild(
  folder: string,
  kill?: { step: number; delayMs: number },
): Promise<{ code: number | null; signal: string | null }> {
  const child = spawn(process.execPath, [...typescript, script, folder], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: plainEnv,
  });
  const ended = new Promise<{ code: number | null; signal: string | null }>((resolve) => {
    child.on('exit', (code, signal) => resolve({ code, signal }));
  });
  for await (const line of createInterface({ input: child.stdout })) {
    const [type, step] = line.split(' ');
    if (kill && type === 'step' && Number(step) >= kill.step) {
      setTimeout(() => child.kill('SIGKILL'), kill.delayMs);
      break;
    }
  }
  child.stdout.resume();
  return ended;
}

t.test('a run killed without warning, again and again, ends with the bits of an undisturbed one', async (t) => {
  const dir = t.testdir();
  const device = await openTinyDevice();
  t.teardown(() => device.close());
  await runTiny(device, { evaluateEvery: 0 }, { checkpointDir: join(dir, 'whole') });
  const seed = Date.now();
  t.comment(`random moments from seed ${seed}`);
  const folder = join(dir, 'killed');
  let step = 0;
  for (let kill = 0; kill < 2; kill++) {
    // A few steps on from the last kill, at any moment of the next one or of writing its checkpoint.
    step += 1 + Math.floor(uniformNumber(seed, 1, kill) * 9);
    const delayMs = uniformNumber(seed, 2, kill) * 25;
    const { signal } = await runChild(folder, { step, delayMs });
    const left = await readdir(folder).catch(() => ['nothing yet']); // killed before its first checkpoint
    t.equal(signal, 'SIGKILL', `killed ${delayMs.toFixed(1)} ms after step ${step}; left: ${left.join(' ')}`);
  }
  t.same(await runChild(folder), { code: 0, signal: null });
  t.same((await readdir(folder)).sort(), ['step-00000023', 'step-00000024']);
  t.equal(
    await contentsOf(device, join(folder, 'step-00000024')),
    await contentsOf(device, join(dir, 'whole', 'step-00000024')),
  );
});

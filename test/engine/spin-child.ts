/** Loads the engine, runs something on it, and prints the environment of a child process (test/engine/native.test.ts). */
import { spawnSync } from 'node:child_process';
import { evaluate } from '../../lib/engine/index.js';

const before = { ...process.env };
const values = await evaluate((g) => g.input('x', [2]).mul(3), { x: [1, 2] });
const print = "process.stdout.write(process.env.GOMP_SPINCOUNT ?? 'absent')";
const { stdout } = spawnSync(process.execPath, ['-e', print], { encoding: 'utf8' });
const unchanged = JSON.stringify(before) === JSON.stringify(process.env);
console.log(JSON.stringify({ values: [...values], child: stdout, unchanged }));

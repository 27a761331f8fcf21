// The choice of algorithms for matrix products: made once, kept in a file, taken from it ever after.
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import t from 'tap';
import { Graph } from '../../lib/engine/index.js';
import { cudaDevices } from '../device.js';

const [{ skip, open }] = cudaDevices as [(typeof cudaDevices)[number]];
process.env.APOLLO_TUNE_FLOPS = '1';
const onGpu = process.env.APOLLO_TEST_DEVICE === 'cuda' && 'about the emulator’s memory';

/** Products of [n, 16] x [16, 8] on a device with this file of choices; the file afterwards. */
async function linesAfter(matmulCache: string, rows: readonly number[]): Promise<string[]> {
  const device = await open({ matmulCache });
  for (const n of rows) {
    const g = new Graph();
    g.output('y', g.input('x', [n, 16]).matmul(g.input('w', [16, 8])));
    const program = await device.compile(g);
    const { outputs } = await program.run({ x: new Float32Array(16 * n).fill(1), w: new Float32Array(128).fill(2) });
    if (outputs.y!.some((value) => value !== 32)) throw new Error('a wrong product');
  }
  await device.close();
  try {
    return readFileSync(matmulCache, 'utf8').trimEnd().split('\n');
  } catch {
    return [];
  }
}

t.test('choices are kept, and made once', { skip }, async (t) => {
  const file = join(t.testdir(), 'deeper', 'matmul.txt');
  const first = await linesAfter(file, [4, 5]);
  t.equal(first.length, 3, 'a header and two products');
  t.match(first[1], /^.+, cuBLASLt \d+\tf32>f32 4 8 16 .*\t[\d.e-]+\t\d+\t([0-9a-f]+ ){7}[0-9a-f]+$/);
  const second = await linesAfter(file, [5, 4, 6]);
  t.same(second.slice(0, 3), first, 'what was known stays as it was, times and all');
  t.equal(second.length, 4);
});

t.test('what another process has chosen meanwhile is taken', { skip }, async (t) => {
  const folder = t.testdir();
  const file = join(folder, 'matmul.txt');
  const late = await open({ matmulCache: file }); // it has read the file, which is not there yet
  const first = await linesAfter(file, [4]);
  const g = new Graph();
  g.output('y', g.input('x', [4, 16]).matmul(g.input('w', [16, 8])));
  await late.compile(g);
  await late.close();
  t.same(await linesAfter(file, [4]), first, 'the choice stays as it was, time and all');
  t.same(readdirSync(folder).sort(), ['matmul.txt', 'matmul.txt.lock'], 'nothing else is left');
});

t.test('a file of other machines, or a damaged one, is no obstacle', { skip }, async (t) => {
  const file = join(t.testdir(), 'matmul.txt');
  const [header, own] = (await linesAfter(file, [4])) as [string, string];
  const other = own.replace(/^[^\t]+/, 'another GPU');
  writeFileSync(file, `${header}\n${other}\nnonsense\n\t\n`);
  t.same((await linesAfter(file, [4])).filter((line) => line !== header).length, 2, 'the other machine is kept');
  writeFileSync(file, 'something else entirely');
  t.equal((await linesAfter(file, [4])).length, 2);
});

t.test('an algorithm that cuBLASLt does not take is chosen again', { skip }, async (t) => {
  const file = join(t.testdir(), 'matmul.txt');
  const [header, own] = (await linesAfter(file, [4])) as [string, string];
  const damaged = own.replace(/[0-9a-f ]+$/, Array(8).fill('deadbeef').join(' '));
  writeFileSync(file, `${header}\n${damaged}\n`);
  const repaired = await linesAfter(file, [4]);
  t.equal(repaired.length, 2);
  t.notMatch(repaired[1], /deadbeef/, 'the file has a good one again');
});

t.test('a choice that could not be timed, for want of memory, is kept as well', { skip: skip || onGpu }, async (t) => {
  const file = join(t.testdir(), 'matmul.txt');
  process.env.APOLLO_EMULATOR_FAIL = `cudaMalloc>${32 * 2 ** 20}`; // room for the program, whose arena is the workspace
  const untimed = await linesAfter(file, [4]).finally(() => delete process.env.APOLLO_EMULATOR_FAIL);
  t.match(untimed[1], /f32>f32 4 8 16 .*\t0\t/, 'zero microseconds');
  t.same(await linesAfter(file, [4]), untimed, 'and stays, where there is memory');
});

t.test('where nothing can be kept nothing is timed: the same bits each time', { skip }, async (t) => {
  const file = join(t.testdir(), 'folder', 'matmul.txt');
  mkdirSync(file, { recursive: true }); // a folder where the file should be
  t.same(await linesAfter(file, [4]), []);
  t.same(await linesAfter('', [4]), []);
  t.ok(dirname(file));
});

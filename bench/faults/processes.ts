/** Two processes on one folder or cache, a corpus that changes under a run, and a clock that jumps. */
import { appendFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { uniformNumber } from '../../lib/growth/index.js';
import { complaint, node } from './child.js';
import { buildShim } from './filesystem.js';
import { digestOf, filesOf, text, writeSettings } from './fixture.js';
import { count, type Part, type Programme, type Tally, tally } from './outcome.js';

const finalStep = /step-00000040\/(model|optimizer)\.safetensors$/;
const result = (out: string) =>
  digestOf(
    out,
    filesOf(out).filter((name) => finalStep.test(name)),
  );

export const processes: Part = {
  name: 'processes',
  about: 'two processes on one output folder and on one cache, text that changes under a run, a clock that jumps',
  size: 4,
  unit: 'tries of each',
  async run(programme, size) {
    const base = join(programme.work, 'processes');
    const settings = writeSettings(base);
    const whole = await node([programme.cli, 'train', '--config', settings, '--out', join(base, 'whole')]);
    if (whole.code !== 0) throw new Error(complaint(whole) ?? whole.stderr);
    const context = { ...programme, base, settings, expected: result(join(base, 'whole')), ms: whole.ms };
    const rows: Tally[] = [];
    for (const part of [oneFolder, oneCache, changingText, jumpingClock]) rows.push(await part(context, size));
    return rows;
  },
};

interface Context extends Programme {
  readonly base: string;
  readonly settings: string;
  readonly expected: string;
  readonly ms: number;
}

async function oneFolder({ cli, base, settings, expected, seed, ms, signal }: Context, size: number): Promise<Tally> {
  const row = tally('processes', 'two processes on one output folder');
  for (let i = 0; i < size && !(signal.aborted && i > 0); i++) {
    const out = join(base, `folder-${i}`);
    const first = node([cli, 'train', '--config', settings, '--out', out]);
    await delay(ms * uniformNumber(seed, 40, i));
    const second = await node([cli, 'train', '--resume', '--out', out]);
    const ended = await first;
    const bad = complaint(ended) ?? complaint(second);
    if (bad) count(row, 'crash', `try ${i}: ${bad}`);
    else if (ended.code !== 0) count(row, 'wrong', `try ${i}: the first process failed: ${ended.stderr.slice(-300)}`);
    else if (result(out) !== expected) count(row, 'wrong', `try ${i}: another result`);
    else count(row, second.code === 0 ? 'right' : 'refused', '');
  }
  return row;
}

async function oneCache({ cli, base, expected, signal }: Context, size: number): Promise<Tally> {
  const row = tally('processes', 'two processes that prepare into one cache');
  for (let i = 0; i < size && !signal.aborted; i++) {
    const folder = join(base, `cache-${i}`);
    const settings = writeSettings(folder);
    const outs = [join(folder, 'a'), join(folder, 'b')];
    const ended = await Promise.all(outs.map((out) => node([cli, 'train', '--config', settings, '--out', out])));
    ended.forEach((process, index) => {
      const bad = complaint(process) ?? (process.code !== 0 ? process.stderr.slice(-300) : undefined);
      if (bad) count(row, 'crash', `try ${i}, process ${index}: ${bad}`);
      else if (result(outs[index] as string) !== expected) count(row, 'wrong', `try ${i}: another result`);
      else row.counts.right++;
    });
  }
  return row;
}

async function changingText({ cli, base, expected, seed, ms, signal }: Context, size: number): Promise<Tally> {
  const row = tally('processes', 'the text changes while a run reads or trains on it');
  const changes = [
    (path: string) => appendFileSync(path, text(100, 9)),
    (path: string) => writeFileSync(path, text(10, 9)),
  ];
  /** Of an undisturbed run on the text after each change; undefined where it is refused. */
  const changed: (string | undefined)[] = [];
  for (const [i, change] of changes.entries()) {
    if (i >= size || signal.aborted) break;
    const folder = join(base, `changed-${i}`);
    const settings = writeSettings(folder);
    change(join(folder, 'text.txt'));
    const { code } = await node([cli, 'train', '--config', settings, '--out', join(folder, 'run')]);
    changed.push(code === 0 ? result(join(folder, 'run')) : undefined);
  }
  for (let i = 0; i < size && !signal.aborted; i++) {
    const folder = join(base, `changing-${i}`);
    const settings = writeSettings(folder);
    const running = node([cli, 'train', '--config', settings, '--out', join(folder, 'run')]);
    await delay(ms * uniformNumber(seed, 41, i) * 0.6);
    changes[i % 2]?.(join(folder, 'text.txt'));
    const ended = await running;
    const bad = complaint(ended);
    if (bad) count(row, 'crash', `try ${i}: ${bad}`);
    else if (ended.code !== 0) row.counts.refused++;
    // What was prepared before the change gives the undisturbed result; what was read after it, that of the new text.
    else {
      const right = [expected, changed[i % 2]].includes(result(join(folder, 'run')));
      count(row, right ? 'right' : 'wrong', `try ${i}: the result is of neither text`);
    }
  }
  return row;
}

async function jumpingClock({ cli, base, work, settings, expected, signal }: Context, size: number): Promise<Tally> {
  const row = tally('processes', 'the wall clock jumps by a day or a year, forward or back');
  const { path: shim, why } = buildShim(join(work, 'shim'));
  if (!shim) row.note = `left out, ${why}`;
  const jumps = [86_400, -86_400, 365 * 86_400, -365 * 86_400];
  for (let i = 0; shim && i < size && !signal.aborted; i++) {
    const out = join(base, `clock-${i}`);
    mkdirSync(out, { recursive: true });
    const env = { LD_PRELOAD: shim, APOLLO_FAULT_CLOCK: String(jumps[i % jumps.length]) };
    const ended = await node([cli, 'train', '--config', settings, '--out', join(out, 'run')], { env });
    const bad = complaint(ended) ?? (ended.code !== 0 ? ended.stderr.slice(-300) : undefined);
    if (bad) count(row, 'crash', `jump of ${jumps[i % jumps.length]} s: ${bad}`);
    else count(row, result(join(out, 'run')) === expected ? 'right' : 'wrong', `jump of ${jumps[i % jumps.length]} s`);
  }
  return row;
}

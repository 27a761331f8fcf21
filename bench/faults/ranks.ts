/**
 * A rank that dies or is stopped: SIGKILL at random moments of a run of two ranks must end both with one message, after which
 * the run resumes to the bits of an undisturbed one; SIGTERM must end both with a checkpoint.
 */
import { existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { loadAddon } from '../../lib/engine/native.js';
import { uniformNumber } from '../../lib/growth/index.js';
import { type Ended, type Launched, launch, launcherKind, mpiexec, ranksOf } from '../launcher.js';
import { complaint, hasNothingToResume } from './child.js';
import { digestOf, filesOf, leftOvers, writeSettings } from './fixture.js';
import { count, type Part, type Programme, type Tally, tally } from './outcome.js';

const ranks = 2;
/** Milliseconds in which all ranks must have ended after one was killed. */
const limitMs = 30_000;
/** Share of the kills that come before the training begins. */
const shareBefore = 0.2;
/** Milliseconds after a step, at most, so that a kill falls anywhere between two of them. */
const spreadMs = 10;
/** Settings of the uninterrupted run, which is long enough to include growth, evaluations and checkpoints. */
const settings = { steps: 300, checkpointEvery: 12, evaluateEvery: 50 };

const lost = /^apollo-lm: rank \d+ of \d+ on .*Rank \d+ on .* has ended without a message.*(Start|start)/gm;
const launcherSays = /(exited on signal 9|KILLED BY SIGNAL: 9|PROCESSES TERMINATED)/i;

export const rankKills: Part = {
  name: 'rank-kills',
  about: 'SIGKILL and SIGTERM of a random rank of two at random moments, then resume',
  size: 20,
  unit: 'kills',
  async run(programme, size) {
    const missing = launcherKind() ? loadAddon().mpiInfo().missing : `there is no ${mpiexec}`;
    if (missing) return missing;
    const site = await prepare(programme);
    if ('counts' in site) return [site];
    return [await killed(site, size), await stopped(site, Math.ceil(size / 5))];
  },
  noteOf({ counts, figures = {} }) {
    const { kills, mostMs = 0, early, late, stops } = figures;
    if (kills === undefined) return `${stops} ended with exit code 130, the others were at their end`;
    const runs = Object.values(counts).reduce((a, b) => a + b);
    return (
      `${kills} kills in ${runs} runs; all ranks ended within ${(mostMs / 1000).toFixed(1)} s; ${early} kills before the ranks ` +
      `had met, ${late} after the last step's checkpoint`
    );
  },
};

interface Site extends Programme {
  readonly base: string;
  readonly settings: string;
  /** Digest of the undisturbed run. */
  readonly expected: string;
  /** How long it took until its training began. */
  readonly startMs: number;
}

const trainArgs = (site: Pick<Site, 'settings'>, out: string) => ['train', '--config', site.settings, '--out', out];

const start = ({ cli }: Pick<Programme, 'cli'>, args: readonly string[]): Launched =>
  launch([{ ranks, command: [process.execPath, cli, ...args, '--json'] }]);

/** Waits until the run has done `step` steps plus some milliseconds, or has ended. */
async function hasTaken(step: number, moreMs: number, { mpirun, text, ended }: Launched): Promise<void> {
  const last = () => Number(/.*"type":"step","step":(\d+)/s.exec(text.out.slice(-4000))?.[1] ?? 0);
  while (last() < step && mpirun.exitCode === null) await delay(2);
  await Promise.race([delay(moreMs), ended]);
}

const finalStep = /step-00000300\/(model|optimizer)\.safetensors$/;

const resultOf = (out: string): string =>
  digestOf(
    out,
    filesOf(out).filter((name) => finalStep.test(name)),
  );

async function prepare(programme: Programme): Promise<Site | Tally> {
  const base = join(programme.work, 'ranks');
  const site = { ...programme, base, settings: writeSettings(base, settings) };
  const whole = join(base, 'whole');
  await start(site, trainArgs(site, join(base, 'warm'))).ended; // prepares the text
  const began = performance.now();
  const launched = start(site, trainArgs(site, whole));
  await hasTaken(1, 0, launched);
  const startMs = performance.now() - began;
  const ended = await launched.ended;
  if (ended.code === 0) return { ...site, expected: resultOf(whole), startMs };
  const row = tally('rank-kills', 'an undisturbed run of two ranks');
  count(row, 'crash', ended.err);
  return row;
}

const asChild = ({ code, out, err, ms }: Ended) => ({ code, signal: null, stdout: out, stderr: ownLines(err), ms });

/** Without the launcher's own lines, some of which are indented like a stack trace. */
const ownLines = (text: string): string =>
  text
    .split('\n')
    .filter((line) => /apollo-lm|defect| {4}at /.test(line))
    .join('\n');

const isDone = (out: string): boolean => out.includes('"type":"done"');

/** Why the end after a SIGKILL is not as it should be. */
function wrongEnd({ code, err, out }: Ended, endedMs: number): string | undefined {
  if (endedMs > limitMs) return `the others ended ${(endedMs / 1000).toFixed(1)} s later`;
  if (code === 0) return 'exit code 0';
  const messages = err.match(/^apollo-lm: /gm) ?? [];
  const explained = err.match(lost) ?? [];
  if (messages.length > 1) return `${messages.length} messages: ${err.slice(-800)}`;
  // Before the ranks have met only their launcher can say it; when the run is done there is nothing more to do.
  const hasRun = out !== '' && !isDone(out);
  if (explained.length === 0 && (hasRun || messages.length > 0 || !launcherSays.test(err))) {
    return `no message that says which rank and what to do: ${err.slice(-800)}`;
  }
  return undefined;
}

/** Whether every checkpoint in the folder is whole: it has its three files, and no part of another. */
function brokenCheckpoint(out: string): string | undefined {
  const folder = join(out, 'checkpoints');
  if (!existsSync(folder)) return undefined;
  return readdirSync(folder)
    .filter((name) => /^step-\d+$/.test(name))
    .find((name) =>
      ['model.safetensors', 'optimizer.safetensors', 'state.json'].some(
        (file) => !existsSync(join(folder, name, file)),
      ),
    );
}

async function killed(site: Site, size: number): Promise<Tally> {
  const { base, seed, signal, say, expected, startMs } = site;
  const row = tally('rank-kills', 'SIGKILL of one of two ranks, then resume');
  let done = 0;
  let slowest = 0;
  let [early, late] = [0, 0];
  for (let run = 0; done < size && !(signal.aborted && run > 0); run++) {
    let out = join(base, `kill-${run}`, 'out');
    mkdirSync(join(base, `kill-${run}`), { recursive: true });
    const times = Math.min(size - done, 1 + Math.floor(4 * uniformNumber(seed, 50, run)));
    const notes: string[] = [];
    let bad = '';
    let finished = false;
    const again = () =>
      start(site, existsSync(join(out, 'settings.json')) ? ['train', '--resume', '--out', out] : trainArgs(site, out));
    for (let kill = 0; kill < times && !finished && !bad; kill++) {
      const draw = (stream: number) => uniformNumber(seed, stream, 8 * run + kill);
      const victim = Math.floor(ranks * draw(51));
      const launched = again();
      if (draw(55) < shareBefore) await Promise.race([delay(startMs * draw(52)), launched.ended]);
      else await hasTaken(1 + Math.floor((settings.steps - 1) * draw(52)), spreadMs * draw(56), launched);
      const pid = ranksOf(launched.mpirun.pid!).get(victim);
      if (pid === undefined && launched.mpirun.exitCode === null) {
        await launched.ended; // the moment fell before or after the ranks' lives
        finished = true;
        continue;
      }
      const at = performance.now();
      if (pid !== undefined) process.kill(pid, 'SIGKILL');
      const ended = await launched.ended;
      const after = performance.now() - at;
      finished = ended.code === 0;
      if (finished) continue;
      done++;
      slowest = Math.max(slowest, after);
      if (isDone(ended.out)) late++;
      else if (!ended.err.match(lost)) early++;
      notes.push(`rank ${victim}`);
      if (!hasNothingToResume(asChild(ended))) bad = wrongEnd(ended, after) ?? '';
      const broken = brokenCheckpoint(out);
      if (broken) bad ||= `${broken} is not whole`;
    }
    if (bad) {
      count(row, 'crash', `run ${run}, ${notes.join(', ')}: ${bad}`);
      continue;
    }
    let ended = await again().ended;
    if (hasNothingToResume(asChild(ended))) {
      out = `${out}-2`;
      ended = await again().ended;
    }
    // A run that had ended has nothing left to do, and says so with its last checkpoint.
    const wrong = complaint(asChild(ended)) ?? (ended.code === 0 ? undefined : ended.err.slice(-500));
    const what = `run ${run}, killed ${notes.join(', ')}`;
    if (wrong) count(row, 'crash', `${what}: ${wrong}`);
    else if (resultOf(out) !== expected) count(row, 'wrong', `${what}: another result`);
    else if (leftOvers(out).length > 0) count(row, 'left', `${what}: ${leftOvers(out).join(', ')}`);
    else {
      row.counts.right++;
      rmSync(join(base, `kill-${run}`), { recursive: true });
    }
    if (run % 5 === 4) say(`ranks: ${done} of ${size} kills`);
  }
  row.figures = { kills: done, mostMs: slowest, early, late };
  return row;
}

async function stopped(site: Site, size: number): Promise<Tally> {
  const { base, seed, signal, expected } = site;
  const row = tally('rank-kills', 'SIGTERM to one of two ranks, then resume');
  let stops = 0;
  for (let run = 0; run < size && !signal.aborted; run++) {
    const out = join(base, `stop-${run}`);
    const launched = start(site, trainArgs(site, out));
    const draw = (stream: number) => uniformNumber(seed, stream, run);
    await hasTaken(1 + Math.floor((settings.steps - 1) * draw(54)), spreadMs * draw(57), launched);
    const victim = Math.floor(ranks * uniformNumber(seed, 53, run));
    const pid = ranksOf(launched.mpirun.pid!).get(victim);
    if (pid !== undefined) process.kill(pid, 'SIGTERM');
    const ended = await launched.ended;
    const what = `run ${run}, SIGTERM to rank ${victim}`;
    if (ended.code === 130) stops++;
    const step = Number(/"type":"done","step":(\d+)/.exec(ended.out)?.[1]);
    const checkpoint = join(out, 'checkpoints', `step-${String(step).padStart(8, '0')}`, 'state.json');
    if (ended.code !== 130 && ended.code !== 0)
      count(row, 'crash', `${what}: code ${ended.code}: ${ended.err.slice(-500)}`);
    else if (!existsSync(checkpoint)) count(row, 'wrong', `${what}: no checkpoint of its last step ${step}`);
    else {
      const resumed = ended.code === 0 ? ended : await start(site, ['train', '--resume', '--out', out]).ended;
      if (resumed.code !== 0) count(row, 'crash', `${what}, resumed: ${resumed.err.slice(-500)}`);
      else if (resultOf(out) !== expected) count(row, 'wrong', `${what}: another result`);
      else row.counts.right++;
    }
  }
  row.figures = { stops };
  return row;
}

/** SIGKILL at random moments, then resume: the end must have the bits of an undisturbed run. */
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { uniformNumber } from '../../lib/growth/index.js';
import { complaint, node } from './child.js';
import { digestOf, filesOf, leftOvers, writeSettings } from './fixture.js';
import { count, type Part, type Programme, type Tally, tally } from './outcome.js';

interface Victim {
  readonly name: string;
  /** Arguments of the first call and of the one that resumes. */
  args(settings: string, out: string): { readonly first: readonly string[]; readonly resume: readonly string[] };
  /** Digest of what the finished command has made. */
  result(out: string): string;
}

/** The newest checkpoints of runs hold every bit of their result. */
function checkpoints(folder: string): string[] {
  return filesOf(folder).filter((name) => /step-\d+\/(model|optimizer)\.safetensors$/.test(name));
}

const victims: readonly Victim[] = [
  {
    name: 'train',
    args: (settings, out) => ({
      first: ['train', '--config', settings, '--out', out],
      resume: ['train', '--resume', '--out', out],
    }),
    result: (out) =>
      digestOf(
        out,
        checkpoints(out).filter((name) => name.includes('step-00000040')),
      ),
  },
  {
    name: 'compare',
    args: (settings, out) => ({
      first: ['compare', '--config', settings, '--methods', 'scratch,apollo,stackbert', '--out', out],
      resume: ['compare', '--resume', '--out', out],
    }),
    result(out) {
      const { runs } = JSON.parse(readFileSync(join(out, 'results.json'), 'utf8')) as {
        runs: { method: string; evaluations: { step: number; lossFull: number }[] }[];
      };
      const losses = runs.map(({ method, evaluations }) => [method, evaluations.map((e) => [e.step, e.lossFull])]);
      const last = checkpoints(out).filter((name) => name.includes('step-00000040'));
      return `${JSON.stringify(losses)} ${digestOf(out, last)}`;
    },
  },
  {
    name: 'prepare',
    args(settings, out) {
      const args = ['prepare', '--config', settings, '--cache', join(out, 'cache')];
      return { first: args, resume: args };
    },
    result: (out) =>
      digestOf(
        out,
        filesOf(out).filter((name) => /\.(bin|tokens|ids)$|tokenizer\.json$/.test(name)),
      ),
  },
];

export const kills: Part = {
  name: 'kills',
  about: 'SIGKILL at random moments of train, compare and prepare, then resume',
  size: 60,
  unit: 'kills',
  async run(programme, size) {
    const rows: Tally[] = [];
    for (const [index, victim] of victims.entries()) {
      const share = Math.ceil(size / victims.length);
      rows.push(await killed(programme, victim, index, share));
    }
    return rows;
  },
};

async function killed(programme: Programme, victim: Victim, stream: number, size: number): Promise<Tally> {
  const { work, cli, seed, signal, say } = programme;
  const row = tally('kills', `SIGKILL of ${victim.name}, then resume`);
  const base = join(work, `kills-${victim.name}`);
  const settings = writeSettings(base, victim.name === 'prepare' ? { steps: 1 } : {});
  const whole = join(base, 'whole');
  mkdirSync(whole, { recursive: true });
  const undisturbed = await node([cli, ...victim.args(settings, join(whole, 'out')).first]);
  if (undisturbed.code !== 0) {
    count(row, 'crash', `the undisturbed run: ${complaint(undisturbed) ?? undisturbed.stderr}`);
    return row;
  }
  const expected = victim.result(join(whole, 'out'));
  let done = 0;
  for (let run = 0; done < size && !signal.aborted; run++) {
    const out = join(base, `run-${run}`, 'out');
    mkdirSync(join(base, `run-${run}`), { recursive: true });
    // Up to four kills of one run, each at any moment of what is left of it.
    const times = Math.min(size - done, 1 + Math.floor(4 * uniformNumber(seed, 10 + stream, run)));
    const moments: number[] = [];
    let outcome = '';
    for (let kill = 0; kill < times; kill++) {
      const killMs = undisturbed.ms * uniformNumber(seed, 20 + stream, 8 * run + kill);
      const started = kill > 0 && existsSync(join(out, 'settings.json'));
      const args = victim.args(settings, out);
      const ended = await node([cli, ...(started ? args.resume : args.first)], { killMs });
      moments.push(Math.round(killMs));
      done++;
      const bad = ended.signal === 'SIGKILL' ? undefined : complaint(ended);
      if (bad) outcome ||= bad;
    }
    const { first, resume } = victim.args(settings, out);
    const ended = await node([cli, ...(existsSync(join(out, 'settings.json')) ? resume : first)]);
    const what = `run ${run}, killed after ${moments.join(', ')} ms`;
    const bad = outcome || complaint(ended) || (ended.code !== 0 && `resume: ${ended.stderr.trim().slice(-300)}`);
    if (bad) count(row, 'crash', `${what}: ${bad}`);
    else if (victim.result(out) !== expected) count(row, 'wrong', `${what}: another result`);
    else if (leftOvers(out).length > 0) count(row, 'left', `${what}: ${leftOvers(out).join(', ')}`);
    else row.counts.right++;
    if (run % 10 === 9) say(`${victim.name}: ${done} of ${size} kills`);
  }
  row.note = `${done} kills in ${Object.values(row.counts).reduce((a, b) => a + b)} runs`;
  return row;
}

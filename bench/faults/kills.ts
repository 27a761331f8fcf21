/** SIGKILL at random moments, then resume: the end must have the bits of an undisturbed run. */
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { uniformNumber } from '../../lib/growth/index.js';
import { complaint, type Ended, hasNothingToResume, node } from './child.js';
import { digestOf, filesOf, leftOvers, writeSettings, writeTask } from './fixture.js';
import { count, type Part, type Programme, type Tally, tally } from './outcome.js';

interface Victim {
  readonly name: string;
  /** Settings of the fixture that differ. */
  readonly changes?: Readonly<Record<string, unknown>>;
  /** Inputs of the command, made once next to the settings. */
  prepare?(settings: string, cli: string): Promise<Ended>;
  /** Arguments of the first call and of the one that resumes. */
  args(settings: string, out: string): { readonly first: readonly string[]; readonly resume: readonly string[] };
  /** Digest of what the finished command has made. */
  result(out: string): string;
}

const bert = {
  model: { preset: 'bert-nano', layers: 2, hidden: 32, heads: 2, ffn: 64, maxPositions: 16, dropout: 0.1 },
  steps: 6,
};

/** Without what the clock and the folder say, for JSON.parse. */
const comparable = (key: string, value: unknown) => (/^(model|.*ms)$/i.test(key) ? undefined : value);

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
    name: 'finetune',
    changes: bert,
    prepare(settings, cli) {
      const base = dirname(settings);
      writeTask(base);
      return node([cli, 'train', '--config', settings, '--out', join(base, 'model')]);
    },
    // The same command resumes.
    args(settings, out) {
      const base = dirname(settings);
      const args = ['finetune', '--task', 'sst2', '--data', base, '--model', join(base, 'model'), '--out', out];
      const size = [
        '--epochs',
        '2',
        '--batch',
        '4',
        '--seeds',
        '2',
        '--max-length',
        '16',
        '--checkpoint-minutes',
        '0.001',
      ];
      const all = [...args, ...size, '--threads', '1', '--precision', 'f32'];
      return { first: all, resume: all };
    },
    result(out) {
      const weights = filesOf(out).filter((name) => name.endsWith('model.safetensors'));
      const { variants, baselines } = JSON.parse(readFileSync(join(out, 'results.json'), 'utf8'), comparable);
      return `${JSON.stringify([variants, baselines])} ${digestOf(out, weights)}`;
    },
  },
  {
    name: 'prepare',
    changes: { steps: 1 },
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
  about: 'SIGKILL at random moments of train, compare, finetune and prepare, then resume',
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
  const settings = writeSettings(base, victim.changes);
  const whole = join(base, 'whole');
  mkdirSync(whole, { recursive: true });
  const prepared = await victim.prepare?.(settings, cli);
  const undisturbed = await node([cli, ...victim.args(settings, join(whole, 'out')).first]);
  for (const ended of [prepared, undisturbed]) {
    if (!ended || ended.code === 0) continue;
    count(row, 'crash', `undisturbed: ${complaint(ended) ?? ended.stderr}`);
    return row;
  }
  const expected = victim.result(join(whole, 'out'));
  let done = 0;
  for (let run = 0; done < size && !(signal.aborted && (run > 0 || stream > 0)); run++) {
    let out = join(base, `run-${run}`, 'out');
    mkdirSync(join(base, `run-${run}`), { recursive: true });
    // Up to four kills of one run, each at any moment of what is left of it.
    const times = Math.min(size - done, 1 + Math.floor(4 * uniformNumber(seed, 10 + stream, run)));
    const moments: number[] = [];
    const { first, resume } = victim.args(settings, out);
    const start = (killMs?: number) =>
      node([cli, ...(existsSync(join(out, 'settings.json')) ? resume : first)], {
        ...(killMs !== undefined && { killMs }),
      });
    let outcome = '';
    let last: Ended | undefined;
    for (let kill = 0; kill < times && last?.code !== 0; kill++) {
      const killMs = undisturbed.ms * uniformNumber(seed, 20 + stream, 8 * run + kill);
      moments.push(Math.round(killMs));
      last = await start(killMs);
      if (last.signal === 'SIGKILL') done++;
      else outcome ||= complaint(last) ?? '';
    }
    let ended = last?.code === 0 ? last : await start();
    if (hasNothingToResume(ended)) {
      out = `${out}-2`;
      ended = await node([cli, ...victim.args(settings, out).first]);
    }
    const what = `run ${run}, killed after ${moments.join(', ')} ms`;
    const bad = outcome || complaint(ended) || (ended.code !== 0 && `resume: ${ended.stderr.trim().slice(-300)}`);
    if (bad) count(row, 'crash', `${what}: ${bad}`);
    else if (victim.result(out) !== expected) {
      count(row, 'wrong', `${what}: another result (${firstDifference(victim.result(out), expected)})`);
    } else if (leftOvers(out).length > 0) count(row, 'left', `${what}: ${leftOvers(out).join(', ')}`);
    else {
      row.counts.right++;
      rmSync(join(base, `run-${run}`), { recursive: true });
    }
    if (run % 10 === 9) say(`${victim.name}: ${done} of ${size} kills`);
  }
  row.note = `${done} kills in ${Object.values(row.counts).reduce((a, b) => a + b)} runs`;
  return row;
}

/** Where two results part, with what is there. */
function firstDifference(got: string, expected: string): string {
  let at = 0;
  while (got[at] === expected[at]) at++;
  const around = (text: string) => text.slice(Math.max(0, at - 60), at + 60);
  return `"${around(got)}", expected "${around(expected)}"`;
}

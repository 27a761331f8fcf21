/**
 * npm run bench:map: the map of which method saves how much for which model and budget, from runs that each go to the end
 * of their own schedule. Resumable: finished runs and checkpoints stay in --work; records and pages go to --out.
 */
import { mkdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { Command, Option } from 'commander';
import { openDevice } from '../../../lib/engine/index.js';
import { loadAddon } from '../../../lib/engine/native.js';
import { ApolloError } from '../../../lib/errors.js';
import { whole } from '../../options.js';
import { idOf, type MapRecord, type ModelKind, modelKinds, processorsOf } from './record.js';
import { writeMap } from './report.js';
import { rounds } from './rounds/index.js';
import { finishedRun, makeRun, openMapCorpus } from './run.js';
import { measureTimes, writeTimes } from './times.js';

const names = rounds.map(({ name }) => name);
const command = new Command('bench:map')
  .description('Loss at the end of annealed runs against FLOPs: every method, several budgets, Scratch tuned first.')
  .addOption(new Option('--round <names...>', 'rounds to make').choices(names).default(names))
  .addOption(
    new Option('--kind <names...>', 'kinds of model to train').choices([...modelKinds]).default([...modelKinds]),
  )
  .option('--only <texts...>', 'train runs whose name contains one of these, in the order of the texts')
  .requiredOption('--data <paths...>', 'text files, folders or patterns')
  .option('--threads <n>', 'of the CPU', Number, 1)
  .addOption(new Option('--precision <kind>', 'of matrix products').choices(['auto', 'f32', 'bf16']).default('auto'))
  .option(
    '--times <steps>',
    'train nothing to its end, but time the arms in turns for this many steps each; the machine has to be quiet',
    whole,
  )
  .option('--repeats <n>', 'of --times', whole, 3)
  .option('--minutes <n>', 'stop cleanly after so long; call again to resume', Number)
  .option('--cache <folder>', 'where prepared corpora are kept', '.cache/apollo-lm')
  .option('--work <folder>', 'where runs are kept', 'runs/map')
  .option('--out <folder>', 'where results are written', 'bench/results/acceleration/map')
  .parse();
const o = command.opts<{
  round: string[];
  kind: ModelKind[];
  only?: string[];
  data: string[];
  threads: number;
  precision: 'auto' | 'f32' | 'bf16';
  times?: number;
  repeats: number;
  minutes?: number;
  cache: string;
  work: string;
  out: string;
}>();

const stop = new AbortController();
for (const name of ['SIGINT', 'SIGTERM'] as const) {
  process.on(name, () => {
    if (stop.signal.aborted) process.exit(130);
    console.error('Stopping: the run under way writes a checkpoint. Again leaves at once.');
    stop.abort();
  });
}
const limit = o.minutes === undefined ? undefined : setTimeout(() => stop.abort(), 60e3 * o.minutes);

const addon = loadAddon().info();
const precision = o.precision === 'auto' ? (addon.fastBf16 ? 'bf16' : 'f32') : o.precision;
const { signal } = stop;
mkdirSync(o.work, { recursive: true });
const device = await openDevice({ kind: 'cpu', threads: o.threads });
try {
  const options = { data: o.data, cacheDir: o.cache, signal };
  const causal = await openMapCorpus('causal', options);
  const masked = await openMapCorpus('masked', options);
  try {
    const say = (line: string) => console.error(`${new Date().toISOString().slice(11, 19)} ${line}`);
    const context = { device, precision, corpora: { causal, masked }, work: o.work, signal, say } as const;
    const tokens = ({ stats }: typeof causal) => stats.trainTokens;
    const about = {
      model: '12 layers x 64, 2 heads, vocabulary 2,048; GPT and Llama 16 x 64 tokens per step, BERT 64 x 16',
      'training tokens': `GPT and Llama ${tokens(causal)}, BERT ${tokens(masked)}`,
      precision,
    };
    const write = (records: readonly MapRecord[]) =>
      writeMap(o.out, {
        format: 'apollo-lm/map/1',
        scale: 'nano',
        about: { ...about, processors: processorsOf(records) },
        records,
      });
    const ofRounds = rounds
      .filter(({ name }) => o.round.includes(name))
      .flatMap(({ runs }) => runs.filter(({ kind }) => o.kind.includes(kind)));
    const named = (text: string) => {
      const runs = ofRounds.filter((run) => idOf(run).includes(text));
      if (runs.length > 0) return runs;
      throw new ApolloError('BAD_ARGUMENT', `--only: no run of these rounds has "${text}" in its name.`);
    };
    const chosen = o.only?.flatMap(named) ?? ofRounds;
    // What earlier calls made is in the results from the beginning, wherever it is in the order.
    const records = new Map(
      chosen.flatMap((run) => {
        const record = finishedRun(run, o.work);
        return record ? [[record.id, record]] : [];
      }),
    );
    if (o.times) {
      const size = { steps: o.times, rounds: o.repeats };
      const times = await measureTimes({ kinds: o.kind, ...size }, context);
      const quiet = `${addon.cpuName}, ${o.threads} of ${availableParallelism()} threads`;
      writeTimes(o.out, {
        format: 'apollo-lm/map-times/1',
        about: { ...about, processor: quiet },
        steps: o.times,
        arms: times,
      });
    }
    if (records.size > 0) await write([...records.values()]);
    let open = 0;
    for (const run of o.times ? [] : chosen) {
      const record = signal.aborted ? records.get(idOf(run)) : await makeRun(run, context);
      if (!record) open++;
      else if (!records.has(record.id)) {
        records.set(record.id, record);
        await write([...records.values()]);
      }
    }
    if (open > 0) {
      console.error(`${open} runs are open: call again with the same options to resume.`);
      process.exitCode = 3;
    }
  } finally {
    causal.close();
    masked.close();
  }
} catch (error) {
  if (!(error instanceof ApolloError)) throw error;
  if (error.code !== 'ABORT_ERR') {
    console.error(`bench:map: ${error.message}`);
    process.exitCode = 1;
  } else process.exitCode = 3;
} finally {
  clearTimeout(limit);
  await device.close();
}

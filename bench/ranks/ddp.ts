/** A step of GPT on ranks of one thread against PyTorch's DistributedDataParallel on as many processes, by turns. */
import { fileURLToPath } from 'node:url';
import { launcherArguments, mpiexec } from '../launcher.js';
import { spread } from '../statistics.js';
import { findPeerPython, Peer } from '../step/peer.js';
import type { RankTask } from './step-rank.js';

export interface DdpOptions extends RankTask {
  readonly ranks: number;
  readonly steps: number;
  readonly compile?: boolean;
}

interface Side {
  readonly name: string;
  readonly tokensPerSecond: number;
  readonly stepMs: ReturnType<typeof spread>;
}

export interface DdpComparison extends DdpOptions {
  readonly own: Side;
  readonly peer: Side & { readonly version: string };
  readonly speedup: number;
}

const rounds = 5;
const warmUp = 3;

export async function compareWithDdp(options: DdpOptions): Promise<DdpComparison> {
  const { ranks, steps, compile = false, ...task } = options;
  const { batch, seq, hidden, heads, layers, vocabSize, precision } = task;
  const python = findPeerPython();
  if (!python) throw new Error('no Python with torch: set APOLLO_PEER_PYTHON to an interpreter that has it');
  const script = fileURLToPath(new URL('./step-rank.ts', import.meta.url));
  const command = [process.execPath, ...process.execArgv, script, JSON.stringify(task)];
  const own = Peer.of('apollo-lm', batch, mpiexec, launcherArguments([{ ranks, command }]));
  const peer = Peer.launch(
    python,
    new URL('./torch_ddp.py', import.meta.url),
    'torch DDP',
    {
      ...{
        model: 'gpt',
        layers,
        hidden,
        heads,
        'key-value-heads': heads,
        ffn: 4 * hidden,
        'vocab-size': vocabSize,
        dropout: 0.1,
      },
      ...{ seq, batch, precision, threads: 1, ranks },
    },
    compile ? ['--compile'] : [],
  );
  await own.run(warmUp);
  await peer.run(warmUp);
  const [mine, theirs]: [number[], number[]] = [[], []];
  const turn = Math.max(1, Math.round(steps / rounds));
  for (let round = 0; round < rounds; ++round) {
    mine.push(...(await own.run(turn)));
    theirs.push(...(await peer.run(turn)));
  }
  await own.end();
  const { version } = await peer.end();
  const side = (name: string, ms: readonly number[]): Side => {
    const stepMs = spread(ms);
    return { name, stepMs, tokensPerSecond: (1000 * ranks * batch * seq) / stepMs.median };
  };
  const ours = side('apollo-lm', mine);
  const other = side(compile ? 'torch DDP, compiled' : 'torch DDP', theirs);
  return {
    ...options,
    own: ours,
    peer: { ...other, version },
    speedup: ours.tokensPerSecond / other.tokensPerSecond,
  };
}

export function describeDdp({
  own,
  peer,
  speedup,
  ranks,
  layers,
  hidden,
  batch,
  seq,
  precision,
}: DdpComparison): string {
  const line = ({ name, tokensPerSecond, stepMs: { median, min, max } }: Side) =>
    `${name.padEnd(20)} ${tokensPerSecond.toFixed(0).padStart(7)} tokens/s   step ${median.toFixed(1)} ms (${min.toFixed(1)} to ${max.toFixed(1)})`;
  return [
    `GPT ${layers} x ${hidden}, ${precision}: ${ranks} processes of one thread, ${batch} x ${seq} tokens each`,
    line(own),
    `${line(peer)}   torch ${peer.version}`,
    `apollo-lm is ${speedup.toFixed(2)} times as fast`,
  ].join('\n');
}

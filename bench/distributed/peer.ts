/** PyTorch's DDP at a place: the same model on the same rows, with the same learning rates, trained by torch_train.py. */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { alone, ranks, type Site } from './places.js';
import type { RowsTask } from './rows.js';

export const peerName = 'PyTorch DDP';

/** The events of a run: its steps, the held-out loss at the end, and `done`. */
export async function trainPeer(
  { launch, address, network }: Site,
  python: string,
  work: string,
  task: Omit<RowsTask, 'file' | 'ranks'>,
): Promise<Readonly<Record<string, unknown>>[]> {
  const file = join(work, 'rows.bin');
  const [sizes] = await alone('bench/distributed/rows.ts', [JSON.stringify({ ...task, ranks, file })]);
  const { batch, seq, steps } = task;
  const master = `${address}:${20_000 + (process.pid % 20_000)}`;
  try {
    return await launch([
      ...(network ? ['-x', `GLOO_SOCKET_IFNAME=${network}`] : []),
      ...[python, 'bench/distributed/torch_train.py', JSON.stringify({ ...sizes, batch, seq, steps, file, master })],
    ]);
  } finally {
    rmSync(file);
  }
}

/** Bytes that all ranks send for a token: DDP exchanges all gradients as f32, and a ring sends them 2 (N - 1) times. */
export const peerBytes = (parameters: number, tokensPerStep: number): number =>
  (8 * (ranks - 1) * parameters) / tokensPerStep;

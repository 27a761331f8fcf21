/**
 * What this machine can do at best: the matmul peak and the copy bandwidth that utilisations refer to. Used by
 * `doctor`, `plan` and the benches.
 */
import type { Device } from './device.js';
import { Graph, type Tensor } from './graph.js';
import { copyOp } from './ops/elementwise.js';
import { emitOne, matmul, slice } from './ops/index.js';

export interface MatmulPeak {
  /** Best rate over `shapes`, in FLOP/s (a multiply-add counts as two). */
  readonly flopsPerSecond: number;
  /** [M, N, K] of the best one. */
  readonly shape: readonly number[];
  /** Median rate of every shape tried. */
  readonly all: readonly { readonly shape: readonly number[]; readonly flopsPerSecond: number }[];
}

const peakShapes = [
  [2048, 768, 256],
  [2048, 1024, 256],
  [2048, 256, 1024],
  [2048, 3072, 768],
  [2048, 2048, 2048],
] as const;

const median = (values: number[]) => values.sort((a, b) => a - b)[values.length >> 1]!;

/** Median nanoseconds of the instruction `op` in a program, over `runs` runs after two to warm up. */
async function medianNs(device: Device, build: (graph: Graph) => Tensor, op: string, runs: number): Promise<number> {
  const graph = new Graph();
  const result = build(graph);
  // One element is read back: it keeps the op in the program and costs nothing.
  graph.output(
    'corner',
    slice(
      result,
      result.shape.map(() => 0),
      result.shape.map(() => 1),
    ),
  );
  const program = await device.compile(graph);
  const times: number[] = [];
  for (let run = -2; run < runs; ++run) {
    const { profile } = await program.run({}, { profile: true });
    const entry = profile?.find((instruction) => instruction.op === op);
    if (run >= 0 && entry) times.push(entry.ns);
  }
  program.dispose();
  return median(times);
}

/** The fastest plain matrix product on `device` in `dtype`, over the shapes of language models. Takes about a second. */
export async function matmulPeak(device: Device, dtype: 'f32' | 'bf16'): Promise<MatmulPeak> {
  const all: { shape: readonly number[]; flopsPerSecond: number }[] = [];
  for (const shape of peakShapes) {
    const [m, n, k] = shape;
    const build = (graph: Graph) => matmul(graph.constant(0.5, [m, k], dtype), graph.constant(0.25, [k, n], dtype));
    const ns = await medianNs(device, build, 'matmul', 15);
    all.push({ shape, flopsPerSecond: (2 * m * n * k) / (ns * 1e-9) });
  }
  const best = all.reduce((a, b) => (b.flopsPerSecond > a.flopsPerSecond ? b : a));
  return { ...best, all };
}

/** Bytes read and written per second by a copy of `megabytes` MB (default larger than the caches of most machines). */
export async function copyBandwidth(device: Device, megabytes = 256): Promise<number> {
  const elements = Math.round((megabytes * 1e6) / 4);
  const ns = await medianNs(device, (graph) => emitOne(copyOp, [graph.constant(1, [elements])], {}), 'copy', 9);
  return (2 * 4 * elements) / (ns * 1e-9);
}

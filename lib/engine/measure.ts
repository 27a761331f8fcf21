/**
 * Limits of this machine: the matmul peak and the copy bandwidth that utilisations refer to. Used by
 * `doctor`, `plan` and the benches.
 */

import * as is from '../is.js';
import type { Device } from './device.js';
import { Graph, type Tensor } from './graph.js';
import { copyOp } from './ops/elementwise.js';
import { dropout, emitOne, matmul, slice } from './ops/index.js';

/** The fastest products that {@link matmulPeak} has timed. */
export interface MatmulPeak {
  /** Best rate over `shapes`, in FLOP/s (a multiply-add counts as two). */
  readonly flopsPerSecond: number;
  /** [M, N, K] of the best one. */
  readonly shape: readonly number[];
  /** Median rate of every shape tried. */
  readonly all: readonly { readonly shape: readonly number[]; readonly flopsPerSecond: number }[];
}

/** Shapes of language models by kind of device: a GPU needs larger ones to be busy. */
const peakShapes: Readonly<Record<string, readonly (readonly [number, number, number])[]>> = {
  cpu: [
    [2048, 768, 256],
    [2048, 1024, 256],
    [2048, 256, 1024],
    [2048, 3072, 768],
    [2048, 2048, 2048],
  ],
  cuda: [
    [32768, 768, 768],
    [32768, 3072, 768],
    [32768, 768, 3072],
    [8192, 8192, 8192],
  ],
};

/** Random values in [0, 2): constants would let a GPU run cooler, hence faster, than it does on real data. */
function noise(graph: Graph, shape: readonly number[], dtype: 'f32' | 'bf16'): Tensor {
  let sum = graph.constant(0, shape, dtype);
  // Each dropout is one random bit an element, the sum a binary fraction.
  for (let bit = 0; bit < 6; bit++) sum = sum.add(dropout(graph.constant(2 ** -(bit + 1), shape, dtype), 0.5));
  return sum;
}

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
    const { profile } = await program.run(program.inputs.length > 0 ? { rng: [1, 0, run, 0] } : {}, { profile: true });
    const entry = profile?.findLast((instruction) => instruction.op === op);
    if (run >= 0 && entry) times.push(entry.ns);
  }
  program.dispose();
  return median(times);
}

const takesMatmulPeak = is.takes('matmulPeak', {
  device: is.device,
  dtype: is.precision,
  shapes: is.optional(is.list(is.tuple(3), { least: 1 })),
});

/**
 * The fastest plain matrix product on `device` in `dtype`, over `shapes` [m, n, k], by default those of language models.
 * Takes about a second.
 * @param device The device that is measured.
 * @param dtype Type of both factors.
 * @param shapes Sizes [m, n, k] of the products that are tried. Default: products of language models, by the device's kind.
 * @example
 * const { flopsPerSecond } = await matmulPeak(device, 'bf16');
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export async function matmulPeak(
  device: Device,
  dtype: 'f32' | 'bf16',
  shapes?: readonly (readonly [number, number, number])[],
): Promise<MatmulPeak> {
  takesMatmulPeak(device, dtype, shapes);

  const all: { shape: readonly number[]; flopsPerSecond: number }[] = [];
  for (const shape of shapes ?? peakShapes[device.info().kind] ?? []) {
    const [m, n, k] = shape;
    const build = (graph: Graph) => matmul(noise(graph, [m, k], dtype), noise(graph, [k, n], dtype));
    const ns = await medianNs(device, build, 'matmul', 15);
    all.push({ shape, flopsPerSecond: (2 * m * n * k) / (ns * 1e-9) });
  }
  const best = all.reduce((a, b) => (b.flopsPerSecond > a.flopsPerSecond ? b : a));
  return { ...best, all };
}

const takesCopyBandwidth = is.takes('copyBandwidth', { device: is.device, megabytes: is.optional(is.count) });

/**
 * Bytes read and written per second by a copy of `megabytes` MB (default: several times the caches of most machines).
 * @param device The device that is measured.
 * @param megabytes Size of what is copied, in MB (1e6 bytes). Default: 256 on a CPU, 2048 on a GPU.
 * @example
 * const bytesPerSecond = await copyBandwidth(device);
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export async function copyBandwidth(device: Device, megabytes?: number): Promise<number> {
  takesCopyBandwidth(device, megabytes);

  const size = megabytes ?? (device.info().kind === 'cpu' ? 256 : 2048);
  const elements = Math.round((size * 1e6) / 4);
  const ns = await medianNs(device, (graph) => emitOne(copyOp, [graph.constant(1, [elements])], {}), 'copy', 9);
  return (2 * 4 * elements) / (ns * 1e-9);
}

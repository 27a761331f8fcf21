/** Times kernels on a device: the large shapes of the op cases, forward and backward, each next to the device's limit. */
import { bytesPerElement } from '../../lib/engine/dtype.js';
import { copyBandwidth, type Device, matmulPeak, opRegistry } from '../../lib/engine/index.js';
import { lower } from '../../lib/engine/lowering.js';
import { size } from '../../lib/engine/shape.js';
import { type OpCase, opCases } from '../../test/cases/ops.js';
import { caseStates, type FloatDType, traceCase, withGradients } from '../../test/cases/trace.js';
import { spread } from '../statistics.js';
import { gpuShapes } from './gpu-shapes.js';

export interface KernelTime {
  readonly op: string;
  readonly dtype: FloatDType;
  readonly operands: string;
  readonly flops: number;
  /** Every operand once. */
  readonly bytes: number;
  readonly ns: { readonly median: number; readonly min: number; readonly max: number };
  readonly unit: 'GFLOP/s' | 'GB/s';
  readonly rate: number;
  /** Fraction of the measured matmul peak or of the measured copy bandwidth. */
  readonly share: number;
}

export interface KernelReport {
  readonly peakFlopsPerSecond: { readonly f32: number; readonly bf16: number };
  readonly copyBytesPerSecond: number;
  readonly results: readonly KernelTime[];
}

export interface KernelOptions {
  readonly runs: number;
  readonly filter?: string | undefined;
  readonly dtype?: FloatDType | undefined;
}

/** Smaller instructions are only glue of a case, and too short to time. */
const smallest = { cpu: 1 << 19, cuda: 1 << 24 };

interface Row extends Omit<KernelTime, 'ns' | 'unit' | 'rate' | 'share'> {
  readonly times: number[];
}

export async function measureKernels(device: Device, { runs, filter, dtype }: KernelOptions): Promise<KernelReport> {
  const gpu = device.info().kind === 'cuda';
  const peaks = {
    f32: (await matmulPeak(device, 'f32')).flopsPerSecond,
    bf16: (await matmulPeak(device, 'bf16')).flopsPerSecond,
  };
  const bandwidth = await copyBandwidth(device);
  const rows = new Map<string, Row>();
  for (const opCase of opCases) {
    const shapes = gpu ? gpuShapes[opCase.name] : opCase.bench;
    if (!shapes || (filter && !opCase.name.includes(filter))) continue;
    for (const each of opCase.dtypes) {
      if (dtype && dtype !== each) continue;
      await timeCase(device, { ...opCase, bench: shapes }, each, runs, gpu ? smallest.cuda : smallest.cpu, rows);
    }
  }
  const results = [...rows.values()].map(({ times, ...row }): KernelTime => {
    const ns = spread(times);
    const product = row.flops > 0;
    const rate = product ? row.flops / ns.median : row.bytes / ns.median; // per ns: G/s
    const limit = product ? peaks[row.dtype] / 1e9 : bandwidth / 1e9;
    return { ...row, ns, unit: product ? 'GFLOP/s' : 'GB/s', rate, share: rate / limit };
  });
  return { peakFlopsPerSecond: peaks, copyBytesPerSecond: bandwidth, results };
}

async function timeCase(
  device: Device,
  opCase: OpCase,
  dtype: FloatDType,
  runs: number,
  least: number,
  rows: Map<string, Row>,
): Promise<void> {
  const traced = traceCase(opCase, dtype, { bench: true });
  const weights = opCase.differentiable.length > 0 ? withGradients(traced, opCase.differentiable) : {};
  for (const [name, tensor] of Object.entries(traced.outputs)) traced.graph.output(name, tensor);
  const {
    desc: { values, instructions },
    inputs,
  } = lower(traced.graph);
  const data: Record<string, Float32Array | Int32Array> = { ...traced.data, ...weights };
  const feeds = Object.fromEntries(inputs.map(({ name }) => [name, data[name]!]));
  using states = await caseStates(device, traced);
  using program = await device.compile(traced.graph, { states });
  for (let run = -2; run < runs; ++run) {
    const { profile } = await program.run(feeds, { profile: true });
    if (run < 0) continue;
    instructions.forEach(({ op, inputs, outputs, attrs }, i) => {
      const operands = [...inputs, ...outputs].map((v) => values[v]!);
      const bytes = operands.reduce((sum, value) => sum + size(value.shape) * bytesPerElement[value.dtype], 0);
      const { ns } = profile![i]!;
      if (bytes < least || ns === 0) return; // 0: fused into another
      const flops =
        opRegistry()
          .get(op)
          ?.flops?.(
            inputs.map((v) => values[v]!),
            outputs.map((v) => values[v]!),
            attrs,
          ) ?? 0;
      const text = inputs.map((v) => `[${values[v]!.shape.join(', ')}]`).join(' ');
      const detail = ['kind', 'tanh', 'inverse', 'causal', 'transA', 'transB', 'activation', 'p']
        .filter((name) => attrs[name] && attrs[name] !== 'none')
        .map((name) => (attrs[name] === true ? name : `${attrs[name]}`))
        .join(' ');
      const key = `${op} ${dtype} ${text} ${detail}`;
      const row = rows.get(key) ?? { op: `${op} ${detail}`.trim(), dtype, operands: text, flops, bytes, times: [] };
      rows.set(key, row);
      row.times.push(ns);
    });
  }
}

/** One line per kernel, by name. */
export function kernelTable(results: readonly KernelTime[]): string {
  const ordered = [...results].sort((a, b) => a.op.localeCompare(b.op) || a.dtype.localeCompare(b.dtype));
  const head = `${'op'.padEnd(34)} ${'dtype'.padEnd(5)} ${'time'.padStart(10)} ${'rate'.padStart(16)} ${'of limit'.padStart(9)}   operands`;
  const lines = ordered.map(({ op, dtype, ns, rate, unit, share, operands }) => {
    const number = `${rate.toFixed(rate < 100 ? 1 : 0)} ${unit}`.padStart(16);
    const time = `${(ns.median / 1e3).toFixed(ns.median < 1e5 ? 1 : 0)} us`.padStart(10);
    return `${op.padEnd(34)} ${dtype.padEnd(5)} ${time} ${number} ${`${(100 * share).toFixed(0)} %`.padStart(9)}   ${operands}`;
  });
  return [head, ...lines].join('\n');
}

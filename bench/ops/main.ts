/**
 * npm run bench:ops: every kernel next to the machine's limit. Runs the large shapes of test/cases/ops.ts, forward and
 * backward, and prints GFLOP/s against the measured matmul peak for products, GB/s (every operand once) against the
 * measured copy bandwidth for the rest.
 */
import { writeFileSync } from 'node:fs';
import { Command } from 'commander';
import { bytesPerElement } from '../../lib/engine/dtype.js';
import { copyBandwidth, loadAddon, matmulPeak, openDevice, opRegistry } from '../../lib/engine/index.js';
import { lower } from '../../lib/engine/lowering.js';
import { size } from '../../lib/engine/shape.js';
import { opCases } from '../../test/cases/ops.js';
import { type FloatDType, traceCase, withGradients } from '../../test/cases/trace.js';
import { spread } from '../statistics.js';

interface Row {
  readonly op: string;
  readonly dtype: FloatDType;
  readonly operands: string;
  readonly flops: number;
  readonly bytes: number;
  readonly times: number[];
}

const command = new Command('bench:ops')
  .description('Times every kernel against the matmul peak and the copy bandwidth of this machine.')
  .option('--threads <n>', 'threads (default: all processors)', Number)
  .option('--runs <n>', 'timed runs', Number, 9)
  .option('--filter <text>', 'only cases whose name contains this')
  .option('--dtype <dtype>', 'f32 or bf16 (default: both)')
  .option('--json', 'print JSON only')
  .option('--out <file>', 'also write the JSON to a file')
  .parse();
const o = command.opts();

/** Smaller instructions are only glue of a case, and too short to time. */
const smallest = 1 << 19;

const device = await openDevice(o.threads ? { threads: o.threads } : {});
const peaks = {
  f32: (await matmulPeak(device, 'f32')).flopsPerSecond,
  bf16: (await matmulPeak(device, 'bf16')).flopsPerSecond,
};
const bandwidth = await copyBandwidth(device);
const cacheBandwidth = await copyBandwidth(device, 3);
const rows = new Map<string, Row>();

for (const opCase of opCases) {
  if (!opCase.bench || (o.filter && !opCase.name.includes(o.filter))) continue;
  for (const dtype of opCase.dtypes) {
    if (o.dtype && o.dtype !== dtype) continue;
    const traced = traceCase(opCase, dtype, { bench: true });
    const weights = opCase.differentiable.length > 0 ? withGradients(traced, opCase.differentiable) : {};
    for (const [name, tensor] of Object.entries(traced.outputs)) traced.graph.output(name, tensor);
    const { values, instructions } = lower(traced.graph).desc;
    const program = await device.compile(traced.graph);
    for (let run = -2; run < o.runs; ++run) {
      const { profile } = await program.run({ ...traced.data, ...weights }, { profile: true });
      if (run < 0) continue;
      instructions.forEach(({ op, inputs, outputs, attrs }, i) => {
        const operands = [...inputs, ...outputs].map((v) => values[v]!);
        const bytes = operands.reduce((sum, value) => sum + size(value.shape) * bytesPerElement[value.dtype], 0);
        if (bytes < smallest) return;
        const flops =
          opRegistry()
            .get(op)
            ?.flops?.(
              inputs.map((v) => values[v]!),
              outputs.map((v) => values[v]!),
              attrs,
            ) ?? 0;
        const text = inputs.map((v) => `[${values[v]!.shape.join(', ')}]`).join(' ');
        const detail = ['kind', 'tanh', 'causal', 'transA', 'transB', 'activation', 'p']
          .filter((name) => attrs[name] && attrs[name] !== 'none')
          .map((name) => (attrs[name] === true ? name : `${attrs[name]}`))
          .join(' ');
        const key = `${op} ${dtype} ${text} ${detail}`;
        const row = rows.get(key) ?? { op: `${op} ${detail}`.trim(), dtype, operands: text, flops, bytes, times: [] };
        rows.set(key, row);
        row.times.push(profile![i]!.ns);
      });
    }
    program.dispose();
  }
}

const results = [...rows.values()].map(({ times, ...row }) => {
  const { median, min, max } = spread(times);
  const product = row.flops > 0;
  const rate = product ? row.flops / median : row.bytes / median; // per ns: G/s
  const limit = product ? peaks[row.dtype] / 1e9 : bandwidth / 1e9;
  return { ...row, ns: { median, min, max }, unit: product ? 'GFLOP/s' : 'GB/s', rate, share: rate / limit };
});
const machine = { ...loadAddon().info(), threads: device.info().threads };
const output = {
  machine,
  peakFlopsPerSecond: peaks,
  copyBytesPerSecond: { 'out of cache (256 MB)': bandwidth, 'in cache (3 MB)': cacheBandwidth },
  results,
};
await device.close();
if (o.out) writeFileSync(o.out, `${JSON.stringify(output, null, 2)}\n`);
if (o.json) {
  console.log(JSON.stringify(output, null, 2));
} else {
  console.log(
    `${machine.cpuName}, ${machine.threads} threads, oneDNN ${machine.oneDnn} (${machine.oneDnnIsa}), kernels ${machine.kernelIsa}`,
  );
  console.log(
    `matmul peak f32 ${(peaks.f32 / 1e9).toFixed(0)}, bf16 ${(peaks.bf16 / 1e9).toFixed(0)} GFLOP/s; ` +
      `copy ${(bandwidth / 1e9).toFixed(1)} GB/s out of cache, ${(cacheBandwidth / 1e9).toFixed(1)} in cache\n`,
  );
  const ordered = [...results].sort((a, b) => a.op.localeCompare(b.op) || a.dtype.localeCompare(b.dtype));
  console.log(
    `${'op'.padEnd(34)} ${'dtype'.padEnd(5)} ${'time'.padStart(10)} ${'rate'.padStart(16)} ${'of limit'.padStart(9)}   operands`,
  );
  for (const { op, dtype, ns, rate, unit, share, operands } of ordered) {
    console.log(
      `${op.padEnd(34)} ${dtype.padEnd(5)} ${`${(ns.median / 1e3).toFixed(0)} us`.padStart(10)} ` +
        `${`${rate.toFixed(rate < 100 ? 1 : 0)} ${unit}`.padStart(16)} ${`${(100 * share).toFixed(0)} %`.padStart(9)}   ${operands}`,
    );
  }
}

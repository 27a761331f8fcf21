/**
 * npm run bench:ops: every kernel next to the machine's limit. Runs the large shapes of the op cases, forward and backward,
 * and prints GFLOP/s against the measured matmul peak for products, GB/s (every operand once) against the measured copy
 * bandwidth for the rest.
 */
import { writeFileSync } from 'node:fs';
import { Command } from 'commander';
import { copyBandwidth, loadAddon, openDevice } from '../../lib/engine/index.js';
import { kernelTable, measureKernels } from './kernels.js';

const command = new Command('bench:ops')
  .description('Times every kernel against the matmul peak and the copy bandwidth of this machine.')
  .option('--device <kind>', 'cpu or cuda', 'cpu')
  .option('--threads <n>', 'threads (default: all processors)', Number)
  .option('--runs <n>', 'timed runs', Number, 9)
  .option('--filter <text>', 'only cases whose name contains this')
  .option('--dtype <dtype>', 'f32 or bf16 (default: both)')
  .option('--json', 'print JSON only')
  .option('--out <file>', 'also write the JSON to a file')
  .parse();
const o = command.opts();

const device = await openDevice({ kind: o.device, ...(o.threads ? { threads: o.threads } : {}) });
const { name, threads, kind } = device.info();
const report = await measureKernels(device, { runs: o.runs, filter: o.filter, dtype: o.dtype });
const cacheBandwidth = await copyBandwidth(device, 3);
await device.close();

const addon = loadAddon().info();
const { peakFlopsPerSecond: peaks, copyBytesPerSecond: bandwidth, results } = report;
const output = {
  machine: { ...addon, device: name, threads },
  peakFlopsPerSecond: peaks,
  copyBytesPerSecond: { 'out of cache': bandwidth, 'in cache (3 MB)': cacheBandwidth },
  results,
};
if (o.out) writeFileSync(o.out, `${JSON.stringify(output, null, 2)}\n`);
if (o.json) {
  console.log(JSON.stringify(output, null, 2));
} else {
  const engine = `oneDNN ${addon.oneDnn} (${addon.oneDnnIsa}), kernels ${addon.kernelIsa}`;
  console.log(kind === 'cpu' ? `${addon.cpuName}, ${threads} threads, ${engine}` : name);
  console.log(
    `matmul peak f32 ${(peaks.f32 / 1e9).toFixed(0)}, bf16 ${(peaks.bf16 / 1e9).toFixed(0)} GFLOP/s; ` +
      `copy ${(bandwidth / 1e9).toFixed(1)} GB/s out of cache, ${(cacheBandwidth / 1e9).toFixed(1)} in cache\n`,
  );
  console.log(kernelTable(results));
}

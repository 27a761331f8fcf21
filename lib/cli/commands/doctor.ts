/** `apollo-lm doctor`: what this machine has, how fast it is, and what is missing with the way to get it. */
import { spawnSync } from 'node:child_process';
import { cpus, freemem, release, totalmem } from 'node:os';
import type { Command } from 'commander';
import { type DeviceOptions, openDevice } from '../../engine/index.js';
import { copyBandwidth, matmulPeak } from '../../engine/measure.js';
import { type CudaInfo, loadAddon, type MpiInfo, type NativeAddon, type NcclInfo } from '../../engine/native.js';
import { ApolloError } from '../../errors.js';
import { formatBytes, formatCount } from '../../report/format.js';
import type { CommandIo } from '../io.js';

/** One line of the findings; `problem` says what to do about it. */
export interface Finding {
  readonly name: string;
  readonly value: string;
  readonly problem?: string;
}

export interface DoctorTools {
  readonly loadAddon: () => NativeAddon;
  /** First line of `program --version`, or undefined when there is no such program. */
  readonly version: (program: string) => string | undefined;
  /** Whether `compiler` finds a header. */
  readonly hasHeader: (compiler: string, header: string) => boolean;
  /** Whether the peaks are measured, which takes seconds. */
  readonly measure: boolean;
}

export function doctorCommand(program: Command, io: CommandIo, finish: (exitCode: number) => void): void {
  program
    .command('doctor')
    .description('show what this machine has, how fast it is, and what is missing')
    .option('--no-measure', 'skip the measurements')
    .option('--json', 'machine-readable output')
    .action(async ({ measure, json }: { measure: boolean; json?: boolean }) => {
      const findings = await examine({ loadAddon, version: programVersion, hasHeader, measure });
      if (json) io.stdout.write(`${JSON.stringify({ findings }, undefined, 2)}\n`);
      else io.stdout.write(`${formatFindings(findings)}\n`);
      finish(findings.some((finding) => finding.problem) ? 1 : 0);
    });
}

/** All findings. Never throws for something missing: that is a finding. */
export async function examine(tools: DoctorTools): Promise<Finding[]> {
  const machine = [
    { name: 'Node.js', value: `${process.version}, N-API ${process.versions['napi']}` },
    { name: 'platform', value: `${process.platform} ${process.arch}, ${release()}` },
    { name: 'processor', value: `${cpus()[0]?.model ?? 'unknown'}, ${cpus().length} threads` },
    { name: 'memory', value: `${formatBytes(totalmem())}, ${formatBytes(freemem())} free` },
  ];
  let addon: NativeAddon;
  try {
    addon = tools.loadAddon();
  } catch (error) {
    return [
      ...machine,
      { name: 'native engine', value: 'missing', problem: (error as Error).message },
      ...buildTools(tools),
    ];
  }
  const info = addon.info();
  const engine = [
    { name: 'native engine', value: `${info.version}, ${info.compiler}` },
    { name: 'oneDNN', value: `${info.oneDnn}, ${info.oneDnnIsa}` },
    { name: 'own kernels', value: info.kernelIsa },
    { name: 'bf16 in hardware', value: info.fastBf16 ? 'yes: precision auto is bf16' : 'no: precision auto is f32' },
  ];
  const cuda = addon.cudaInfo();
  const findings = [
    ...machine,
    ...engine,
    ...gpuFindings(cuda, tools),
    mpiFinding(addon.mpiInfo()),
    ncclFinding(addon.ncclInfo(), cuda),
  ];
  if (!tools.measure) return findings;
  findings.push(...(await measurements({}, '')));
  for (const index of cuda.missing ? [] : cuda.devices.keys()) {
    findings.push(...(await gpuMeasurements(index)));
  }
  return findings;
}

/** Requirements of several ranks. A machine that trains alone needs none of them. */
function mpiFinding({ library, missing }: MpiInfo): Finding {
  return { name: 'MPI', value: library ?? `not in use: ${missing}` };
}

/** Requirements of ranks on several GPUs. A machine with fewer needs none of them. */
function ncclFinding({ library, missing }: NcclInfo, { built, devices }: CudaInfo): Finding {
  if (devices.length > 1 && missing) return { name: 'NCCL', value: 'missing', problem: missing };
  if (!built) return { name: 'NCCL', value: 'not installed; it comes with the CUDA backend' };
  return { name: 'NCCL', value: library ?? `not in use: ${missing}` };
}

const cudaPackage = 'npm install @apollo-lm/linux-x64-cuda (on Linux x64)';

/** GPUs and what it takes to use them. A machine without one lacks nothing. */
function gpuFindings({ built, file, devices, cublasLt, missing }: CudaInfo, { version }: DoctorTools): Finding[] {
  const gpus = devices.map(({ name, totalBytes, capability }, index) => ({
    name: `cuda:${index}`,
    value: `${name}, ${formatBytes(totalBytes)}, compute capability ${capability}`,
  }));
  if (!missing) {
    return [{ name: 'CUDA backend', value: file }, { name: 'cuBLASLt', value: cublasLt ?? 'unknown' }, ...gpus];
  }
  const wanted = gpus.length > 0 || version('nvidia-smi') !== undefined;
  const backend = {
    name: 'CUDA backend',
    value: built ? `${file}, not usable` : 'not built',
    ...(wanted && {
      problem: built
        ? missing
        : `There is an NVIDIA GPU. ${cudaPackage}. Or build it: that takes nvcc and cublasLt.h (CUDA toolkit 12.4 or newer; ` +
          `cublasLt.h alone: bash scripts/cuda-headers.sh); then: npx apollo-lm build\n${missing}`,
    }),
  };
  const idle = built ? `not in use: ${missing}` : `not installed; for an NVIDIA GPU: ${cudaPackage}`;
  return [wanted ? backend : { name: 'CUDA backend', value: idle }, ...gpus];
}

/** A GPU may be in use, or full. */
async function gpuMeasurements(index: number): Promise<Finding[]> {
  try {
    return await measurements({ kind: 'cuda', index }, `cuda:${index} `);
  } catch (error) {
    if (!(error instanceof ApolloError)) throw error;
    return [{ name: `cuda:${index} measurements`, value: 'not possible', problem: error.message }];
  }
}

async function measurements(options: DeviceOptions, prefix: string): Promise<Finding[]> {
  const device = await openDevice(options);
  try {
    const rate = async (dtype: 'f32' | 'bf16') => {
      const { flopsPerSecond, shape } = await matmulPeak(device, dtype);
      const value = `${formatCount(flopsPerSecond)}FLOP/s at [${shape.join(', ')}]`;
      return { name: `${prefix}matmul peak ${dtype}`, value };
    };
    const { kind, threads } = device.info();
    return [
      ...(kind === 'cpu' ? [{ name: 'engine threads', value: String(threads) }] : []),
      await rate('f32'),
      await rate('bf16'),
      { name: `${prefix}copy bandwidth`, value: `${formatCount(await copyBandwidth(device))}B/s` },
    ];
  } finally {
    await device.close();
  }
}

/** Requirements of a build, checked only if there is none. */
function buildTools({ version, hasHeader }: DoctorTools): Finding[] {
  const compiler = ['c++', 'g++', 'clang++'].find((name) => version(name) !== undefined);
  const header = (path: string) => (compiler && hasHeader(compiler, path) ? 'found' : undefined);
  const wanted: readonly [name: string, value: string | undefined, advice: string][] = [
    ['compiler', compiler && version(compiler), 'Debian build-essential, Fedora gcc-c++, macOS xcode-select --install'],
    ['cmake', version('cmake'), 'package cmake; without it: APOLLO_BUILD=gyp'],
    ['ninja', version('ninja'), 'Debian and Fedora ninja-build, macOS ninja; without it make is used'],
    ['oneDNN headers', header('oneapi/dnnl/dnnl.hpp'), 'Debian libdnnl-dev, Fedora onednn-devel, macOS onednn'],
    ['Highway headers', header('hwy/highway.h'), 'Debian libhwy-dev, Fedora highway-devel, macOS highway'],
  ];
  return wanted.map(([name, value, problem]) => (value ? { name, value } : { name, value: 'missing', problem }));
}

export function formatFindings(findings: readonly Finding[]): string {
  const width = Math.max(...findings.map(({ name }) => name.length));
  const lines = findings.map(({ name, value, problem }) => {
    const advice = problem ? `\n${problem.replace(/^/gm, ' '.repeat(width + 4))}` : '';
    return `${problem ? '!' : ' '} ${name.padEnd(width)}  ${value}${advice}`;
  });
  const problems = findings.filter((finding) => finding.problem).length;
  return [...lines, '', problems === 0 ? 'Everything is in place.' : 'Lines with "!" need attention.'].join('\n');
}

function programVersion(program: string): string | undefined {
  const result = spawnSync(program, ['--version'], { encoding: 'utf8' });
  return result.status === 0 ? result.stdout.split('\n')[0] : undefined;
}

function hasHeader(compiler: string, header: string): boolean {
  const input = `#if !__has_include(<${header}>)\n#error missing\n#endif\n`;
  return spawnSync(compiler, ['-E', '-x', 'c++', '-'], { input }).status === 0;
}

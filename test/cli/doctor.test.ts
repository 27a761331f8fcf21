import t from 'tap';
import { examine, formatFindings } from '../../lib/cli/commands/doctor.js';
import { run } from '../../lib/cli/run.js';
import type { CudaInfo, MpiInfo, NativeAddon, NcclInfo } from '../../lib/engine/native.js';
import { ApolloError } from '../../lib/errors.js';
import { engineMissing, memoryIo } from './support.js';

const noAddon = (): NativeAddon => {
  throw new ApolloError('NO_ADDON', 'The native engine is not built.\nBuild it with "npx apollo-lm build".');
};

t.test('without the engine it says what is missing and how to get it', async (t) => {
  const version = (program: string) => (program === 'g++' ? 'g++ 12.2' : undefined);
  const hasHeader = (_: string, header: string) => header.startsWith('hwy/');
  const findings = await examine({ loadAddon: noAddon, version, hasHeader, measure: true });
  const find = (name: string) => findings.find((finding) => finding.name === name);
  t.match(find('native engine'), { value: 'missing', problem: /npx apollo-lm build/ });
  t.same(find('compiler'), { name: 'compiler', value: 'g++ 12.2' });
  t.match(find('cmake'), { value: 'missing', problem: /APOLLO_BUILD=gyp/ });
  t.match(find('oneDNN headers'), { value: 'missing', problem: /libdnnl-dev/ });
  t.same(find('Highway headers'), { name: 'Highway headers', value: 'found' });
  const text = formatFindings(findings);
  t.match(text, /^! native engine +missing\n +The native engine is not built/m);
  t.match(text, /Lines with "!" need attention\.$/);
});

const info = {
  version: '0.1.0',
  compiler: 'GNU 12.2',
  oneDnn: '2.6.3',
  oneDnnIsa: 'avx2',
  kernelIsa: 'AVX2',
  fastBf16: false,
  cpuName: 'x',
  logicalCores: 2,
};

/** The findings' text for an engine with this CUDA backend. */
async function textWith(
  cuda: CudaInfo,
  programs: Readonly<Record<string, string>> = {},
  mpi: MpiInfo = { file: '/x/libapollo_mpi.so', missing: 'MPI is not built in' },
  nccl: NcclInfo = { file: '/x/libapollo_nccl.so', missing: 'NCCL is not built in' },
): Promise<string> {
  const infos = { info: () => info, cudaInfo: () => cuda, mpiInfo: () => mpi, ncclInfo: () => nccl };
  const addon = infos as unknown as NativeAddon;
  const findings = await examine({
    loadAddon: () => addon,
    version: (program) => programs[program],
    hasHeader: () => false,
    measure: false,
  });
  return formatFindings(findings);
}

const noDriver = 'no CUDA driver on this machine (libcuda.so.1 not found); use device "cpu"';

t.test('with the engine it names oneDNN, the instruction sets and bf16', async (t) => {
  const text = await textWith({ file: '/x/libapollo_cuda.so', built: true, devices: [], missing: noDriver });
  t.match(text, /oneDNN +2\.6\.3, avx2/);
  t.match(text, /bf16 in hardware +no: precision auto is f32/);
  t.match(text, /CUDA backend +not in use: no CUDA driver/);
  t.match(text, /Everything is in place\.$/);
});

t.test('the MPI library is named; a machine without one lacks nothing', async (t) => {
  const cuda = { file: '/x/libapollo_cuda.so', built: false, devices: [], missing: noDriver };
  t.match(await textWith(cuda), /MPI +not in use: MPI is not built in\n[\s\S]*Everything is in place\.$/);
  t.match(
    await textWith(cuda),
    /CUDA backend +not installed; for an NVIDIA GPU: npm install @apollo-lm\/linux-x64-cuda/,
  );
  t.match(await textWith(cuda), /NCCL +not installed; it comes with the CUDA backend\n/);
  const mpi = { file: '/x/libapollo_mpi.so', library: 'Open MPI v4.1.4' };
  t.match(await textWith(cuda, {}, mpi), /^ {2}MPI +Open MPI v4\.1\.4$/m);
});

t.test('NCCL is named; only a machine with several GPUs lacks it', async (t) => {
  const gpu = { name: 'NVIDIA H200', totalBytes: 141 * 2 ** 30, capability: '9.0' };
  const withGpus = (count: number): CudaInfo => ({
    file: '/x/libapollo_cuda.so',
    built: true,
    devices: Array.from({ length: count }, () => gpu),
    cublasLt: '130101',
  });
  t.match(await textWith(withGpus(1)), /NCCL +not in use: NCCL is not built in\n[\s\S]*Everything is in place\.$/);
  t.match(await textWith(withGpus(2)), /^! NCCL +missing\n +NCCL is not built in$/m);
  const nccl = { file: '/x/libapollo_nccl.so', library: '2.30.7 (libnccl.so.2)' };
  t.match(await textWith(withGpus(2), {}, undefined, nccl), /^ {2}NCCL +2\.30\.7 \(libnccl\.so\.2\)$/m);
});

t.test('a GPU without the backend is a problem with its remedy', async (t) => {
  const cuda = { file: '/x/libapollo_cuda.so', built: false, devices: [], missing: 'CUDA backend not built' };
  const text = await textWith(cuda, { 'nvidia-smi': 'NVIDIA-SMI 580' });
  t.match(
    text,
    /! CUDA backend +not built\n +There is an NVIDIA GPU\. npm install @apollo-lm\/linux-x64-cuda .* Or build it: that takes nvcc/,
  );
  t.match(text, /Lines with "!" need attention\.$/);
});

t.test('GPUs are listed; without cuBLASLt it says how to get it', async (t) => {
  const h200 = { name: 'NVIDIA H200', totalBytes: 141 * 2 ** 30, capability: '9.0' };
  const found = { file: '/x/libapollo_cuda.so', built: true, devices: [h200], cublasLt: '130101 (libcublasLt.so.13)' };
  const text = await textWith(found);
  t.match(text, /cuda:0 +NVIDIA H200, 141 GiB, compute capability 9\.0/);
  t.match(text, /cuBLASLt +130101/);
  t.match(text, /Everything is in place\.$/);
  const { cublasLt: _, ...rest } = found;
  const without = await textWith({ ...rest, missing: 'cuBLASLt not found; set APOLLO_CUBLASLT=/path' });
  t.match(without, /! CUDA backend .*not usable\n +cuBLASLt not found; set APOLLO_CUBLASLT/);
});

t.test('the command answers for this machine', { skip: engineMissing() }, async (t) => {
  const io = memoryIo();
  t.equal(await run(['doctor', '--no-measure', '--json'], io), 0);
  const { findings } = JSON.parse(io.out()) as { findings: { name: string }[] };
  t.ok(findings.some(({ name }) => name === 'oneDNN'));
});

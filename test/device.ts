/**
 * The device that tests of the engine run on: the CPU, or what APOLLO_TEST_DEVICE says. `emulator` is the CUDA backend on
 * the processor (test/emulator), so that its kernels are tested without a GPU; `cuda` is a GPU (npm run test:cuda).
 */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { type Device, type DeviceOptions, openDevice } from '../lib/engine/device.js';

const library = fileURLToPath(new URL('../build/emulator/libapollo_cuda_emulated.so', import.meta.url));

/** Why there is no emulator; false when there is one. What tap takes as `skip`. */
export const noEmulator = existsSync(library)
  ? (false as const)
  : 'the CUDA emulator is not built (node scripts/build-emulator.mjs)';

/** Variables that put the emulator in the place of GPUs and of NCCL. */
export const emulatorEnv = { APOLLO_CUDA_LIBRARY: library, APOLLO_NCCL_LIBRARY: library, APOLLO_NCCL: library };

/** `order`: in which a block's threads take turns, forward unless said so; a correct kernel gives the same in both. */
export async function emulatedDevice(
  options: Omit<DeviceOptions, 'kind'> & { readonly order?: 'forward' | 'reverse' } = {},
): Promise<Device> {
  const { order, ...rest } = options;
  Object.assign(process.env, emulatorEnv);
  if (order) process.env.APOLLO_EMULATOR_ORDER = order;
  return openDevice({ kind: 'cuda', matmulCache: '', ...rest });
}

/** `options` as for the CPU; a GPU takes of them what concerns it. */
export async function testDevice(options: DeviceOptions = {}): Promise<Device> {
  switch (process.env.APOLLO_TEST_DEVICE ?? 'cpu') {
    case 'cpu':
      return openDevice(options);
    case 'emulator':
      return emulatedDevice(options);
    case 'cuda':
      return openDevice({ matmulCache: '', ...options, kind: 'cuda' });
    default:
      throw new Error(`APOLLO_TEST_DEVICE is cpu, emulator or cuda; got ${process.env.APOLLO_TEST_DEVICE}`);
  }
}

/** CUDA devices for tests of the backend itself: the emulator with both orders of threads, or the GPU. */
export const cudaDevices: readonly {
  readonly name: string;
  readonly skip: false | string;
  open(options?: DeviceOptions): Promise<Device>;
}[] =
  process.env.APOLLO_TEST_DEVICE === 'cuda'
    ? [{ name: 'GPU', skip: false, open: testDevice }]
    : (['forward', 'reverse'] as const).map((order) => ({
        name: `emulator, threads in ${order} order`,
        skip: noEmulator,
        open: (options = {}) => emulatedDevice({ ...options, order }),
      }));

/** Whether tests run on the CPU backend, whose numbers of threads some of them are about. */
export const onCpu = (process.env.APOLLO_TEST_DEVICE ?? 'cpu') === 'cpu';

/** For tests that take the emulator half a minute each; APOLLO_TEST_SLOW=1 runs them there, too. What tap takes as `skip`. */
export const slowOnEmulator =
  process.env.APOLLO_TEST_DEVICE === 'emulator' &&
  !process.env.APOLLO_TEST_SLOW &&
  'long on the emulator; APOLLO_TEST_SLOW=1 runs it';

/**
 * For tests of what the device has no part in, such as which checkpoints are kept: the CPU runs them, and the emulator
 * takes long to train what they need. What tap takes as `skip`.
 */
export const notAboutDevice =
  process.env.APOLLO_TEST_DEVICE === 'emulator' &&
  !process.env.APOLLO_TEST_SLOW &&
  'not about the device, and tested on the CPU; APOLLO_TEST_SLOW=1 runs it';

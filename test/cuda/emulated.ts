/** A CUDA device that runs on the processor (test/emulator): the kernels of native/cuda without a GPU. */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { type Device, type DeviceOptions, openDevice } from '../../lib/engine/device.js';

const library = fileURLToPath(new URL('../../build/emulator/libapollo_cuda_emulated.so', import.meta.url));

/** Why there is none; false when there is one. What tap takes as `skip`. */
export const noEmulator = existsSync(library)
  ? (false as const)
  : 'the CUDA emulator is not built (node scripts/build-emulator.mjs)';

/** `order`: in which a block's threads take turns; a correct kernel gives the same in both. */
export async function emulatedDevice(
  options: Omit<DeviceOptions, 'kind'> & { readonly order?: 'forward' | 'reverse' } = {},
): Promise<Device> {
  const { order = 'forward', ...rest } = options;
  process.env.APOLLO_CUDA_LIBRARY = library;
  process.env.APOLLO_EMULATOR_ORDER = order;
  return openDevice({ kind: 'cuda', matmulCache: '', ...rest });
}

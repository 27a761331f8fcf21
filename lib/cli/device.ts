/** The device a command runs on, from its settings. */
import { availableParallelism } from 'node:os';
import { type Device, type DeviceOptions, openDevice } from '../engine/index.js';
import { loadAddon } from '../engine/native.js';
import { ApolloError } from '../errors.js';
import type { Settings } from './settings/schema.js';

type DeviceSettings = Pick<Settings, 'device' | 'threads' | 'tf32'>;

/** `ranks`: how many share the run, and which of its host this is: each takes its own GPU unless the settings name one. */
export function deviceOptionsOf(
  { device, threads, tf32 }: DeviceSettings,
  ranks: { readonly size: number; readonly localRank?: number | undefined } = { size: 1 },
): DeviceOptions {
  const [kind, index] = device.split(':') as ['cpu' | 'cuda', string?];
  if (kind === 'cpu') return { kind, threads };
  return { kind, index: index === undefined ? ownGpu(ranks) : Number(index), tf32 };
}

/** The GPU of a rank that is given none: the only one that its launcher lets it see, else the one of its place on the host. */
function ownGpu({ size, localRank }: { readonly size: number; readonly localRank?: number | undefined }): number {
  if (size === 1 || loadAddon().cudaInfo().devices.length === 1) return 0;
  if (localRank !== undefined) return localRank;
  throw new ApolloError(
    'BAD_CONFIG',
    'The launcher does not define the index of this rank on its host, so its GPU is unknown. Set LOCAL_RANK as well as RANK, or ' +
      'make one GPU visible to each rank (CUDA_VISIBLE_DEVICES).',
  );
}

/** @throws ApolloError NO_ADDON, NO_DEVICE; BAD_CONFIG for a rank without a GPU. */
export async function openDeviceOf(
  settings: DeviceSettings,
  ranks?: { readonly size: number; readonly localRank?: number | undefined },
): Promise<Device> {
  return openDevice(deviceOptionsOf(settings, ranks));
}

/** `auto` is bf16 where it is fast, else f32. */
export function precisionOf({ precision, device }: Pick<Settings, 'precision' | 'device'>): 'f32' | 'bf16' {
  if (precision !== 'auto') return precision;
  return device !== 'cpu' || loadAddon().info().fastBf16 ? 'bf16' : 'f32';
}

/** Hardware and software of an open device, for the head of a report. */
export function describeDevice(device: Device): { processor: string; engine: string } {
  const { kind, name, threads } = device.info();
  const addon = loadAddon().info();
  const engine = `apollo-lm ${addon.version}`;
  if (kind === 'cpu') {
    const processor = `${addon.cpuName}, ${threads} of ${availableParallelism()} threads`;
    return { processor, engine: `${engine}, oneDNN ${addon.oneDnn} (${addon.oneDnnIsa})` };
  }
  return { processor: name, engine: `${engine}, cuBLASLt ${loadAddon().cudaInfo().cublasLt ?? 'unknown'}` };
}

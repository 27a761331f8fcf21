/** The device a command runs on, from its settings. */
import { availableParallelism } from 'node:os';
import { type Device, type DeviceOptions, openDevice } from '../engine/index.js';
import { loadAddon } from '../engine/native.js';
import type { Settings } from './settings/config.js';

export function deviceOptionsOf({
  device,
  threads,
  tf32,
}: Pick<Settings, 'device' | 'threads' | 'tf32'>): DeviceOptions {
  const [kind, index = '0'] = device.split(':') as ['cpu' | 'cuda', string?];
  return kind === 'cpu' ? { kind, threads } : { kind, index: Number(index), tf32 };
}

/** @throws ApolloError NO_ADDON, NO_DEVICE. */
export function openDeviceOf(settings: Pick<Settings, 'device' | 'threads' | 'tf32'>): Promise<Device> {
  return openDevice(deviceOptionsOf(settings));
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

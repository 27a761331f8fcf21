import { onEmulator } from './on-emulator.js';

await onEmulator(
  'engine/ops',
  'engine/optimizer',
  'engine/parameters',
  'engine/device',
  'engine/evaluate',
  'engine/state',
  'eval/decoder',
);

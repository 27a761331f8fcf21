import { onEmulator } from './on-emulator.js';

await onEmulator(
  'engine/ops',
  'engine/optim/adamw',
  'engine/optim/muon',
  'engine/parameters',
  'engine/device',
  'engine/evaluate',
  'engine/state',
  'eval/generate/decoder',
);

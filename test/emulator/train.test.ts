import { onEmulator } from './on-emulator.js';

await onEmulator('train/loop', 'train/checkpoint', 'train/growth', 'train/non-finite');

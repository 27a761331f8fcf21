import { onEmulator } from './on-emulator.js';

await onEmulator('train/checkpoint/checkpoint', 'train/growth', 'train/programs');

import { onEmulator } from './on-emulator.js';

await onEmulator('train/checkpoint', 'train/growth', 'train/programs');

import { onEmulator } from './on-emulator.js';

await onEmulator('train/loop', 'train/non-finite', 'train/trainer');

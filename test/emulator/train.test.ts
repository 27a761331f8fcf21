import { onEmulator } from './on-emulator.js';

await onEmulator('train/loop', 'train/checkpoint', 'train/growth', 'train/programs', 'train/non-finite');

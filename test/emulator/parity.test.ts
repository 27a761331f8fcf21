import { onEmulator } from './on-emulator.js';

await onEmulator('parity/gpt', 'parity/bert', 'parity/sharing', 'parity/heads', 'parity/muon');

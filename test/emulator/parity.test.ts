import { onEmulator } from './on-emulator.js';

await onEmulator('parity/gpt', 'parity/llama', 'parity/bert', 'parity/sharing', 'parity/heads', 'parity/muon');

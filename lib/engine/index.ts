/** The engine as other rooms see it: what users have (public.ts), and what only this package needs. */
export { Device } from './device.js';
export { loadAddon, type NativeInfo } from './native.js';
export * from './ops/index.js';
export { slotFactor } from './optim/index.js';
export { Program } from './program.js';
export * from './public.js';
export { broadcastShapes, formatShape, size } from './shape.js';

/** Trains two steps on two threads and prints the losses and the threads of the device (test/engine/native.test.ts). */
import { openDevice } from '../../lib/engine/index.js';
import { runTiny } from '../train/tiny.js';

const device = await openDevice({ threads: 2 });
const events = await runTiny(device, { stopAfter: { steps: 2 }, evaluateEvery: 0, batch: 16, warmupSteps: 0 });
const losses = events.flatMap((event) => (event.type === 'step' ? [event.loss] : []));
console.log(JSON.stringify({ threads: device.info().threads, losses }));
await device.close();

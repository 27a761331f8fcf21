/** A training run of its own process, for kill.test.ts: `kill-child.ts FOLDER`. Prints a line per step; resumes by itself. */
import { openTinyDevice, runTiny } from './tiny.js';

const device = await openTinyDevice();
const checkpointDir = process.argv[2] as string;
await runTiny(device, { checkpointEvery: 1, evaluateEvery: 0 }, { checkpointDir, resume: 'auto' }, (event) => {
  process.stdout.write(`${event.type} ${event.step}\n`);
});
await device.close();

/** Run by ranks: how long a message takes between them, and an exchange of one bucket. Prints a line of JSON on the first. */
import { nativeGroupOf, openGroup } from '../../lib/dist/index.js';
import { openDevice, ParameterStore, RunGroup } from '../../lib/engine/index.js';
import { spread } from '../statistics.js';

const device = await openDevice({ threads: 1 });
const group = await openGroup(device);
const store = new ParameterStore(device);
const shape = [2 ** 20];
store.declare({ name: 'w', shape, workingCopy: false, decay: false });
const { buffer } = store.bind('gradient', 'w', shape);

/** The median in seconds of many. */
async function timed(count: number, work: () => Promise<unknown>): Promise<number> {
  const times: number[] = [];
  for (let i = 0; i < count; i++) {
    const start = performance.now();
    await work();
    times.push((performance.now() - start) / 1e3);
  }
  return spread(times.slice(Math.ceil(count / 10))).median;
}

const small = await timed(300, () => group.sum([1]));
const flags = () => ({ stopped: new RunGroup().flag, refused: new RunGroup().flag, before: new RunGroup().flag });
const options = () => ({ shared: [], precision: 'f32', weight: 1, sums: [], ...flags() }) as const;
const bucket = await timed(20, () => nativeGroupOf(group)!.exchange([buffer], options()).finish());
if (group.rank === 0) console.log(JSON.stringify({ small, bucket }));
await group.close();
await device.close();

import t from 'tap';
import { type OptimizerName, openDevice } from '../../lib/engine/index.js';
import { createModel, parameterCount } from '../../lib/models/index.js';
import { parameterBytes } from '../../lib/train/memory.js';
import { countingCorpus, runTiny, tinyModel } from './tiny.js';

t.test('a parameter takes 16 bytes in training, a matrix 2 more in bf16 runs', async (t) => {
  const specs = tinyModel.parameters(tinyModel.config.layers);
  const matrices = specs.filter(({ role }) => role === 'matrix');
  const bytes = (precision: 'f32' | 'bf16', optimizer: OptimizerName = 'adamw') =>
    parameterBytes(tinyModel, { precision, optimizer });
  t.equal(bytes('f32'), 16 * parameterCount(specs));
  t.equal(bytes('bf16'), 16 * parameterCount(specs) + 2 * parameterCount(matrices));
  const hidden = matrices.filter(({ layer }) => layer !== undefined);
  t.equal(bytes('f32', 'muon'), 16 * parameterCount(specs) - 4 * parameterCount(hidden), 'Muon: one slot, not two');
});

t.test(
  'a batch that does not fit at full depth is refused before the first step, with the one that does',
  async (t) => {
    const device = await openDevice({ threads: 1, memoryLimitBytes: 24 << 20 });
    let events = 0;
    const error = await runTiny(device, { batch: 1024, accumulation: 1 }, {}, () => ++events).catch((reason) => reason);
    t.equal(error.code, 'OUT_OF_MEMORY');
    t.match(error.message, /batch 1024 at depth 4 does not fit: .*needs .* MiB more .* of 24\.0 MiB/);
    const [, batch, micro] = /batch (\d+) fits; with (\d+) micro-batches/.exec(error.message) ?? [];
    t.ok(Number(batch) >= 8 && Number(batch) < 1024, `batch ${batch}`);
    t.equal(Number(batch) * Number(micro), 1024);
    t.equal(events, 0);
    t.equal(device.info().arenaBytes, 0, 'nothing is left of the attempts');
    const odd = await runTiny(device, { batch: 1023, accumulation: 1 }, {}).catch((reason) => reason);
    const [, part, times] = /batch (\d+) fits; with (\d+) micro-batches/.exec(odd.message) ?? [];
    t.equal(Number(part) * Number(times), 1023, 'the same step, for a batch that no power of two divides');
    await device.close();
  },
);

t.test('parameters of the last stage that will not fit are refused at the start, too', async (t) => {
  const large = createModel({ ...tinyModel.config, layers: 64 });
  const device = await openDevice({ threads: 1, memoryLimitBytes: 9 << 20 });
  const { apollo } = await import('../../lib/methods/index.js');
  const method = apollo({ layers: 64, totalSteps: 24, seed: 1, stageLayers: [1, 64], boundaries: { steps: [12] } });
  await t.rejects(runTiny(device, { batch: 1 }, { model: large, method, corpus: countingCorpus }), {
    code: 'OUT_OF_MEMORY',
    message: /parameters of the last stage need \d+\.\d MiB, .* more than now/,
  });
  await device.close();
});

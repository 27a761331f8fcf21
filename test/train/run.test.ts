/** The end of a run: what it frees, and which error it reports. */
import t from 'tap';
import { ApolloError } from '../../lib/errors.js';
import { createRun } from '../../lib/train/fit.js';
import { RunCheckpoints } from '../../lib/train/run-checkpoints.js';
import { countingCorpus, openTinyDevice, runTiny, tinyModel, tinyOptions } from './tiny.js';

const device = await openTinyDevice();
t.teardown(() => device.close());

/** As in a group whose other ranks have ended. */
const broken = async () => {
  throw new ApolloError('GROUP_FAILED', 'the group is gone');
};

t.test('a run whose checkpoint fails when it closes frees its weights and programs', async (t) => {
  const { bufferBytes } = device.info();
  const run = createRun(tinyOptions, { device, model: tinyModel, method: 'scratch', corpus: countingCorpus });
  await run.open();
  await run.train();
  t.ok(device.info().bufferBytes > bufferBytes);
  run.checkpoints.close = broken;
  await t.rejects(run.close(), { code: 'GROUP_FAILED' });
  t.equal(device.info().bufferBytes, bufferBytes);
});

t.test('an error of a run is not replaced by one of its end', async (t) => {
  const { close } = RunCheckpoints.prototype;
  t.teardown(() => {
    RunCheckpoints.prototype.close = close;
  });
  RunCheckpoints.prototype.close = broken;
  const corpus = {
    ...countingCorpus,
    batch: () => {
      throw new Error('no batch');
    },
  };
  await t.rejects(runTiny(device, { evaluateEvery: 0 }, { corpus }), { message: 'no batch' });
  await t.rejects(runTiny(device, { evaluateEvery: 0, stopAfter: { steps: 1 } }), { code: 'GROUP_FAILED' });
});

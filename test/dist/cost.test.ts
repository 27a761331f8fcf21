/** The cost of collectives and of steps on many ranks, against numbers that were worked out by hand. */
import t, { type Test } from 'tap';
import {
  allGather,
  allReduce,
  barrier,
  doublingAllGather,
  halvingAllReduce,
  type Network,
  reduceScatter,
  ringAllReduce,
  ringReduceScatter,
  treeAllReduce,
} from '../../lib/dist/collective-cost.js';
import { runCost, stepCost } from '../../lib/dist/step-cost.js';

/** 1 Gbit/s and 50 us, with a memory that takes no time. */
const network: Network = { latency: 50e-6, bandwidth: 125e6, memory: Number.POSITIVE_INFINITY };
const close = (t: Test, found: number, wanted: number, name?: string) =>
  t.ok(Math.abs(found - wanted) <= 1e-12 + 1e-9 * wanted, `${name ?? ''} ${found}, expected ${wanted}`);

t.test('an all-reduce of 8 MB over 8 ranks', async (t) => {
  // 7/8 of 8 MB is 7 MB, which takes 56 ms; there and back 112 ms.
  close(t, ringAllReduce(8e6, 8, network).seconds, 14 * 50e-6 + 0.112, 'ring');
  close(t, halvingAllReduce(8e6, 8, network).seconds, 6 * 50e-6 + 0.112, 'halving and doubling');
  close(t, treeAllReduce(8e6, 8, network).seconds, 3 * 50e-6 + 3 * 0.064, 'tree');
  close(t, ringReduceScatter(8e6, 8, network).seconds, 7 * 50e-6 + 0.056);
  close(t, doublingAllGather(8e6, 8, network).seconds, 3 * 50e-6 + 0.056);
  close(t, barrier(8, network).seconds, 3 * 50e-6);
  for (const cost of [ringAllReduce, halvingAllReduce]) t.equal(cost(8e6, 8, network).bytes, 14e6);
  t.equal(treeAllReduce(8e6, 8, network).bytes, 24e6);
});

t.test('the cheapest algorithm is taken', async (t) => {
  close(t, allReduce(8e6, 8, network).seconds, 6 * 50e-6 + 0.112, 'many bytes');
  close(t, allReduce(100, 8, network).seconds, 3 * 50e-6 + 300 / 125e6, 'few bytes');
  close(t, allReduce(8e6, 5, network).seconds, 6 * 50e-6 + (2 * 0.8 * 8e6) / 125e6, 'no power of two: lg 5 is 3');
  t.same(allReduce(8e6, 1, network), { seconds: 0, bytes: 0 });
  const parts = [reduceScatter, allGather].map((cost) => cost(8e6, 8, network).seconds);
  close(t, parts[0]! + parts[1]!, allReduce(8e6, 8, network).seconds, 'a reduce-scatter and an all-gather');
});

t.test('work in memory counts', async (t) => {
  const slow = { ...network, memory: 1e9 };
  close(t, allReduce(8e6, 8, slow).seconds - allReduce(8e6, 8, network).seconds, (5 * 8e6) / 1e9);
  const both = reduceScatter(8e6, 8, slow).seconds + allGather(8e6, 8, slow).seconds;
  close(t, both, allReduce(8e6, 8, slow).seconds);
});

const model = { network, overlap: 0, syncEvery: 10 };
/** 2^20 parameters are one bucket of 4 MiB. */
const load = { compute: 0.1, parameters: 2 ** 20 };
/** Two empty messages of a barrier and an all-reduce of 48 bytes on 4 ranks. */
const agreement = 4 * 50e-6 + 96 / 125e6;
const bucket = 2 * 50e-6 + 4 * 50e-6 + (1.5 * 2 ** 22) / 125e6;

t.test('a step on 4 ranks, by mode', async (t) => {
  close(t, stepCost('f32', load, 4, model).seconds, 0.1 + agreement + bucket);
  close(t, stepCost('f32', load, 4, model).efficiency, 0.1 / (0.1 + agreement + bucket));
  t.equal(stepCost('f32', load, 4, model).bytes, 1.5 * 2 ** 22 + 96);
  close(t, stepCost('bf16', load, 4, model).seconds, 0.1 + agreement + 6 * 50e-6 + (1.5 * 2 ** 21) / 125e6);
  close(t, stepCost('sharded', load, 4, model).seconds, 0.1 + agreement + bucket + 2 * 50e-6, 'a barrier more');
  close(t, stepCost('outer', load, 4, model).seconds, 0.1 + agreement + bucket / 10);
  close(t, stepCost('outer', load, 4, model).bytes, (1.5 * 2 ** 22) / 10 + 96);
  t.same(stepCost('f32', load, 1, model), { seconds: 0.1, bytes: 0, efficiency: 1 });
});

t.test('buckets meet one by one, the last one with what is left', async (t) => {
  const parameters = 2.5 * 2 ** 20;
  const half = 6 * 50e-6 + (1.5 * 2 ** 21) / 125e6;
  close(t, stepCost('f32', { ...load, parameters }, 4, model).seconds, 0.1 + agreement + 2 * bucket + half);
});

t.test('what is exchanged beside the backward pass costs no time, as far as that lasts', async (t) => {
  close(t, stepCost('f32', load, 4, { ...model, overlap: 1 }).seconds, 0.1 + agreement, 'all of it');
  const part = { ...load, compute: 0.03 };
  close(t, stepCost('f32', part, 4, { ...model, overlap: 1 }).seconds, 0.03 + agreement + bucket - 0.02);
  close(
    t,
    stepCost('f32', { ...part, microBatches: 4 }, 4, { ...model, overlap: 1 }).seconds,
    0.03 + agreement + bucket - 0.005,
    'beside the last micro-batch alone',
  );
  close(
    t,
    stepCost('outer', load, 4, { ...model, overlap: 1 }).seconds,
    0.1 + agreement + bucket / 10,
    'not outer steps',
  );
});

t.test('a run of stages is their mean, by steps', async (t) => {
  const stages = [
    { compute: 0.1, parameters: 2 ** 20, steps: 1 },
    { compute: 0.2, parameters: 2 ** 21, steps: 3 },
  ];
  const steps = stages.map((stage) => stepCost('f32', stage, 4, model));
  const mean = (steps[0]!.seconds + 3 * steps[1]!.seconds) / 4;
  close(t, runCost('f32', stages, 4, model).seconds, mean);
  close(t, runCost('f32', stages, 4, model).efficiency, 0.175 / mean);
  close(t, runCost('f32', stages, 4, model).bytes, (steps[0]!.bytes + 3 * steps[1]!.bytes) / 4);
});

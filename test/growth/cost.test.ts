import t from 'tap';
import { relativeCost, relativeRunCost } from '../../lib/growth/cost.js';
import { type SamplerName, samplers } from '../../lib/growth/samplers.js';
import { makeSchedule } from '../../lib/growth/schedule.js';

// FLOPs per token, forward: BERT-Base at 512 positions, GPT-Base at 1024, head on all positions.
const bert = { layer: 15_728_640, head: 48_061_440 };
const gpt = { layer: 17_301_504, head: 77_194_752 };
const layersOnly = { layer: 1, head: 0 };
const stageLayers = [1, 3, 6, 12];

const rows: [SamplerName, number[], number, number[], number, number, number[], number][] = [
  ['lvps', [0.3203, 0.4836, 0.6769], 0.8917, [0.3784, 0.5277, 0.7045], 0.901, 0.8868, [0.1472, 0.3521, 0.5946], 0.8642],
  ['edge', [0.6236, 0.694, 0.7966], 0.9354, [0.6557, 0.7201, 0.814], 0.9409, 0.9324, [0.5277, 0.6161, 0.7448], 0.9189],
  ['uniform', [0.6347, 0.7011, 0.8007], 0.9369, [0.6659, 0.7266, 0.8178], 0.9423, 0.934, [0.5417, 0.625, 0.75], 0.9208],
  ['full', [1, 1, 1], 1, [1, 1, 1], 1, 1, [1, 1, 1], 1],
  ['none', [0.2694, 0.4022, 0.6015], 0.8738, [0.3318, 0.4533, 0.6355], 0.8846, 0.8681, [0.0833, 0.25, 0.5], 0.8417],
];

t.test('expected cost of stages and runs to four digits, five samplers, two models', (t) => {
  const runOf = (epochs: number[], total: number) =>
    makeSchedule({ stageLayers, boundaries: { epochs, stepsPerEpoch: 100 }, totalSteps: total * 100 });
  const near = (got: number, expected: number, what: string) =>
    t.ok(Math.abs(got - expected) < 0.51e-4, `${what}: ${got} against ${expected}`);
  for (const [name, bertStages, bertRun, gptStages, gptRun, gptRun35, depths, depthRun] of rows) {
    const sampler = samplers[name];
    [1, 3, 6].forEach((u, i) => {
      near(relativeCost(sampler, u, 12, bert), bertStages[i] as number, `${name} BERT u=${u}`);
      near(relativeCost(sampler, u, 12, gpt), gptStages[i] as number, `${name} GPT u=${u}`);
      near(relativeCost(sampler, u, 12, layersOnly), depths[i] as number, `${name} layers u=${u}`);
    });
    near(relativeRunCost(sampler, runOf([2, 4, 10], 40), 4000, bert), bertRun, `${name} BERT, 40 epochs`);
    near(relativeRunCost(sampler, runOf([2, 4, 10], 40), 4000, gpt), gptRun, `${name} GPT, 40 epochs`);
    near(relativeRunCost(sampler, runOf([2, 4, 10], 35), 3500, gpt), gptRun35, `${name} GPT, 35 epochs`);
    near(relativeRunCost(sampler, runOf([2, 4, 10], 40), 4000, layersOnly), depthRun, `${name} layers, 40 epochs`);
  }
  near(relativeRunCost(samplers.lvps, runOf([1, 2, 5], 10), 1000, bert), 0.7835, 'BERT, 10 epochs');
  near(relativeRunCost(samplers.lvps, runOf([1, 2, 5], 10), 1000, gpt), 0.802, 'GPT, 10 epochs');
  near(relativeRunCost(samplers.none, runOf([1, 2, 5], 10), 1000, bert), 0.7476, 'BERT none, 10 epochs');
  near(relativeRunCost(samplers.none, runOf([1, 2, 5], 10), 1000, gpt), 0.7692, 'GPT none, 10 epochs');
  t.end();
});

t.test('a run that ends before a boundary never has the later stages', async (t) => {
  const schedule = makeSchedule({ stageLayers: [1, 2], boundaries: { steps: [50] }, totalSteps: 100 });
  t.equal(relativeRunCost(samplers.none, schedule, 20, layersOnly), 0.5);
  t.equal(relativeRunCost(samplers.none, schedule, 100, layersOnly), 0.75);
});

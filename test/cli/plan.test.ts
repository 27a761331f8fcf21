import t from 'tap';
import { probeDepths, stageCosts, timeAtDepth } from '../../lib/cli/plan.js';
import { run } from '../../lib/cli/run.js';
import { openDevice } from '../../lib/engine/index.js';
import { createMethod } from '../../lib/methods/index.js';
import { createModel, parameterCount, preset } from '../../lib/models/index.js';
import { engineMissing, memoryIo } from './support.js';

t.test('stages: steps, mean depth, parameters and FLOPs', async (t) => {
  const model = createModel(preset('gpt-nano', { layers: 4 }));
  const method = createMethod('apollo', {
    layers: 4,
    totalSteps: 10,
    seed: 1,
    units: [2, 4],
    boundaries: { steps: [4] },
    sampler: 'none',
  });
  const [first, second] = stageCosts(method, model, { steps: 10, seq: 128, tokens: 256 }, { name: 'adamw' });
  t.match(first, { units: 2, steps: 4, meanDepth: 2, flops: 4 * 256 * model.flopsPerToken(2, 128) });
  t.equal(first!.parameters, parameterCount(model.parameters(2)));
  t.equal(first!.updateFlops, 0);
  const muon = stageCosts(method, model, { steps: 10, seq: 128, tokens: 256 }, { name: 'muon' });
  // Newton-Schulz of a layer of width C, feed-forward 4 C, is 300 C^3: see docs/optimizers.md.
  t.same(
    muon.map(({ updateFlops }) => updateFlops),
    [4 * 2 * 300 * 128 ** 3, 6 * 4 * 300 * 128 ** 3],
  );
  t.match(second, { units: 4, steps: 6, meanDepth: 4, flops: 6 * 256 * model.flopsPerToken(4, 128) });
});

t.test('time at a depth is linear in it', async (t) => {
  const time = timeAtDepth([
    { depth: 1, ms: 10 },
    { depth: 3, ms: 20 },
    { depth: 5, ms: 30 },
  ]);
  t.equal(time(9), 50);
  t.equal(timeAtDepth([{ depth: 4, ms: 7 }])(1), 7, 'one depth says nothing of others');
});

t.test('the pure part needs no engine and no data', async (t) => {
  const io = memoryIo();
  t.equal(await run(['plan', '--model', 'gpt-base', '--tokens', '1B', '--batch', '16', '--no-measure'], io), 0);
  t.match(io.out(), /^apollo: 124 M parameters, 1\.00 G tokens/);
  t.match(io.out(), /trained layers +steps +mean depth/);
  const json = memoryIo();
  await run(['plan', '--method', 'scratch', '--steps', '10', '--batch', '2', '--no-measure', '--json'], json);
  const plan = JSON.parse(json.out()) as { flops: number; scratchFlops: number };
  t.equal(plan.flops, 10 * 2 * 128 * 73_924_608, 'training FLOPs of gpt-mini per token are 73,924,608');
  t.equal(plan.scratchFlops, plan.flops);
});

t.test('what Muon costs is said beside the FLOPs', async (t) => {
  const io = memoryIo();
  const args = ['plan', '--model', 'gpt-nano', '--method', 'scratch', '--steps', '10', '--batch', '16', '--no-measure'];
  t.equal(await run([...args, '--optimizer', 'muon'], io), 0);
  t.match(io.out(), /the updates by muon cost 75\.5 GFLOP more \(.* %\), which is in none of these figures/);
  const plain = memoryIo();
  t.equal(await run(args, plain), 0);
  t.notMatch(plain.out(), /updates by/);
});

t.test('memory and time of a depth come from its program', { skip: engineMissing() }, async (t) => {
  for (const name of ['gpt-nano', 'bert-nano']) {
    const model = createModel(
      preset(name, { layers: 2, hidden: 64, heads: 1, ffn: 128, vocab: 128, maxPositions: 16 }),
    );
    await using device = await openDevice({ threads: 1 });
    const costs = await probeDepths({
      device,
      model,
      precision: 'f32',
      optimizer: 'adamw',
      batch: 2,
      seq: 16,
      depths: [1, 2],
    });
    t.same(
      costs.map(({ depth }) => depth),
      [1, 2],
    );
    t.ok(costs[1]!.arenaBytes > costs[0]!.arenaBytes, `${name}: a deeper network keeps more activations`);
    t.equal(
      costs[1]!.parameterBytes,
      16 * parameterCount(model.parameters(2)),
      `${name}: value, gradient and two moments in f32`,
    );
  }
});

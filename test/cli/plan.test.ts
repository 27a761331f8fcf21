import t from 'tap';
import { probeDepths, stageCosts, timeAtDepth } from '../../lib/cli/plan.js';
import { estimateDepths, extrapolated, pieceOf } from '../../lib/cli/plan-pieces.js';
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
    stageLayers: [2, 4],
    boundaries: { steps: [4] },
    sampler: 'none',
  });
  const [first, second] = stageCosts(method, model, { steps: 10, seq: 128, tokens: 256 }, { name: 'adamw' });
  t.match(first, { trainedLayers: 2, steps: 4, meanDepth: 2, flops: 4 * 256 * model.flopsPerToken(2, 128) });
  t.equal(first!.parameters, parameterCount(model.parameters(2)));
  t.equal(first!.updateFlops, 0);
  const muon = stageCosts(method, model, { steps: 10, seq: 128, tokens: 256 }, { name: 'muon' });
  // Newton-Schulz of a layer of width C, feed-forward 4 C, is 300 C^3: see docs/optimizers.md.
  t.same(
    muon.map(({ updateFlops }) => updateFlops),
    [4 * 2 * 300 * 128 ** 3, 6 * 4 * 300 * 128 ** 3],
  );
  t.match(second, { trainedLayers: 4, steps: 6, meanDepth: 4, flops: 6 * 256 * model.flopsPerToken(4, 128) });
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

t.test(
  'a part of the time does not grow with the tokens: layer and head are extrapolated by their slopes',
  async (t) => {
    // A layer takes 4 + 2 F ms and the rest 10 + 1 F, F in units of FLOPs, as on a machine without noise.
    const at = (layer: number, rest: number) => ({
      ms: [4 + 2 * layer + (10 + rest), 2 * (4 + 2 * layer) + (10 + rest)] as const,
      flops: [layer + rest, 2 * layer + rest] as const,
    });
    const [whole, piece, quarter] = [at(800, 400), at(8, 40), at(2, 10)];
    const time = extrapolated(piece, quarter, whole.flops);
    t.equal(time(1), whole.ms[0]);
    t.equal(time(12), 12 * (4 + 2 * 800) + (10 + 400));
    t.equal(extrapolated(whole, undefined, whole.flops)(2), whole.ms[1], 'a piece that is all is what it took');
    const noisy = extrapolated({ ms: [5, 4], flops: [1, 2] }, undefined, [10, 20]);
    t.equal(noisy(1), 30, 'nine ms for three FLOPs, where a layer more took less');
  },
);

t.test('a piece is whole rows, or the start of one', async (t) => {
  t.same(pieceOf(16, { batch: 8, seq: 128 }), { batch: 1, seq: 16 });
  t.same(pieceOf(100, { batch: 8, seq: 128 }), { batch: 1, seq: 64 });
  t.same(pieceOf(300, { batch: 8, seq: 128 }), { batch: 2, seq: 128 });
  t.same(pieceOf(1e9, { batch: 8, seq: 128 }), { batch: 8, seq: 128 });
  t.same(pieceOf(3, { batch: 8, seq: 8 }), { batch: 1, seq: 8 });
});

t.test('the pure part needs no engine and no data', async (t) => {
  const io = memoryIo();
  t.equal(await run(['plan', '--model', 'gpt-base', '--tokens', '1B', '--batch', '16', '--no-measure'], io), 0);
  t.match(io.out(), /^auto: 124 M parameters, 1\.00 G tokens/);
  t.match(
    io.out(),
    /^auto: measured nearest, a GPT of 12 layers x 64 at 11\.1 tokens per parameter \(here 8\.0\) ended/m,
  );
  t.match(io.out(), /trained layers +steps +mean depth/);
  const json = memoryIo();
  await run(['plan', '--method', 'scratch', '--steps', '10', '--batch', '2', '--no-measure', '--json'], json);
  const plan = JSON.parse(json.out()) as { flops: number; scratchFlops: number };
  t.equal(plan.flops, 10 * 2 * 128 * 73_924_608, 'training FLOPs of gpt-mini per token are 73,924,608');
  t.equal(plan.scratchFlops, plan.flops);
  const llama = memoryIo();
  t.equal(await run(['plan', '--model', 'llama-nano', '--steps', '10', '--batch', '2', '--no-measure'], llama), 0);
  // A layer's query and output of 128^2, key and value of half that, three matrices of 128 x 384; a word table.
  t.match(
    llama.out(),
    /^auto: 3\.41 M parameters, 2\.56 k tokens/,
    '12 (3 * 128^2 + 3 * 128 * 384 + 256) + 8192 * 128',
  );
  t.match(llama.out(), /measured nearest, a Llama of 12 layers x 64 at 11\.3 tokens per parameter/);
});

t.test('a measurement of the recipe is named only where the recipe trains, and grows', async (t) => {
  const plan = async (...more: string[]) => {
    const io = memoryIo();
    t.equal(await run(['plan', '--model', 'gpt-nano', '--steps', '100', '--no-measure', ...more], io), 0, io.err());
    return io.out();
  };
  t.match(await plan(), /measured nearest/);
  t.notMatch(await plan('--set', 'auto.calibrate=false'), /measured nearest/);
  t.notMatch(await plan('--set', 'auto.moments=copy'), /measured nearest/);
  t.notMatch(await plan('--set', 'model.layers=1'), /measured nearest/);
});

t.test('frozen layers count as what they cost; a stage of another width is one of its own', async (t) => {
  const model = createModel(preset('gpt-nano', { layers: 4 }));
  const common = { layers: 4, totalSteps: 40, seed: 1 };
  const size = { steps: 40, seq: 128, tokens: 256 };
  const [whole, half, , last] = stageCosts(createMethod('mslt', common), model, size, { name: 'adamw' });
  t.equal(whole!.relativeFlops, 1);
  const frozen = model.flopsPerToken(2, 128) - (2 / 3) * (model.flopsPerToken(2, 128) - model.flopsPerToken(1, 128));
  t.ok(Math.abs(half!.relativeFlops - frozen / model.flopsPerToken(2, 128)) < 1e-12, 'one of two layers forward only');
  t.ok(last!.relativeFlops > half!.relativeFlops && last!.relativeFlops < 1, 'the joint phase is a part of it');
  const staged = stageCosts(createMethod('staged', common, { model: model.config }), model, size, { name: 'adamw' });
  t.same(
    staged.map(({ shape, relativeFlops }) => [shape?.hidden, relativeFlops]),
    [
      [64, 1],
      [64, 1],
      [undefined, 1],
    ],
  );
});

t.test('what a matrix costs the optimizer is computed once, and not for each step', async (t) => {
  const model = createModel(preset('gpt-nano', { layers: 2 }));
  let read = 0;
  const watched = {
    ...model,
    parameters: (layers: number) =>
      model.parameters(layers).map((spec) => ({
        ...spec,
        get shape() {
          read++;
          return spec.shape;
        },
      })),
  };
  const cost = (steps: number) => {
    read = 0;
    const method = createMethod('scratch', { layers: 2, totalSteps: steps, seed: 1 });
    const [stage] = stageCosts(method, watched, { steps, seq: 128, tokens: 256 }, { name: 'muon' });
    return { read, flops: stage!.updateFlops };
  };
  const [one, hundred] = [cost(1), cost(100)];
  t.ok(one.read > 0);
  t.equal(hundred.read, one.read);
  t.ok(Math.abs(hundred.flops / one.flops / 100 - 1) < 1e-9);
});

t.test('time and memory of narrow stages and frozen layers', { skip: engineMissing() }, async (t) => {
  const small = ['model.layers=4', 'model.hidden=128', 'model.heads=2', 'model.ffn=256', 'model.maxPositions=16'];
  const plan = async (...more: string[]) => {
    const io = memoryIo();
    const args = ['--model', 'gpt-nano', '--vocab-size', '64', '--steps', '40', '--batch', '2', '--precision', 'f32'];
    t.equal(await run(['plan', ...args, ...more, '--threads', '1', '--json', '--set', ...small], io), 0, io.err());
    return JSON.parse(io.out()) as {
      stages: { relativeFlops: number; shape?: { hidden: number }; depthSteps: number[] }[];
      measured: {
        depths: { depth: number; hidden?: number; arenaBytes: number; parameterBytes: number; ms: number }[];
        estimatedMs: number;
        scratchMs: number;
      };
    };
  };
  for (const method of ['mslt', 'staged']) {
    const { stages, measured } = await plan('--method', method);
    const expected = stages.reduce((sum, { relativeFlops, shape, depthSteps }) => {
      const msOf = (depth: number) =>
        measured.depths.find((cost) => cost.depth === depth && cost.hidden === shape?.hidden)!.ms;
      return sum + relativeFlops * depthSteps.reduce((ms, steps, depth) => ms + (steps && steps * msOf(depth)), 0);
    }, 0);
    t.ok(Math.abs(measured.estimatedMs / expected - 1) < 1e-9, method);
    t.ok(measured.estimatedMs < measured.scratchMs);
    const config = { layers: 4, hidden: 64, heads: 1, ffn: 128, vocabSize: 64, maxPositions: 16 };
    const narrow = measured.depths.filter(({ hidden }) => hidden === 64);
    const parameters = (layers: number) => parameterCount(createModel(preset('gpt-nano', config)).parameters(layers));
    t.same(
      narrow.map(({ depth, parameterBytes }) => [depth, parameterBytes]),
      method === 'mslt' ? [] : [2, 4].map((depth) => [depth, 16 * parameters(depth)]),
    );
    const wide = measured.depths.find(({ depth, hidden }) => depth === 4 && !hidden)!;
    t.ok(narrow.every(({ arenaBytes }) => arenaBytes < wide.arenaBytes));
  }
  const [alone, outer] = [await plan('--method', 'scratch'), await plan('--method', 'scratch', '--sync-every', '10')];
  const bytes = ({ measured: { depths } }: typeof alone) => depths.map(({ parameterBytes }) => parameterBytes);
  t.same(
    bytes(outer),
    bytes(alone).map((value) => (value * 24) / 16),
    'outer steps keep an anchor and a momentum',
  );
});

t.test('an estimate plans the same memory as a measurement', { skip: engineMissing() }, async (t) => {
  for (const name of ['gpt-nano', 'bert-nano', 'llama-nano']) {
    const sizes = { layers: 3, hidden: 64, heads: 1, ffn: 128, vocabSize: 128, maxPositions: 16 };
    const model = createModel(preset(name, { ...sizes, tied: false }));
    await using device = await openDevice({ threads: 1 });
    const labels: string[] = [];
    const onProgress = (label: string) => labels.push(label);
    const shape = { batch: 2, seq: 16, depths: [1, 2, 3] };
    const options = { device, model, precision: 'f32', optimizer: 'adamw', ...shape } as const;
    const estimate = await estimateDepths({ ...options, onProgress });
    const full = await probeDepths(options);
    for (const [i, { depth, arenaBytes, parameterBytes, ms }] of estimate.depths.entries()) {
      t.match(full[i], { depth, arenaBytes, parameterBytes }, `${name}, depth ${depth}`);
      t.ok(ms > 0);
    }
    t.same(estimate.piece.seq, 16);
    t.match(labels.join(), /a layer and the head on .*memory at depth 3/);
  }
});

t.test('the answer says how its time was obtained', { skip: engineMissing() }, async (t) => {
  const small = ['model.layers=2', 'model.hidden=64', 'model.heads=1', 'model.ffn=128', 'model.maxPositions=16'];
  const args = [
    'plan',
    '--method',
    'scratch',
    '--model',
    'gpt-nano',
    '--vocab-size',
    '64',
    '--steps',
    '3',
    '--batch',
    '2',
  ];
  for (const [how, text] of [
    ['estimate', /Time is extrapolated by FLOPs from one layer and the head on \d x 16 tokens/],
    ['full', /Time is the median of three runs of a whole micro-batch at each depth\./],
  ] as const) {
    const io = memoryIo();
    t.equal(await run([...args, '--threads', '1', '--measure', how, '--set', ...small], io), 0, io.err());
    t.match(io.out(), text);
    t.match(io.err(), /%/, 'progress');
    const json = memoryIo();
    await run([...args, '--threads', '1', '--measure', how, '--json', '--set', ...small], json);
    t.equal((JSON.parse(json.out()) as { measured: { how: string } }).measured.how, how);
  }
  const none = memoryIo();
  await run([...args, '--measure', 'none', '--set', ...small], none);
  t.notMatch(none.out(), /activations/);
});

t.test('what Muon costs is said beside the FLOPs', async (t) => {
  const io = memoryIo();
  const args = ['plan', '--model', 'gpt-nano', '--method', 'scratch', '--steps', '10', '--batch', '16', '--no-measure'];
  t.equal(await run([...args, '--optimizer', 'muon'], io), 0);
  t.match(io.out(), /the updates by muon cost 75\.5 GFLOP more \(.* %\), which these figures do not include/);
  const plain = memoryIo();
  t.equal(await run(args, plain), 0);
  t.notMatch(plain.out(), /updates by/);
});

t.test('memory and time of a depth come from its program', { skip: engineMissing() }, async (t) => {
  for (const name of ['gpt-nano', 'bert-nano']) {
    const model = createModel(
      preset(name, { layers: 2, hidden: 64, heads: 1, ffn: 128, vocabSize: 128, maxPositions: 16 }),
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
    t.ok(costs[1]!.arenaBytes! > costs[0]!.arenaBytes!, `${name}: a deeper network keeps more activations`);
    t.equal(
      costs[1]!.parameterBytes,
      16 * parameterCount(model.parameters(2)),
      `${name}: value, gradient and two moments in f32`,
    );
  }
});

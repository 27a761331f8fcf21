import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { outcomeOf, pairedDifference, rowsOf, type Tuned, tuned } from '../../bench/acceleration/map/analysis.js';
import { arms } from '../../bench/acceleration/map/arms.js';
import { claimNoise, claimResult } from '../../bench/acceleration/map/claims.js';
import { idOf, type MapRecord, type MapRun, processorsOf } from '../../bench/acceleration/map/record.js';
import { writeMap } from '../../bench/acceleration/map/report.js';
import { rounds } from '../../bench/acceleration/map/rounds/index.js';
import { mapModel, mapOptions, methodOf, sourceOf, updateFlopsOf } from '../../bench/acceleration/map/run.js';
import { autoEvidence, longRun } from '../../lib/methods/auto-evidence.js';
import { createMethod } from '../../lib/methods/index.js';
import { parameterCount } from '../../lib/models/index.js';
import { resolveConfig } from '../../lib/train/index.js';

const run: MapRun = {
  ...{ arm: 'scratch', kind: 'gpt', steps: 100, rate: 1, schedule: 'wsd', optimizer: 'adamw', seed: 1 },
};
function record(changes: Partial<MapRecord>): MapRecord {
  const own = { ...run, ...changes };
  const rest = { parameters: 10, tokens: 1000, flopsLayers: 50, trainMs: 1, curve: [], loss: 4, flops: 100 };
  return { id: idOf(own), ...rest, ...own };
}

t.test('an arm stands at the rate and schedule with the lowest mean loss, of those with most seeds', (t) => {
  const records = [
    record({ rate: 1, loss: 4 }),
    record({ rate: 2, loss: 3.9 }),
    record({ rate: 2, schedule: 'cosine', loss: 3.95 }),
    record({ rate: 4, loss: null }),
    record({ rate: 1, loss: 1, kind: 'bert' }),
    record({ rate: 1, loss: 1, optimizer: 'muon' }),
  ];
  t.match(tuned(records, { kind: 'gpt', arm: 'scratch', steps: 100 }), { rate: 2, schedule: 'wsd' });
  const second = [...records, record({ rate: 1, seed: 2, loss: 4.2 })];
  t.match(tuned(second, { kind: 'gpt', arm: 'scratch', steps: 100 }), { rate: 1, loss: { mean: 4.1 } });
  t.equal(tuned(records, { kind: 'gpt', arm: 'apollo', steps: 100 }), undefined);
  t.equal(tuned([record({ loss: null })], { kind: 'gpt', arm: 'scratch', steps: 100 }), undefined, 'diverged');
  t.end();
});

t.test('paired differences with a 95 % interval', (t) => {
  const of = (losses: readonly number[]) =>
    ({ runs: losses.map((loss, seed) => record({ loss, seed })) }) as unknown as Tuned;
  const difference = pairedDifference(of([1, 2, 4]), of([2, 4, 7]));
  // -1, -2, -3: mean -2, sd 1, t of two degrees of freedom 4.303.
  t.equal(difference?.mean, -2);
  t.equal(difference?.seeds, 3);
  t.ok(Math.abs((difference?.halfWidth as number) - 4.303 / Math.sqrt(3)) < 1e-12);
  t.same(pairedDifference(of([1]), of([3])), { mean: -2, seeds: 1 });
  t.equal(pairedDifference(of([1]), { runs: [record({ seed: 9 })] } as unknown as Tuned), undefined);
  t.end();
});

t.test('FLOPs saved at equal loss: on the frontier of the arm, log-linear between its runs', (t) => {
  const records = [
    record({ loss: 3, flops: 400 }),
    record({ arm: 'stack-mid', steps: 25, loss: 4, flops: 50 }),
    record({ arm: 'stack-mid', steps: 100, loss: 2, flops: 200 }),
    record({ arm: 'stack-late', loss: 2.5, flops: 160 }),
    record({ arm: 'apollo', loss: 3.5, flops: 300 }),
  ];
  const rows = rowsOf(records, 'gpt', 100);
  t.same(
    rows.map((row) => row.tuned.arm),
    ['stack-mid', 'stack-late', 'scratch', 'apollo'],
  );
  // Half of the way from 4 to 2 at sqrt(50 * 200) = 100 FLOPs.
  t.match(rows[0], { saving: { mean: 0.75 }, difference: { mean: -1 }, flopsShare: 0.5 });
  t.match(rows[1], { saving: undefined, outside: { below: 1, notReached: 0 } });
  t.match(rows[2], { difference: undefined, saving: undefined });
  t.match(rows[3], { saving: undefined, outside: { below: 0, notReached: 1 } });
  t.end();
});

t.test('loss at equal FLOPs: against the frontier of Scratch, where it holds them', (t) => {
  const records = [
    record({ steps: 25, loss: 5, flops: 100 }),
    record({ loss: 3, flops: 400 }),
    record({ arm: 'stack-mid', loss: 3.5, flops: 200 }),
    record({ arm: 'apollo', loss: 3.5, flops: 50 }),
    record({ arm: 'pld', loss: 2.5, flops: 400 }),
  ];
  const rows = Object.fromEntries(rowsOf(records, 'gpt', 100).map((row) => [row.tuned.arm, row]));
  // Scratch: 4 at 200 FLOPs, half of the way from 5 to 3 in the logarithm.
  const { equalFlops } = rows['stack-mid'] ?? {};
  t.ok(Math.abs((equalFlops?.mean ?? 0) + 0.5) < 1e-12);
  t.equal(rows.pld?.equalFlops?.mean, -0.5);
  // Scratch needs 100 * 4^(3/4) = 283 FLOPs for 3.5.
  t.ok(Math.abs((rows['stack-mid']?.savingAtOwnLoss?.mean ?? 0) - (1 - 200 / (100 * 4 ** 0.75))) < 1e-12);
  t.equal(rows.pld?.savingAtOwnLoss, undefined, 'below every run of Scratch');
  t.equal(rows.apollo?.equalFlops, undefined, 'fewer than the shortest run of Scratch');
  t.end();
});

t.test('a seed without a run of a length between its others has no frontier', (t) => {
  const records = [
    record({ steps: 25, loss: 5, flops: 100 }),
    record({ steps: 50, loss: 3.5, flops: 200 }),
    record({ loss: 3, flops: 400 }),
    ...[record({ steps: 25, loss: 5, flops: 100, seed: 2 }), record({ loss: 3, flops: 400, seed: 2 })],
    ...[1, 2].map((seed) => record({ arm: 'stack-mid', loss: 3.5, flops: 150, seed })),
  ];
  const [, row] = rowsOf(records, 'gpt', 100);
  t.equal(row?.savingAtOwnLoss?.count, 1);
  t.equal(row?.savingAtOwnLoss?.mean, 0.25);
  const whole = [...records, record({ steps: 50, loss: 3.5, flops: 200, seed: 2 })];
  t.equal(rowsOf(whole, 'gpt', 100)[1]?.savingAtOwnLoss?.count, 2);
  t.end();
});

t.test("FLOPs of the optimizer's own work are shown besides those of the network", (t) => {
  const muon = { ...run, steps: 100, optimizer: 'muon' } as const;
  // 12 layers with four matrices of 64 x 64 and two of 64 x 256, five iterations of 4 m^2 n + 2 m^3.
  const layer = 5 * (4 * 6 * 64 ** 3 + 2 * (4 * 64 ** 2 * 256 + 2 * 64 ** 3));
  t.equal(updateFlopsOf(muon), 100 * 12 * layer);
  t.equal(updateFlopsOf(run), 0);
  // Depths 1, 3, 6 and 12 over 10, 15, 25 and 50 steps of 100.
  t.equal(updateFlopsOf({ ...muon, arm: 'stack-mid-calibrated' }), (10 + 3 * 15 + 6 * 25 + 12 * 50) * layer);
  const flops = 1e15;
  const records = [
    record({ steps: 25, loss: 5, flops: flops / 4 }),
    record({ loss: 3, flops }),
    record({ loss: 4, flops: flops / 8, optimizer: 'muon' }),
  ];
  const own = rowsOf(records, 'gpt', 100).find(({ tuned }) => tuned.optimizer === 'muon');
  t.equal(own?.savingAtOwnLoss?.mean, 0.75, 'Scratch needs half of its FLOPs for 4');
  t.ok(Math.abs((own?.savingWithUpdates?.mean ?? 0) - (1 - 2 * (1 / 8 + (1200 * layer) / flops))) < 1e-12);
  t.end();
});

t.test('predictions are kept, refuted or open', (t) => {
  const records = [record({ loss: 3 }), record({ arm: 'stack-mid', loss: 2.9 })];
  const prediction = { id: 'x', text: '', kind: 'gpt', steps: 100, arm: 'stack-mid', against: 'scratch' } as const;
  t.equal(outcomeOf(records, { ...prediction, atMost: 0 }).outcome, 'kept');
  t.equal(outcomeOf(records, { ...prediction, atMost: -0.2 }).outcome, 'refuted');
  t.equal(outcomeOf(records, { ...prediction, atLeast: 0 }).outcome, 'refuted');
  t.equal(outcomeOf(records, { ...prediction, steps: 5, atMost: 0 }).outcome, 'open');
  const muon = record({ optimizer: 'muon', loss: 2.8 });
  const ofMuon = { ...prediction, optimizer: 'muon', atMost: -0.15 } as const;
  t.equal(outcomeOf(records, ofMuon).outcome, 'open');
  t.equal(outcomeOf([...records, muon], { ...ofMuon, arm: 'scratch' }).outcome, 'kept');
  t.equal(outcomeOf([...records, muon], { ...prediction, againstOptimizer: 'muon', atMost: 0 }).outcome, 'refuted');
  const longer = record({ loss: 2.7, steps: 200 });
  t.equal(outcomeOf([...records, longer], { ...prediction, againstSteps: 200, atMost: 0 }).outcome, 'refuted');
  t.equal(outcomeOf(records, { ...prediction, againstSteps: 200, atMost: 0 }).outcome, 'open');
  t.end();
});

t.test("the paper's claims: at equal FLOPs, against the spread between seeds", (t) => {
  const claim = { text: '', arm: 'apollo', against: 'stackbert' } as const;
  const scratch = [
    record({ steps: 50, loss: 5, flops: 50 }),
    record({ loss: 4, flops: 100 }),
    record({ loss: 4.02, flops: 100, seed: 2 }),
  ];
  const of = (apollo: number, stackbert: number, flops = 100) => [
    ...scratch,
    record({ arm: 'apollo', loss: apollo, flops: 100 }),
    record({ arm: 'stackbert', loss: stackbert, flops }),
  ];
  // The sd of Scratch is 0.0141, twice the standard error of a difference of one seed 0.04.
  const verdict = (records: readonly MapRecord[]) => claimResult(records, claim, 'gpt', 100)?.verdict;
  t.equal(verdict(of(4, 4.05)), 'holds');
  t.equal(verdict(of(4, 4.03)), 'within noise');
  t.equal(verdict(of(4.05, 4)), 'does not hold');
  // With a second seed of Apollo that is 0.2 off the pooled variance is (0.02 + 0.0002) / 2.
  const noisy = [...of(4, 4.05), record({ arm: 'apollo', loss: 4.2, flops: 100, seed: 2 })];
  t.equal(verdict(noisy), 'within noise');
  t.ok(Math.abs((claimNoise(noisy, 'gpt', 100, 1) ?? 0) - 2 * Math.SQRT2 * Math.sqrt((0.02 + 0.0002) / 2)) < 1e-12);
  // Half of the FLOPs cost Scratch 0.99 (5 to 4.01): so much may StackBERT end behind.
  const cheaper = claimResult(of(4, 4.5, 50), claim, 'gpt', 100);
  t.equal(cheaper?.verdict, 'does not hold');
  t.ok(Math.abs((cheaper?.difference ?? 0) - 0.49) < 1e-9);
  t.equal(claimResult(scratch, claim, 'gpt', 100), undefined);
  t.equal(claimResult(of(4, 4), claim, 'gpt', 50), undefined);
  t.equal(claimResult(of(4, 4.05), { text: '', arm: 'apollo' }, 'gpt', 100), undefined, 'no stage of fewer layers');
  const point = { step: 1, flops: 1, loss: 4.5 };
  const curve = [{ ...point, stageLoss: 4 }, { ...point, stageLoss: 4.6 }, point];
  const stage = claimResult([record({ arm: 'apollo', curve })], { text: '', arm: 'apollo' }, 'gpt', 100);
  t.match(stage, { verdict: 'holds', seeds: 1 });
  t.ok(Math.abs((stage?.difference ?? 0) + 0.1) < 1e-12);
  t.end();
});

t.test('the processors of the runs are counted', (t) => {
  const own = { processor: 'A' };
  t.equal(processorsOf([record({}), record(own), record(own)]), 'not recorded: 1 run; A: 2 runs');
  t.end();
});

t.test('bert2BERT and LiGO start from a model half as wide, trained for a quarter of the steps', (t) => {
  t.equal(sourceOf(run), undefined);
  const source = sourceOf({ ...run, arm: 'ligo', steps: 8000 }) as MapRun;
  t.equal(idOf(source), 'gpt-2000-small-wsd-1-1');
  for (const kind of ['gpt', 'bert'] as const) {
    t.match(methodOf({ ...source, kind }).model.config, { layers: 12, hidden: 32, heads: 1, ffn: 128 });
  }
  const { method, model } = methodOf({ ...run, arm: 'bert2bert' }, 'folder');
  t.equal(method.initial?.source, 'folder');
  t.equal(model.config.hidden, 64);
  t.end();
});

t.test('every run of every round can be made: its method and options are valid, its name is its own', (t) => {
  for (const round of rounds) {
    for (const each of round.runs) {
      const { model, method } = methodOf(each);
      t.equal(method.layers, model.config.layers, idOf(each));
      t.equal(resolveConfig(mapOptions(each, 'f32')).steps, each.steps);
      t.equal(resolveConfig(mapOptions({ ...each, optimizer: 'muon' }, 'f32')).optimizer, 'muon');
    }
    for (const { arm, against } of round.predictions) t.ok(arm in arms && against in arms);
  }
  const { layers, ...config } = mapModel('gpt', arms.scratch).config;
  t.equal(layers, 12);
  // 12 (4 h^2 + 2 h ffn) and biases and norms, 2048 h words, 64 h positions, the last norm.
  const h = config.hidden;
  const layer = 12 * h * h + 4 * h + 5 * h + 4 * h;
  const count = parameterCount(mapModel('gpt', arms.scratch).parameters(12));
  t.equal(count, 12 * layer + 2048 * h + 64 * h + 2 * h);
  t.end();
});

const committed = () => {
  const path = join(import.meta.dirname, '../../bench/results/acceleration/map/records.json');
  return (JSON.parse(readFileSync(path, 'utf8')) as { records: MapRecord[] }).records;
};

t.test('the evidence of `auto` is what the map has measured of the arm that it is', (t) => {
  const records = committed();
  const armOf = (kind: string, isLong: boolean) =>
    kind === 'bert' ? 'stack-mid-gated' : isLong ? 'stack-early-calibrated' : 'stack-mid-calibrated';
  for (const { kind, layers, hidden, optimizer, tokensPerParameter, seeds, flopsShare, difference } of autoEvidence) {
    const steps = [...new Set(records.map((record) => record.steps))].find((steps) => {
      const run = records.find((record) => record.kind === kind && record.steps === steps);
      return run && Math.abs(run.tokens / run.parameters - tokensPerParameter) < 0.1;
    });
    const name = armOf(kind, tokensPerParameter >= longRun);
    const row = rowsOf(records, kind, steps as number).find(
      ({ tuned }) => tuned.arm === name && tuned.optimizer === optimizer,
    );
    t.equal(row?.tuned.runs.length, seeds);
    t.equal(row?.flopsShare?.toFixed(3), flopsShare.toFixed(3));
    t.equal(row?.difference?.mean.toFixed(4), difference.toFixed(4));
    const arm = arms[name];
    const { config, parameters } = mapModel(kind, arm);
    t.same([config.layers, config.hidden], [layers, hidden]);
    const common = { layers, totalSteps: 400, seed: 1 };
    const same = createMethod(arm.method, { ...arm.options, ...common } as never, { model: config });
    const tokensPerStep = (tokensPerParameter * parameterCount(parameters(layers))) / 400;
    const auto = createMethod('auto', common, { model: config, tokensPerStep });
    for (let step = 0; step < 400; step++) {
      t.same(JSON.stringify(auto.plan(step)), JSON.stringify(same.plan(step)), `${kind}: plan of step ${step}`);
      const [own, other] = [auto.growth(step), same.growth(step)];
      t.same(own, other && { shared: 'keep', ...other }, `${kind}: growth of step ${step}`);
    }
  }
  t.end();
});

t.test('the table of earlier and later growth in docs/methods/auto.md has the figures of the map', (t) => {
  const page = readFileSync(join(import.meta.dirname, '../../docs/methods/auto.md'), 'utf8');
  const measured = {
    '5, 10, 25 %': 'stack-early-calibrated',
    '10, 25, 50 %': 'stack-mid-calibrated',
    '20, 45, 75 %': 'stack-later-calibrated',
  };
  const rows = rowsOf(committed(), 'gpt', 8000);
  for (const [boundaries, arm] of Object.entries(measured)) {
    const row = rows.find(({ tuned }) => tuned.arm === arm && tuned.optimizer === 'adamw');
    const line = page.split('\n').find((text) => text.startsWith(`| ${boundaries}`)) ?? '';
    const cells = line.split('|').map((cell) => cell.trim());
    const difference = row!.difference!.mean;
    t.same(
      cells.slice(-4, -1),
      [
        `${difference > 0 ? '+' : ''}${difference.toFixed(4)}`,
        `${(100 * row!.flopsShare!).toFixed(1)} %`,
        `${(100 * row!.savingAtOwnLoss!.mean).toFixed(1)} %`,
      ],
      boundaries,
    );
  }
  t.end();
});

t.test('the page has a table per length, a picture per kind, and the outcomes of the predictions', async (t) => {
  const folder = t.testdir();
  const records = [record({ steps: 8000 }), record({ steps: 8000, arm: 'stack-mid', loss: 3.9, flops: 70 })];
  await writeMap(folder, { format: 'apollo-lm/map/1', scale: 'nano', about: { precision: 'f32' }, records });
  const page = readFileSync(join(folder, 'README.md'), 'utf8');
  t.match(page, /### 1 k tokens \(100\.0 per parameter\)/);
  t.match(
    page,
    /\| stack-mid: .* \| 3\.9000 \| 1, wsd \| -0\.1000 \| - \| 70 FLOP \| 70\.0 % \| - \| at least 30\.0 % \(one seed\) \| 1 \|/,
  );
  t.match(page, /-0\.1000 \| kept \|/);
  t.match(page, /\| - \| open \|/);
  t.match(readFileSync(join(folder, 'gpt.svg'), 'utf8'), /^<svg/);
});

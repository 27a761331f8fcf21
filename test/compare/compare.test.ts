import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { type ComparedMethod, type CompareEvent, type CompareOptions, compare } from '../../lib/compare/index.js';
import { stackbert } from '../../lib/methods/index.js';
import type { Results } from '../../lib/report/results.js';
import { failure } from '../data/support.js';
import { testDevice } from '../device.js';
import { countingCorpus, tinyLlama, tinyModel } from '../train/tiny.js';

const device = await testDevice({ threads: 1 });
t.teardown(() => device.close());

const options = (folder: string, changes: Partial<CompareOptions> = {}): CompareOptions => ({
  ...{ device, model: tinyModel, corpus: countingCorpus, folder, methods: ['scratch', 'stackbert'] },
  ...{ steps: 12, batch: 4, seq: 16, learningRate: 3e-3, evaluateEvery: 4 },
  ...changes,
});

async function all(given: CompareOptions): Promise<CompareEvent[]> {
  const events: CompareEvent[] = [];
  for await (const event of compare(given)) events.push(event);
  return events;
}

/** Results that must be the same for any number of interruptions. */
const losses = ({ runs }: Results) =>
  runs.map(({ method, seed, evaluations }) => [
    method,
    seed,
    evaluations.map(({ step, lossFull }) => [step, lossFull]),
  ]);
const resultsOf = (events: readonly CompareEvent[]) => events.find((event) => event.type === 'results')!;

t.test('runs of a seed take turns; the last event has the results, which are in the folder as well', async (t) => {
  const folder = t.testdir();
  const events = await all(options(folder, { seeds: [1, 2] }));
  const evaluated = events.flatMap((event) =>
    event.type === 'run' && event.event.type === 'evaluation'
      ? [`${event.method} ${event.seed} ${event.event.step}`]
      : [],
  );
  t.same(evaluated.slice(0, 5), ['scratch 1 0', 'stackbert 1 0', 'scratch 1 4', 'stackbert 1 4', 'scratch 1 8']);
  t.equal(evaluated.length, 16);
  const last = events.at(-1)!;
  t.match(last, { type: 'results', finished: true, results: { reference: 'scratch', layers: 4, totalSteps: 12 } });
  t.same(JSON.parse(readFileSync(join(folder, 'results.json'), 'utf8')).runs, resultsOf(events).results.runs);
  t.match(
    resultsOf(events).analysis?.methods.map(({ method }) => method),
    ['scratch', 'stackbert'],
  );
  const shares = events.flatMap((event) => (event.type === 'run' ? [event.done] : []));
  t.ok(shares.every((share, i) => share >= (shares[i - 1] ?? 0)));
  t.ok(Math.abs(shares.at(-1)! - 1) < 1e-9, 'done at the end');
  t.notOk(existsSync(join(folder, 'run.lock')), 'the lock is gone');
});

t.test('a comparison that was stopped is resumed to the same losses', async (t) => {
  const whole = resultsOf(await all(options(t.testdir()))).results;
  const folder = join(t.testdir(), 'cut');
  const stop = new AbortController();
  let steps = 0;
  for await (const event of compare(options(folder, { signal: stop.signal }))) {
    if (event.type === 'run' && event.event.type === 'step' && ++steps === 9) stop.abort();
    if (event.type === 'results') t.equal(event.finished, false);
  }
  t.match(await failure(() => all(options(folder))), /^BAD_ARGUMENT: .* holds another comparison\. Give resume: true/);
  const resumed = resultsOf(await all(options(folder, { resume: true })));
  t.equal(resumed.finished, true);
  t.same(losses(resumed.results), losses(whole));
});

t.test('a resume with other methods keeps the records of the earlier ones', async (t) => {
  const folder = t.testdir();
  const before = resultsOf(await all(options(folder))).results;
  const { results } = resultsOf(await all(options(folder, { resume: true, methods: ['scratch', 'gstack'] })));
  t.same(
    results.runs.map(({ method }) => method),
    ['scratch', 'gstack', 'stackbert'],
  );
  t.same(results.runs[2], before.runs[1]);
});

t.test('runs whose turn has not come keep their records when a resume is stopped', async (t) => {
  const folder = t.testdir();
  const seeds = [1, 2];
  const before = resultsOf(await all(options(folder, { seeds }))).results;
  const stop = new AbortController();
  const added = options(folder, {
    ...{ resume: true, seeds, signal: stop.signal },
    methods: ['scratch', 'stackbert', 'gstack'],
  });
  let after: Results | undefined;
  for await (const event of compare(added)) {
    if (event.type === 'results') after = event.results;
    else if (event.method === 'gstack' && event.event.type === 'evaluation') {
      const kept = JSON.parse(readFileSync(join(folder, 'results.json'), 'utf8')).runs as Results['runs'];
      t.same(
        kept.filter(({ seed, method }) => seed === 2 && method !== 'gstack'),
        before.runs.filter(({ seed }) => seed === 2),
      );
      stop.abort();
    }
  }
  t.same(
    after!.runs.filter(({ method }) => method !== 'gstack'),
    before.runs,
  );
  t.match(after!.runs[2], { method: 'gstack', seed: 1, finished: false });
});

t.test('a resume with other settings is refused, says which, and changes nothing', async (t) => {
  const folder = t.testdir();
  const path = join(folder, 'results.json');
  await all(options(folder, { steps: 6 }));
  const before = readFileSync(path, 'utf8');
  const resume = (changes: Partial<CompareOptions>) =>
    failure(() => all(options(folder, { resume: true, steps: 6, methods: ['midas', 'unshare'], ...changes })));
  t.match(
    await resume({ steps: 24, learningRate: 0.05, weightDecay: 0.5 }),
    /^BAD_CONFIG: .* holds a comparison whose runs had other settings:\n(.*\n)* {2}learningRate: 0\.05, was 0\.003\n(.*\n)*.* name another folder/,
  );
  t.match(await resume({ steps: 24 }), /\n {2}steps: 24, was 6\n/);
  t.match(await resume({ weightDecay: 0.5 }), /\n {2}weightDecay: 0\.5, was 0\.01\n/);
  t.match(await resume({ batch: 2 }), /\n {2}batch: 2, was 4\n/);
  t.match(await resume({ precision: 'bf16' }), /\n {2}precision: "bf16", was "f32"\n/);
  t.match(await resume({ evaluationBatches: 1 }), /\n {2}evaluationBatches: 1, was 16\n/);
  t.match(await resume({ corpus: { ...countingCorpus, key: 'other' } }), /\n {2}corpus: "other", was "counting"\n/);
  t.match(await resume({ model: tinyLlama }), /\n {2}model\.kind: "llama", was "gpt"\n/);
  t.equal(readFileSync(path, 'utf8'), before);
  t.notOk(existsSync(join(folder, 'midas-42')));

  // Files of earlier versions have the description alone, in whole or in part.
  const { identity: _, ...old } = JSON.parse(before);
  writeFileSync(path, JSON.stringify(old));
  t.match(
    await resume({ steps: 24, learningRate: 0.05 }),
    /other settings:\n {2}steps: 24, was 6\n {2}learning rate: "0\.05", was "0\.003"\n/,
  );
  t.match(await resume({ batch: 2 }), /\n {2}batch: "2 x 16 tokens", was "4 x 16 tokens"\n/);
  writeFileSync(path, JSON.stringify({ ...old, settings: {} }));
  t.match(await resume({ steps: 24 }), /other settings:\n {2}steps: 24, was 6\n/);
  const { results } = resultsOf(
    await all(options(folder, { resume: true, steps: 6, evaluateEvery: 2, seeds: [42, 43] })),
  );
  t.equal(results.runs.length, 4, 'seeds are added');
});

t.test('a run is planned once, when the comparison starts', async (t) => {
  const steps = 2000;
  const asked = { plans: 0 };
  const counted: ComparedMethod = {
    name: 'counted',
    create: ({ layers, totalSteps, seed }) => {
      const method = stackbert({ layers, totalSteps, seed, stageLayers: [2, 4], boundaries: { steps: [1000] } });
      return { ...method, plan: (step) => method.plan(step + 0 * asked.plans++) };
    },
  };
  const events = compare(options(t.testdir(), { steps, methods: [counted] }));
  t.ok(asked.plans < 10, `not where its settings are checked: ${asked.plans}`);
  const first = await events.next();
  t.match(first.value, { event: { type: 'start' }, done: 0 });
  t.ok(asked.plans >= steps && asked.plans < steps + 100, `once: ${asked.plans}`);
  await events.return();
});

t.test('a method with its own settings, one of the host, and one that starts from a smaller model', async (t) => {
  const events = await all(
    options(t.testdir(), {
      methods: [
        'scratch',
        { method: 'stackbert', name: 'early', options: { boundaries: { fractions: [0.1, 0.2] } } },
        {
          name: 'mine',
          create: ({ layers, totalSteps, seed }) =>
            stackbert({ layers, totalSteps, seed, stageLayers: [2, 4], boundaries: { steps: [6] } }),
        },
        'bert2bert',
      ],
      small: { layers: 2, hidden: 16, heads: 1, ffn: 64, steps: 5 },
    }),
  );
  const { results } = resultsOf(events);
  t.same(
    results.runs
      .slice(0, 3)
      .map(({ method, stages }) => [
        method,
        stages.map(({ step, trainedLayers }) => `${step}: ${trainedLayers}`).join(', '),
      ]),
    [
      ['scratch', '0: 4'],
      ['early', '0: 1, 1: 2, 2: 4'],
      ['mine', '0: 2, 6: 4'],
    ],
  );
  const small = events.flatMap((event) => (event.type === 'run' && event.method === 'small' ? [event.event.type] : []));
  t.equal(small.filter((type) => type === 'step').length, 5);
  t.ok(results.runs[3]!.source, 'its cost is reported apart');
});

t.test('what is wrong is said before anything is trained', async (t) => {
  const folder = join(t.testdir(), 'none');
  const message = (changes: object) => failure(() => all(options(folder, changes)));
  t.match(
    await message({ methods: ['scratch', 'apolo'] }),
    /^BAD_CONFIG: methods: there is no training method "apolo"/,
  );
  t.match(await message({ methods: ['scratch', 'scratch'] }), /^BAD_CONFIG: methods: each method once/);
  t.match(await message({ seeds: [42, 43, 42] }), /^BAD_CONFIG: seeds: each seed once; got 42, 43, 42/);
  for (const name of ['small', '../x', 'a b', ''])
    t.match(
      await message({ methods: ['scratch', { method: 'apollo', name }] }),
      /^BAD_CONFIG: methods: the name .* cannot be used: /,
    );
  t.match(
    await message({ methods: ['scratch', { method: 'raptr', options: { seed: 7 } }] }),
    /^BAD_CONFIG: raptr\.seed: this follows from the run/,
  );
  t.match(await message({ step: 5 }), /^BAD_CONFIG: train: there is no setting "step"/);
  t.match(await message({ seq: 4000 }), /^BAD_CONFIG: train\.seq/);
  t.match(
    await message({ methods: [{ method: 'apollo', options: { sampler: 'no' } }] }),
    /^BAD_CONFIG: apollo\.sampler/,
  );
  t.match(await message({ methods: [] }), /^BAD_ARGUMENT: compare: options\.methods must be/);
  t.match(await message({ small: { heads: 3, hidden: 16 } }), /^BAD_CONFIG/);
  t.notOk(existsSync(folder));
});

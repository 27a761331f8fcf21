import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { type CompareEvent, type CompareOptions, compare } from '../../lib/compare/index.js';
import { stackbert } from '../../lib/methods/index.js';
import type { Results } from '../../lib/report/results.js';
import { failure } from '../data/support.js';
import { testDevice } from '../device.js';
import { countingCorpus, tinyModel } from '../train/tiny.js';

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

t.test('a method with settings of its own, one of the host, and one that begins with a smaller model', async (t) => {
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

import { existsSync, readdirSync, readFileSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { run } from '../../lib/cli/run.js';
import type { AnnealResults } from '../../lib/report/anneal.js';
import { memoryIo, temporaryFolder } from './support.js';
import { tinyConfig } from './tiny.js';

async function trained(changes: Readonly<Record<string, unknown>> = {}) {
  const folder = temporaryFolder();
  const config = tinyConfig(folder, { method: 'stackbert', schedule: 'constant', keepAt: [0.4, 6], ...changes });
  const out = join(folder, 'run');
  const io = memoryIo();
  return { folder, out, code: await run(['train', '--config', config, '--out', out], io), io };
}

t.test('end-points of a run: files, a table, and nothing to do the second time', async (t) => {
  const { out, code, io } = await trained();
  t.equal(code, 0, io.err());
  t.same(readdirSync(join(out, 'checkpoints')).sort(), ['step-00000003', 'step-00000006', 'step-00000008']);
  const annealing = memoryIo();
  t.equal(await run(['anneal', out, '--at', '50%', '1', '--decay', '0.25'], annealing), 0, annealing.err());
  const lines = annealing.out().split('\n');
  t.match(lines[0], /^end-point +decay from +tokens +FLOPs +held-out loss$/);
  t.match(lines[2], /^step 4 +step 3 +128 /);
  t.match(lines[3], /^step 8 +step 6 +256 /);
  const path = join(out, 'anneal', 'annealed.json');
  const results = JSON.parse(readFileSync(path, 'utf8')) as AnnealResults;
  t.match(results, { format: 'apollo-lm/anneal/1', method: 'stackbert', decay: { share: 0.25, shape: 'linear' } });
  t.same(
    results.endPoints.map(({ end, from, tokens }) => [end, from, tokens]),
    [
      [4, 3, 128],
      [8, 6, 256],
    ],
  );
  t.match(readFileSync(join(out, 'anneal', 'frontier.svg'), 'utf8'), /^<svg/);
  t.ok(existsSync(join(out, 'anneal', 'table.md')));

  const again = memoryIo();
  t.equal(await run(['anneal', out, '--at', '50%', '100%', '--decay', '0.25', '--json'], again), 0, again.err());
  const events = again
    .out()
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { type: string });
  t.notOk(events.some(({ type }) => type === 'step'));
  t.same((events.at(-1) as unknown as AnnealResults).endPoints, results.endPoints);

  const last = memoryIo();
  t.equal(await run(['anneal', out, '--at', '100%', '--decay', '0.25'], last), 0, last.err());
  t.same(JSON.parse(readFileSync(path, 'utf8')), results, 'the end-points of earlier commands stay');
  t.match(readFileSync(join(out, 'anneal', 'table.md'), 'utf8'), /step 4 [\s\S]*step 8 /);
  t.match(last.out(), /^step 4 [\s\S]*^step 8 /m);

  const shaped = memoryIo();
  const other = ['anneal', out, '--at', '7', '--decay', '0.25', '--shape', '1-sqrt'];
  t.equal(await run(other, shaped), 1);
  t.match(
    shaped.err(),
    /anneal has end-points with --decay 0\.25 --shape linear; .* --shape 1-sqrt\. Nothing was changed\./,
  );
  t.same(JSON.parse(readFileSync(path, 'utf8')), results);
  renameSync(join(out, 'anneal'), join(out, 'linear'));
  const moved = memoryIo();
  t.equal(await run(other, moved), 0, moved.err());
  t.match(JSON.parse(readFileSync(path, 'utf8')), { decay: { share: 0.25, shape: '1-sqrt' }, endPoints: [{ end: 7 }] });

  const text = join(out, '..', 'text.txt');
  const evaluation = memoryIo();
  const endPoint = join(out, 'linear', 'end-00000008');
  t.equal(
    await run(['evaluate', '--model', endPoint, '--text', text, '--threads', '1'], evaluation),
    0,
    evaluation.err(),
  );
  const generation = memoryIo();
  const prompt = ['--prompt', 'the cat', '--max-tokens', '2', '--threads', '1'];
  t.equal(await run(['generate', '--model', endPoint, ...prompt], generation), 0, generation.err());
});

t.test('a run that cannot be annealed is refused with one message', async (t) => {
  const cosine = await trained({ schedule: 'cosine' });
  const { out } = await trained({ keepAt: [] });
  for (const [args, expected] of [
    [
      ['anneal', cosine.out, '--at', '1'],
      /was trained with schedule cosine; .* Train with --schedule constant or wsd\./,
    ],
    [['anneal', out, '--at', '50%'], /needs a checkpoint of step 3 or earlier; .* has: 8\. .*--keep-at 3/],
    [['anneal', out, '--at', '9'], /at: expected shares of the run in \(0, 1\] or steps from 2 to 8; got 9/],
    [['anneal', out, '--at', 'half'], /It must be a number/],
    [['anneal', out], /required option '--at <points\.\.\.>' not specified/],
    [['anneal', join(out, 'none'), '--at', '1'], /is not the folder of an earlier run/],
  ] as const) {
    const io = memoryIo();
    t.equal(await run(args, io), 1, args.join(' '));
    t.match(io.err(), expected);
    t.notMatch(io.err(), /\n +at /);
  }
});

t.test('settings of the schedule', async (t) => {
  for (const [args, expected] of [
    [['--schedule', 'wds'], /--schedule: expected .* or wsd; got "wds"/],
    [['--decay', '0'], /--decay: expected more than 0; got 0$/m],
    [['--schedule', 'wsd', '--decay', '1.5'], /--decay: expected at most 1; got 1\.5$/m],
    [['--set', 'decay.shape=steep'], /--decay-shape: /],
    [['--set', 'decay.part=1'], /--set decay\.part: there is no such setting/],
    [
      ['--keep-at', '5000'],
      /keepAt \(--keep-at\): expected shares of the run in \(0, 1\] or steps from 2 to \d+; got 5000/,
    ],
    [['--keep-at', '2.5'], /a share of the run, such as 25% or 0\.25, or a step/],
  ] as const) {
    const io = memoryIo();
    const config = tinyConfig(temporaryFolder());
    t.equal(await run(['train', '--config', config, '--out', join(temporaryFolder(), 'x'), ...args], io), 1);
    t.match(io.err(), expected);
  }
});

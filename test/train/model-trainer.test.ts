/** createTrainer: the same bits as train, custom batches, checkpoints, errors. */
import { truncate } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { mean } from '../../lib/engine/ops/index.js';
import { createModel, createTrainer, preset } from '../../lib/index.js';
import {
  type Objective,
  openModelFolder,
  readCheckpointState,
  type StepEvent,
  type TrainEvent,
} from '../../lib/train/index.js';
import { countingCorpus, openTinyDevice, runTiny, tinyMethod, tinyModel, tinyOptions } from './tiny.js';

const device = await openTinyDevice();
t.teardown(() => device.close());

const deps = { device, model: tinyModel, method: tinyMethod(), corpus: countingCorpus };
const stepsOf = (events: readonly TrainEvent[]) => events.filter((event): event is StepEvent => event.type === 'step');
/** Without times. */
const bits = ({ step, loss, gradNorm, learningRate, depth, trainedLayers }: Omit<StepEvent, 'type'>) =>
  JSON.stringify({ step, loss, gradNorm, learningRate, depth, trainedLayers });

const whole = await runTiny(device, { evaluateEvery: 0 });

const size = { batch: 4, seq: 16, objective: 'causal', seed: 5 } as const;

t.test('steps of a corpus are those of train, growth included', async (t) => {
  const trainer = await createTrainer(tinyOptions, deps);
  t.equal(trainer.layers, 1);
  const seen: string[] = [];
  const growths: unknown[] = [];
  while (!trainer.done) {
    const { growth, ...step } = await trainer.step();
    seen.push(bits(step));
    if (growth) growths.push([step.step, growth.from, growth.to]);
  }
  t.same(seen, stepsOf(whole).map(bits));
  t.same(growths, [
    [7, 1, 2],
    [15, 2, 4],
  ]);
  t.equal(trainer.layers, 4);
  const { lossFull } = await trainer.evaluate();
  t.ok(lossFull < 2.5);
  await t.rejects(trainer.step(), { code: 'BAD_ARGUMENT', message: /ended with step 24/ });
  await trainer.close();
  await t.rejects(trainer.step(), { code: 'CLOSED' });
});

t.test('steps on batches of one’s own, one call behind the other', async (t) => {
  const { corpus: _, ...own } = deps;
  const trainer = await createTrainer(tinyOptions, own);
  const micro = (step: number, index: number) =>
    countingCorpus.batch({ ...size, step, micro: index, accumulation: 2 }) as Record<string, Int32Array>;
  const queued = Array.from({ length: 24 }, (_, step) => trainer.step([micro(step, 0), micro(step, 1)]));
  t.same(
    (await Promise.all(queued)).map(({ growth, ...step }) => bits(step)),
    stepsOf(whole).map(bits),
  );
  await trainer.close();
});

t.test('close waits for what was asked for before, and refuses what comes after', async (t) => {
  const trainer = await createTrainer(tinyOptions, { ...deps, checkpointDir: t.testdir() });
  const [step, saved] = [trainer.step(), trainer.save()];
  const closed = trainer.close();
  await t.rejects(trainer.step(), { code: 'CLOSED' });
  t.equal(trainer.close(), closed, 'the same end for every caller');
  await closed;
  t.equal((await step).step, 1);
  t.match(await saved, /step-00000001$/);
});

t.test('warnings about the start are there to read', async (t) => {
  const checkpointDir = t.testdir();
  const options = { ...tinyOptions, keepCheckpoints: 2 };
  const first = await createTrainer(options, { ...deps, checkpointDir });
  t.same(first.warnings, []);
  await first.step();
  await first.save();
  await first.step();
  await truncate(join(await first.save(), 'model.safetensors'), 100);
  await first.close();
  const resumed = await createTrainer(options, { ...deps, checkpointDir, resume: 'auto' });
  t.equal(resumed.steps, 1);
  t.match(resumed.warnings, [/step-00000002 is damaged.*the run resumes from step 1/]);
  await resumed.close();
  const timed = await createTrainer({ ...options, checkpointEvery: 2, checkpointMinutes: 1 }, deps);
  t.match(timed.warnings, [/^checkpointEvery and checkpointMinutes have no effect here: .* save\(\) is called/]);
  await timed.close();
});

t.test('an evaluation between a growth and the first step of its stage is that of the grown network', async (t) => {
  let fails = false;
  const corpus = {
    ...countingCorpus,
    batch: (request: Parameters<typeof countingCorpus.batch>[0]) => {
      if (fails) throw new Error('no batch');
      return countingCorpus.batch(request);
    },
  };
  const trainer = await createTrainer(tinyOptions, { ...deps, corpus });
  while (trainer.steps < 14) await trainer.step();
  fails = true;
  await t.rejects(trainer.step(), /no batch/);
  t.equal(trainer.layers, 4, 'all layers are there');
  const { lossFull, lossStage } = await trainer.evaluate();
  t.equal(lossFull, lossStage, 'so both maps are the same network');
  fails = false;
  t.match(await trainer.step(), { step: 15, growth: { from: 2, to: 4 } }, 'the growth is reported by a later step');
  t.notOk('growth' in (await trainer.step()));
  await trainer.close();
});

t.test('with outer steps there is no evaluation within a round', async (t) => {
  const options = { ...tinyOptions, syncEvery: 4, stopAfter: { steps: 10 } };
  const trainer = await createTrainer(options, { ...deps, method: 'scratch' });
  const refused = (message: RegExp) => t.rejects(trainer.evaluate(), { code: 'BAD_ARGUMENT', message });
  t.match(await trainer.evaluate(), { step: 0 }, 'the ranks begin with the same weights');
  while (trainer.steps < 3) await trainer.step();
  await refused(/after step 3 each rank has its own \(syncEvery 4\): call it when step 4 is done/);
  t.match(await trainer.step(), { step: 4 }, 'the trainer still works');
  t.match(await trainer.evaluate(), { step: 4 });
  while (!trainer.done) await trainer.step();
  await refused(/step 12 ends the round, and this run ends before, with step 10 \(stopAfter\)/);
  await trainer.close();
});

t.test('a method by its name, or with settings, is made for the run', async (t) => {
  const { method: _, ...own } = deps;
  const boundaries = { steps: [6, 14] };
  const named = await createTrainer(tinyOptions, { ...own, method: { method: 'apollo', options: { boundaries } } });
  const seen: string[] = [];
  while (!named.done) {
    const { growth, ...step } = await named.step();
    seen.push(bits(step));
  }
  await named.close();
  t.same(seen, stepsOf(whole).map(bits));
  const byName = await runTiny(device, { stopAfter: { steps: 2 } }, { method: 'stackbert' });
  t.match(byName[0], { type: 'start', layers: 4, trainedLayers: 1 });
  await t.rejects(runTiny(device, {}, { method: 'stack' as never }), {
    code: 'BAD_CONFIG',
    message: /no training method "stack"/,
  });
  await t.rejects(runTiny(device, {}, { method: { method: 'apollo', options: { samplr: 'edge' } } }), {
    code: 'BAD_CONFIG',
    message: /samplr/,
  });
});

t.test('a checkpoint resumes to the same bits', async (t) => {
  const checkpointDir = t.testdir();
  const first = await createTrainer(tinyOptions, { ...deps, checkpointDir });
  for (let step = 0; step < 10; step++) await first.step();
  const path = await first.save();
  t.match(path, /step-00000010$/);
  t.equal(await first.save(), path);
  t.equal(first.checkpoint, path);
  await first.close();
  const second = await createTrainer(tinyOptions, { ...deps, checkpointDir, resume: true });
  t.equal(second.steps, 10);
  const rest: string[] = [];
  while (!second.done) {
    const { growth, ...step } = await second.step();
    rest.push(bits(step));
  }
  await second.close();
  t.same(rest, stepsOf(whole).slice(10).map(bits));
});

t.test('a checkpoint holds what its owner wrote to the weights, and whether the evaluation is done', async (t) => {
  const checkpointDir = t.testdir();
  const trainer = await createTrainer(tinyOptions, { ...deps, checkpointDir });
  await trainer.step();
  const path = await trainer.save();
  t.equal((await readCheckpointState(path)).evaluated, false);
  const name = 'final.norm.weight';
  await trainer.store.write(name, new Float32Array(32).fill(7));
  await trainer.evaluate();
  t.equal(await trainer.save(), path);
  t.equal((await readCheckpointState(path)).evaluated, true);
  await trainer.close();
  await using folder = await openModelFolder(checkpointDir);
  t.same([...(await folder.read(name))], new Array(32).fill(7));
});

t.test('by default all layers are trained from the start; BERT takes the shape of its batches', async (t) => {
  const gpt = await createTrainer({ steps: 3, batch: 2, seq: 16 }, { device, model: tinyModel });
  t.equal(gpt.layers, 4);
  await gpt.close();
  const sizes = { layers: 2, hidden: 32, heads: 2, ffn: 64, vocabSize: 20, maxPositions: 8 };
  const model = createModel(preset('bert-nano', sizes));
  const bert = await createTrainer({ steps: 3, batch: 2, seq: 8 }, { device, model, shape: { targets: 4 } });
  const tokens = Int32Array.from({ length: 16 }, (_, i) => i);
  const { loss } = await bert.step({
    tokens,
    positions: Int32Array.of(1, 5, 9, 0),
    labels: Int32Array.of(3, 4, 5, -100),
  });
  t.ok(Math.abs(loss - Math.log(20)) < 0.5);
  await bert.close();
});

t.test('an objective may leave fields of the batches unused', async (t) => {
  const objective: Objective = {
    name: 'size of the hidden states',
    trace: ({ graph, hidden, shape: { batch, seq } }) => ({
      loss: mean(hidden.mul(hidden)),
      count: graph.constant(batch * seq),
    }),
  };
  const trainer = await createTrainer(tinyOptions, { ...deps, objective });
  t.match(await trainer.step(), { step: 1, applied: true });
  t.ok((await trainer.evaluate()).lossFull > 0);
  await trainer.close();
});

t.test('what does not fit is refused, and the trainer still works', async (t) => {
  const { corpus: _, ...own } = deps;
  await t.rejects(createTrainer(tinyOptions, { ...deps, shape: { padding: true } }), {
    code: 'BAD_ARGUMENT',
    message: /shape/,
  });
  await t.rejects(createTrainer({ ...tinyOptions, steps: 30 }, deps), { code: 'BAD_CONFIG', message: /totalSteps/ });
  await t.rejects(createTrainer(tinyOptions, { ...deps, model: {} as never }), {
    code: 'BAD_ARGUMENT',
    message: /model/,
  });
  await t.rejects(createTrainer(tinyOptions, { ...deps, resume: true }), {
    code: 'BAD_ARGUMENT',
    message: /checkpointDir/,
  });
  const trainer = await createTrainer({ ...tinyOptions, accumulation: 1 }, own);
  const good = countingCorpus.batch({ ...size, step: 0, micro: 0, accumulation: 1 }) as Record<string, Int32Array>;
  await t.rejects(trainer.step(), { code: 'BAD_ARGUMENT', message: /1 micro-batches .*got 0/ });
  await t.rejects(trainer.evaluate(), { code: 'BAD_ARGUMENT', message: /requires a corpus/ });
  await t.rejects(trainer.save(), { code: 'BAD_ARGUMENT', message: /requires checkpointDir/ });
  await t.rejects(trainer.step({ ...good, tokens: new Int32Array(64).fill(99) }), {
    code: 'BAD_ARGUMENT',
    message: /99/,
  });
  await t.rejects(trainer.step({ tokens: good['tokens']! }), { code: 'BAD_ARGUMENT', message: /labels/ });
  t.equal(trainer.steps, 0);
  t.match(await trainer.step(good), { step: 1, applied: true });
  await trainer.close();
  const corpus = await createTrainer(tinyOptions, deps);
  await t.rejects(corpus.step(good), { code: 'BAD_ARGUMENT', message: /the corpus gives them/ });
  await corpus.close();
});

import { rmSync, writeFileSync } from 'node:fs';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import t from 'tap';
import { openDevice, ParameterStore } from '../../lib/engine/index.js';
import { scratch } from '../../lib/methods/index.js';
import { createModel, initialValue, withDefaults } from '../../lib/models/index.js';
import {
  type DoneEvent,
  type EvaluationEvent,
  type GrowthEvent,
  resolveConfig,
  type StartEvent,
  type StepEvent,
  type TrainEvent,
  type TrainingCorpus,
  train,
} from '../../lib/train/index.js';
import { notAboutDevice, onCpu, slowOnEmulator } from '../device.js';
import {
  comparable,
  contentsOf,
  countingCorpus,
  openTinyDevice,
  runTiny,
  tinyLlama,
  tinyMethod,
  tinyModel,
  tinyOptions,
  vocabSize,
} from './tiny.js';

const device = await openTinyDevice();
t.teardown(() => device.close());

const cpuOnly = onCpu ? (false as const) : 'it is about threads of the CPU';

const of = <Type extends TrainEvent['type']>(events: readonly TrainEvent[], type: Type) =>
  events.filter((event): event is Extract<TrainEvent, { type: Type }> => event.type === type);

t.test('a tiny model learns, and events say what happened', { skip: slowOnEmulator }, async (t) => {
  const events = await runTiny(device, { steps: 120, evaluateEvery: 40 }, { method: tinyMethod({ totalSteps: 120 }) });
  t.match(events[0] as StartEvent, { type: 'start', step: 0, steps: 120, trainedLayers: 1 });
  const steps = of(events, 'step');
  t.ok(steps.length === 120 && steps.every((event, i) => event.step === i + 1));
  const evaluations = of(events, 'evaluation');
  t.same(
    evaluations.map((event) => event.step),
    [0, 40, 80, 120],
  );
  // Without training the loss is that of guessing, ln(13) = 2.56.
  t.ok(Math.abs((evaluations[0] as EvaluationEvent).lossFull - Math.log(13)) < 0.1);
  t.ok((evaluations.at(-1) as EvaluationEvent).lossFull < 1, `held-out loss ${evaluations.at(-1)?.lossFull}`);
  t.equal(
    (evaluations.at(-1) as EvaluationEvent).lossFull,
    evaluations.at(-1)?.lossStage,
    'one network in the last stage',
  );
  t.same(
    of(events, 'growth').map(({ step, from, to }: GrowthEvent) => [step, from, to]),
    [
      [6, 1, 2],
      [14, 2, 4],
    ],
  );
  t.equal(steps[0]?.learningRate, 0, 'the first update has rate 0');
  t.ok(steps.every((event) => event.applied && event.gradNorm > 0));
  t.ok(new Set(steps.slice(0, 6).map((event) => event.trainedLayers)).size === 1);
  const done = events.at(-1) as DoneEvent;
  t.match(done, { type: 'done', step: 120, aborted: false, complete: true, tokens: 120 * 2 * 4 * 16 });
  // FLOPs by the paper's accounting: the drawn depth of each step, on all tokens.
  const expected = steps.reduce((sum, event) => sum + tinyModel.flopsPerToken(event.depth, 16) * 128, 0);
  t.equal(done.flopsModel, expected);
  t.ok(done.flopsExecuted > 0.5 * expected && done.flopsExecuted <= expected);
  t.ok(Math.abs(done.trainMs - steps.reduce((sum, event) => sum + event.ms, 0)) < 1e-6);
});

t.test('the same seed gives the same bits, another seed does not', async (t) => {
  const dirs = [t.testdir({ a: {}, b: {}, c: {} })].flatMap((dir) => ['a', 'b', 'c'].map((name) => join(dir, name)));
  const [a, b, c] = dirs as [string, string, string];
  const first = await runTiny(device, {}, { checkpointDir: a });
  const second = await runTiny(device, {}, { checkpointDir: b });
  const other = await runTiny(device, { seed: 6 }, { checkpointDir: c });
  t.equal(comparable(first), comparable(second));
  t.equal(await contentsOf(device, join(a, 'step-00000024')), await contentsOf(device, join(b, 'step-00000024')));
  t.not(comparable(first), comparable(other));
});

t.test('two threads give the same bits each time, too', { skip: cpuOnly }, async (t) => {
  const two = await openDevice({ threads: 2 });
  t.teardown(() => two.close());
  const run = () => runTiny(two, { stopAfter: { steps: 2 }, evaluateEvery: 0, warmupSteps: 0 });
  t.equal(comparable(await run()), comparable(await run()));
});

for (const model of [tinyModel, tinyLlama]) {
  const { kind } = model.config;
  t.test(
    `${kind}: resuming repeats the bits in bf16, too: working copies are made again from the masters`,
    async (t) => {
      const dir = t.testdir();
      const options = { precision: 'bf16', accumulation: 1, evaluateEvery: 0 } as const;
      const whole = await runTiny(device, options, { model, checkpointDir: join(dir, 'whole') });
      const checkpointDir = join(dir, 'cut');
      const before = await runTiny(device, { ...options, stopAfter: { steps: 9 } }, { model, checkpointDir });
      const after = await runTiny(device, options, { model, checkpointDir, resume: true });
      t.equal(comparable([...before, ...after]), comparable(whole));
      const last = 'step-00000024';
      const [cut, uncut] = [join(checkpointDir, last), join(dir, 'whole', last)];
      t.equal(await contentsOf(device, cut, model), await contentsOf(device, uncut, model));
      const losses = of(whole, 'step').map((event) => event.loss);
      t.ok((losses.at(-1) as number) < (losses[0] as number), 'and the model learns');
    },
  );
}

t.test('BERT trains through the same loop, with dropout and masked positions', { skip: slowOnEmulator }, async (t) => {
  const model = createModel(
    withDefaults({ kind: 'bert', layers: 4, hidden: 32, heads: 2, vocabSize, maxPositions: 16, attentionDropout: 0 }),
  );
  // Each row repeats its first token; every third position is hidden behind token 0 and to be told from the others.
  const masked = ({ tokens }: { tokens: Int32Array }) => {
    const rows = tokens.map((_, position) => tokens[position - (position % 16)] as number);
    const positions = Int32Array.from({ length: Math.ceil(rows.length / 3) }, (_, i) => 3 * i);
    const labels = positions.map((position) => rows[position] as number);
    return { tokens: rows.map((token, position) => (position % 3 === 0 ? 0 : token)), positions, labels };
  };
  type Tokens = { tokens: Int32Array };
  const corpus: TrainingCorpus = {
    ...countingCorpus,
    shape: ({ batch, seq }) => ({ batch, seq, targets: Math.ceil((batch * seq) / 3), padding: false }),
    batch: (request) => masked(countingCorpus.batch(request) as Tokens),
    heldOut: (request) => masked(countingCorpus.heldOut(request) as Tokens),
  };
  const events = await runTiny(device, { steps: 150 }, { model, corpus, method: tinyMethod({ totalSteps: 150 }) });
  const losses = of(events, 'evaluation').map((event) => event.lossFull);
  t.ok((losses.at(-1) as number) < 0.5 * (losses[0] as number), `held-out loss ${losses[0]} -> ${losses.at(-1)}`);
});

t.test(
  'stopped and resumed at any step, a run repeats the uninterrupted one bit by bit',
  { skip: slowOnEmulator },
  async (t) => {
    const dir = t.testdir();
    const whole = await runTiny(device, {}, { checkpointDir: join(dir, 'whole') });
    const expected = await contentsOf(device, join(dir, 'whole', 'step-00000024'));
    // 3 and 10: inside a stage; 6: at a switch; 7: just after it; 14: the switch to the last stage.
    for (const cut of [3, 6, 7, 10, 14, 23]) {
      const checkpointDir = join(dir, `cut-${cut}`);
      const before = await runTiny(device, { stopAfter: { steps: cut } }, { checkpointDir });
      t.match(before.at(-1), { type: 'done', step: cut, complete: false, aborted: false });
      const after = await runTiny(device, {}, { checkpointDir, resume: true });
      t.match(after[0], {
        type: 'start',
        step: cut,
        resumedFrom: join(checkpointDir, `step-${String(cut).padStart(8, '0')}`),
      });
      const wholeSteps = comparable(of(whole, 'step'));
      t.equal(comparable([...of(before, 'step'), ...of(after, 'step')]), wholeSteps, `cut at ${cut}`);
      t.equal(await contentsOf(device, join(checkpointDir, 'step-00000024')), expected, `cut at ${cut}`);
    }
  },
);

t.test(
  'a signal cancels the step under way; the resumed run is the uninterrupted one',
  { skip: slowOnEmulator },
  async (t) => {
    const dir = t.testdir();
    await runTiny(device, {}, { checkpointDir: join(dir, 'whole') });
    const expected = await contentsOf(device, join(dir, 'whole', 'step-00000024'));
    // Aborted from within the building of a batch: in the middle of a step, between its two micro-batches.
    for (const [step, micro] of [
      [9, 1],
      [6, 0],
      [14, 1],
      [0, 1],
    ] as const) {
      const checkpointDir = join(dir, `abort-${step}-${micro}`);
      const controller = new AbortController();
      const corpus = {
        ...countingCorpus,
        batch: (request: Parameters<typeof countingCorpus.batch>[0]) => {
          if (request.step === step && request.micro === micro) controller.abort();
          return countingCorpus.batch(request);
        },
      };
      const before = await runTiny(device, {}, { checkpointDir, corpus, signal: controller.signal });
      const done = before.at(-1) as DoneEvent;
      t.match(done, { type: 'done', aborted: true, complete: false });
      t.ok(done.step <= step && done.step >= step - 2, `stopped at ${done.step}`); // batches are built for the step after the one in progress
      t.ok(done.checkpoint);
      await runTiny(device, {}, { checkpointDir, resume: true });
      t.equal(await contentsOf(device, join(checkpointDir, 'step-00000024')), expected, `aborted in step ${step}`);
    }
  },
);

t.test('a signal that is aborted before the start leaves the initial weights as a checkpoint', async (t) => {
  const checkpointDir = t.testdir();
  const events = await runTiny(device, {}, { checkpointDir, signal: AbortSignal.abort() });
  t.same(
    events.map((event) => event.type),
    ['start', 'checkpoint', 'done'],
  );
  t.match(events.at(-1), { step: 0, aborted: true });
});

t.test('a checkpoint of a device with other threads resumes with a warning', { skip: cpuOnly }, async (t) => {
  const checkpointDir = t.testdir();
  await runTiny(device, { stopAfter: { steps: 1 }, evaluateEvery: 0 }, { checkpointDir });
  const two = await openDevice({ threads: 2 });
  t.teardown(() => two.close());
  if (two.info().threads < 2) return t.ok(true, 'OMP_THREAD_LIMIT allows one thread');
  const events = await runTiny(two, { stopAfter: { steps: 2 }, evaluateEvery: 0 }, { checkpointDir, resume: true });
  t.match(events[1], { type: 'warning', code: 'OTHER_DEVICE', message: /with 1 threads; this is cpu with 2/ });
});

t.test('checkpoints are written every N steps, and the number to keep is kept', { skip: notAboutDevice }, async (t) => {
  const dir = t.testdir();
  const events = await runTiny(device, { checkpointEvery: 5, keepCheckpoints: 2 }, { checkpointDir: dir });
  t.same(
    of(events, 'checkpoint').map((event) => event.step),
    [5, 10, 15, 20, 24],
  );
  t.same((await readdir(dir)).sort(), ['step-00000020', 'step-00000024']);
  const again = await runTiny(
    device,
    { checkpointEvery: 5, keepCheckpoints: 2 },
    { checkpointDir: dir, resume: 'auto' },
  );
  t.same(
    again.map((event) => event.type),
    ['start', 'done'],
    'a finished run has nothing left to do',
  );
});

t.test(
  'checkpoints come by training time as well, and by default every ten minutes',
  { skip: notAboutDevice },
  async (t) => {
    const dir = t.testdir();
    const timed = { checkpointMinutes: 1e-9, evaluateEvery: 0, stopAfter: { steps: 4 } };
    const events = await runTiny(device, timed, { checkpointDir: dir });
    t.same(
      of(events, 'checkpoint').map((event) => event.step),
      [2, 4],
      'every step takes longer than that, and the step that is under way when one becomes due goes before it',
    );
    t.same((await readdir(dir)).sort(), ['step-00000002', 'step-00000004'], 'two are kept by default');
    t.match(resolveConfig(tinyOptions), { checkpointMinutes: 10, keepCheckpoints: 2 });
    const plain = await runTiny(device, { evaluateEvery: 0, stopAfter: { steps: 4 } });
    t.equal(comparable(of(events, 'step')), comparable(of(plain, 'step')), 'they change no bits');
  },
);

/** Changes the last byte of a checkpoint's file. */
async function damage(folder: string, file: string): Promise<void> {
  const bytes = await readFile(join(folder, file));
  bytes[bytes.length - 1]! ^= 1;
  await writeFile(join(folder, file), bytes);
}

t.test(
  'a damaged checkpoint is named and set aside, and the run resumes from the one before',
  { skip: notAboutDevice },
  async (t) => {
    const whole = await runTiny(device, { evaluateEvery: 0 });
    for (const file of ['model.safetensors', 'optimizer.safetensors', 'state.json']) {
      const dir = t.testdir();
      await runTiny(device, { checkpointEvery: 5, stopAfter: { steps: 8 }, evaluateEvery: 0 }, { checkpointDir: dir });
      t.same((await readdir(dir)).sort(), ['step-00000005', 'step-00000008']);
      await damage(join(dir, 'step-00000008'), file);
      const events = await runTiny(device, { evaluateEvery: 0 }, { checkpointDir: dir, resume: true });
      t.match(events[0], { type: 'start', step: 5, resumedFrom: join(dir, 'step-00000005') });
      t.match(events[1], {
        type: 'warning',
        code: 'DAMAGED_CHECKPOINT',
        message: /step-00000008 is damaged: .* It was renamed to .*damaged-step-00000008; the run resumes from step 5/,
      });
      t.equal(comparable(of(events, 'step')), comparable(of(whole, 'step').slice(5)), 'to the same bits');
      t.ok((await readdir(dir)).includes('damaged-step-00000008'), 'nothing is deleted');
    }
  },
);

t.test(
  'when all checkpoints are damaged, each is named and nothing is changed',
  { skip: notAboutDevice },
  async (t) => {
    const dir = t.testdir();
    await runTiny(device, { checkpointEvery: 1, stopAfter: { steps: 2 }, evaluateEvery: 0 }, { checkpointDir: dir });
    for (const step of [1, 2]) await damage(join(dir, `step-0000000${step}`), 'model.safetensors');
    await t.rejects(runTiny(device, {}, { checkpointDir: dir, resume: true }), {
      code: 'BAD_CHECKPOINT',
      message: /All checkpoints in .*step-00000002 is damaged: .* too: .*step-00000001/,
    });
    t.same((await readdir(dir)).sort(), ['step-00000001', 'step-00000002']);
  },
);

t.test(
  'a checkpoint that cannot be written is a warning within the run and an error at its end',
  { skip: notAboutDevice },
  async (t) => {
    const dir = t.testdir();
    const checkpointDir = join(dir, 'taken/checkpoints');
    const events: TrainEvent[] = [];
    const timed = { checkpointMinutes: 1e-9, evaluateEvery: 0, stopAfter: { steps: 3 } };
    await t.rejects(
      runTiny(device, timed, { checkpointDir }, (event) => {
        events.push(event);
        if (event.type !== 'start') return;
        // When the run starts the folder can be made, and is not refused.
        rmSync(join(dir, 'taken'), { recursive: true });
        writeFileSync(join(dir, 'taken'), 'a file');
      }),
      {
        code: 'FILE_SYSTEM',
        message: /^The checkpoint of step 3 cannot be written: .*\(ENOTDIR\).*There is no earlier checkpoint/,
      },
    );
    t.equal(of(events, 'step').length, 3, 'all steps were done');
    t.match(of(events, 'warning')[0], {
      code: 'CHECKPOINT_FAILED',
      message: /^The checkpoint of step 2 cannot be written: .*The run continues and tries again/,
    });
  },
);

t.test('evaluation and checkpoints do not change the run', { skip: notAboutDevice }, async (t) => {
  const dir = t.testdir();
  const plain = await runTiny(device, { evaluateEvery: 0 });
  const watched = await runTiny(device, { evaluateEvery: 1, checkpointEvery: 3 }, { checkpointDir: dir });
  t.equal(of(plain, 'evaluation').length, 0);
  t.equal(of(watched, 'evaluation').length, 25);
  t.equal(comparable(of(plain, 'step')), comparable(of(watched, 'step')));
});

t.test('the held-out loss at full depth is the same just before and just after a switch', async (t) => {
  // With a learning rate of next to nothing the weights are still, so only the switch could move the loss.
  const events = await runTiny(device, { evaluateEvery: 1, learningRate: 1e-12, maxNorm: 1 });
  const losses = of(events, 'evaluation').map((event) => event.lossFull);
  for (const at of [6, 14]) t.ok(Math.abs((losses[at] as number) - (losses[at + 1] as number)) < 1e-6, `at ${at}`);
});

t.test('accumulation averages: two micro-batches of the same rows are one step of one', async (t) => {
  const corpus = {
    ...countingCorpus,
    batch: (r: Parameters<typeof countingCorpus.batch>[0]) => countingCorpus.batch({ ...r, micro: 0 }),
  };
  const run = (accumulation: number) =>
    runTiny(
      device,
      { accumulation, stopAfter: { steps: 1 }, evaluateEvery: 0 },
      { corpus, method: tinyMethod({ sampler: 'none' }) },
    );
  const [one, three] = [await run(1), await run(3)];
  const [a, b] = [of(one, 'step')[0] as StepEvent, of(three, 'step')[0] as StepEvent];
  // Dropout differs between micro-batches, so equal only nearly; a missing 1/3 would be a factor of three.
  t.ok(Math.abs(a.loss - b.loss) < 0.1);
  t.ok(b.gradNorm / a.gradNorm > 0.5 && b.gradNorm / a.gradNorm < 1.5, `${b.gradNorm} against ${a.gradNorm}`);
  t.equal(b.tokens, 3 * a.tokens);
});

t.test('memory grows with the stages: only layers in use are held', async (t) => {
  const store = new ParameterStore(device, { precision: 'f32' });
  const sizes = new Map<string, number>();
  await runTiny(device, {}, { store }, (event) => {
    if (event.type === 'step') sizes.set(`${event.trainedLayers}`, store.bytes);
  });
  const [one, two, four] = ['1', '2', '4'].map((trained) => sizes.get(trained) as number) as [number, number, number];
  t.equal(four - two, 2 * (two - one), 'two layers more cost twice what one does');
  t.equal(store.names().length, tinyModel.parameters(4).length, 'a store that was handed in stays open');
  store.dispose();
});

t.test('a method can freeze parameters: they keep their bits', async (t) => {
  const store = new ParameterStore(device, { precision: 'f32' });
  const plain = scratch({ layers: 4, totalSteps: 24, seed: 1 });
  const trainable = (name: string) => !name.startsWith('layer.0.');
  const method = { ...plain, plan: (step: number) => ({ ...plain.plan(step), trainable }) };
  const frozen = 'layer.0.ffn.up.weight';
  const trained = 'layer.1.ffn.up.weight';
  const bytes = (values: Float32Array) => Buffer.from(values.buffer, values.byteOffset, values.byteLength);
  const first = new Map<string, Float32Array>();
  for (const spec of tinyModel.parameters(4)) first.set(spec.name, initialValue(spec, 5));
  await runTiny(device, { evaluateEvery: 0 }, { store, method });
  const unchanged = async (name: string) =>
    Buffer.compare(bytes(await store.read(name)), bytes(first.get(name) as Float32Array)) === 0;
  t.equal(await unchanged(frozen), true);
  t.equal(await unchanged(trained), false);
  t.equal(store.count(frozen), 0);
  t.equal(store.count(trained), 24);
  store.dispose();
});

t.test('leaving the iteration early frees the run', async (t) => {
  const before = device.info().bufferBytes;
  for await (const event of train(tinyOptions, {
    device,
    model: tinyModel,
    method: tinyMethod(),
    corpus: countingCorpus,
  })) {
    if (event.type === 'step' && event.step === 3) break;
  }
  // Buffers are freed on the engine's thread, after its remaining work; those of the test before may be among
  // `before` and go meanwhile.
  for (let tries = 0; device.info().bufferBytes > before && tries < 2000; tries++) await delay(5);
  const after = device.info().bufferBytes;
  t.ok(after <= before, `${after} bytes are held, ${before} before the run`);
});

t.test('a folder has the checkpoints of one run at a time', { skip: notAboutDevice }, async (t) => {
  const made = join(t.testdir(), 'runs', 'mine');
  const files = { checkpointDir: made, resume: 'auto' } as const;
  const second = () => runTiny(device, {}, files);
  const busy = {
    code: 'BUSY',
    message: /mine is in use by this process itself \(train\(\), since .*\)\. Nothing was changed\. Wait/,
  };
  await runTiny(device, { checkpointEvery: 5, stopAfter: { steps: 10 } }, files);
  const first = train(tinyOptions, {
    device,
    model: tinyModel,
    method: tinyMethod(),
    corpus: countingCorpus,
    ...files,
  });
  t.match((await first.next()).value, { type: 'start', step: 10 });
  await t.rejects(second(), busy);
  await first.return();
  t.same((await readdir(made)).sort(), ['step-00000005', 'step-00000010'], 'the lock goes with the run');
  t.match((await second())[0], { type: 'start', step: 10 });
});

t.test('a run that does not start leaves no folder', { skip: notAboutDevice }, async (t) => {
  const folder = t.testdir();
  await t.rejects(runTiny(device, {}, { checkpointDir: join(folder, 'a', 'b'), resume: true }), {
    code: 'BAD_CHECKPOINT',
    message: /There is no checkpoint in .*b to resume from/,
  });
  t.same(await readdir(folder), []);
});

t.test('parts that do not belong together are refused before anything runs', { skip: notAboutDevice }, async (t) => {
  const fails = (
    options: Parameters<typeof runTiny>[1],
    deps: Parameters<typeof runTiny>[2],
    code: string,
    message: RegExp,
  ) => t.rejects(runTiny(device, options, deps), { code, message });
  await fails(
    {},
    { method: scratch({ layers: 3, totalSteps: 24, seed: 1 }) },
    'BAD_CONFIG',
    /ends with 3 layers, the model has 4/,
  );
  await fails({ steps: 25 }, {}, 'BAD_CONFIG', /totalSteps is 24, but train\.steps is 25/);
  await fails({ seq: 17 }, {}, 'BAD_CONFIG', /train\.seq: at most the model's 16/);
  await fails({}, { resume: true }, 'BAD_ARGUMENT', /resume needs checkpointDir/);
  const checkpointDir = t.testdir();
  await fails({}, { resume: true, checkpointDir }, 'BAD_CHECKPOINT', /There is no checkpoint in/);
  await runTiny(device, { stopAfter: { steps: 1 }, evaluateEvery: 0 }, { checkpointDir, resume: 'auto' });
  await fails({}, { checkpointDir }, 'BAD_ARGUMENT', /holds the checkpoints of another run \(step 1\)/);
  await fails(
    { learningRate: 1 },
    { checkpointDir, resume: true },
    'BAD_CONFIG',
    /other settings:\n {2}learningRate: 1, was 0\.003/,
  );
  await fails(
    {},
    { checkpointDir, resume: true, method: tinyMethod({ sampler: 'edge' }) },
    'BAD_CONFIG',
    /method\.sampler: "edge", was "lvps"/,
  );
  await fails(
    {},
    { checkpointDir, resume: true, corpus: { ...countingCorpus, key: 'other' } },
    'BAD_CONFIG',
    /corpus: "other", was "counting"/,
  );
});

t.test(
  'a rule that stops the run turns looking ahead off: the checkpoint is that of the step it stops at',
  async (t) => {
    const dir = t.testdir();
    const stop = (event: TrainEvent) => event.type === 'step' && event.step === 4;
    const [a, b] = [join(dir, 'a'), join(dir, 'b')];
    await runTiny(device, { evaluateEvery: 0 }, { checkpointDir: a, stop, lookAhead: true });
    await runTiny(device, { evaluateEvery: 0, stopAfter: { steps: 4 } }, { checkpointDir: b });
    const contents = (folder: string) => contentsOf(device, join(folder, 'step-00000004'));
    t.equal(await contents(a), await contents(b));
  },
);

// The TensorFlow.js example trains, its depths and switches are those of lib/growth, and its command answers errors.
import { createHash } from 'node:crypto';
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { defaultFractions, interpolate, lvps, makeSchedule, sampleDepth } from '../../lib/growth/index.js';

interface Variable {
  readonly size: number;
  dataSync(): Float32Array;
}
interface Layer {
  readonly [name: string]: Variable;
}
interface Trainer {
  readonly weights: { readonly shared: Layer; readonly layers: Layer[] };
  readonly optimizer: { state(variable: Variable): { m: Float32Array; v: Float32Array; count: number } };
  readonly flops: number;
  growFor(step: number): { step: number; from: number; to: number; map: number[] } | undefined;
  step(step: number): { step: number; depth: number; loss: number; flops: number };
  evaluate(): number;
  dispose(): void;
}
interface Example {
  readonly config: { hidden: number; seq: number; vocabSize: number };
  apollo(totalSteps: number): unknown;
  scratch(totalSteps: number): unknown;
  Trainer: new (plan: unknown, options?: { seed?: number; moments?: 'reset' | 'copy' }) => Trainer;
  main(args: string[], print: (line: string) => void, complain: (line: string) => void): number;
}

const source = fileURLToPath(new URL('../../examples/with-tfjs/', import.meta.url));
const script = readFileSync(`${source}train.mjs`, 'utf8');

/** The example as it is, except that it takes lib/growth from source instead of from the installed package. */
async function load(): Promise<Example> {
  const folder = mkdtempSync(fileURLToPath(new URL('../with-tfjs-', import.meta.url)));
  try {
    writeFileSync(`${folder}/train.ts`, script.replace("'apollo-lm/growth'", "'../../lib/growth/index.js'"));
    copyFileSync(`${source}model.mjs`, `${folder}/model.mjs`);
    return (await import(`${folder}/train.ts`)) as Example;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const example = await load();

t.test('of this package it imports the growth functions alone', async (t) => {
  const all = script + readFileSync(`${source}model.mjs`, 'utf8');
  t.same(
    [...all.matchAll(/(?:from|import) '([^']*apollo[^']*|\.\.[^']*)'/g)].map(([, name]) => name),
    ['apollo-lm/growth'],
  );
});

/** Equal bits have equal digests, which tap compares quickly. */
const digest = (values: Float32Array) =>
  createHash('sha256')
    .update(new Uint8Array(values.buffer, values.byteOffset, values.byteLength))
    .digest('hex');
const values = (layer: Layer) => Object.values(layer).map((variable) => digest(variable.dataSync()));

/** Trains from the first step to `end`; what each step returned. */
function train(trainer: Trainer, end: number) {
  return Array.from({ length: end }, (_, step) => {
    trainer.growFor(step);
    return trainer.step(step);
  });
}

t.test('60 steps: the loss falls, and depths and FLOPs are those of the pure functions', async (t) => {
  const trainer = new example.Trainer(example.apollo(60), { seed: 3 });
  t.teardown(() => trainer.dispose());
  const first = trainer.evaluate();
  const steps = train(trainer, 60);
  t.ok(steps.every(({ loss }) => Number.isFinite(loss)));
  const last = trainer.evaluate();
  // Blind guessing among the characters costs ln(vocabulary); learning how frequent each one is brings about 2.9.
  t.ok(first > Math.log(example.config.vocabSize) - 0.2, `before: ${first}`);
  t.ok(last < 3.1 && last < first - 0.5, `after: ${last}`);

  const schedule = makeSchedule({
    stageLayers: [1, 2, 4],
    boundaries: { fractions: defaultFractions(3) },
    totalSteps: 60,
  });
  t.same(schedule.boundaries, [6, 15]);
  const depths = steps.map((_, step) => sampleDepth(lvps, schedule.stageAt(step).trainedLayers, 4, 3, step));
  t.same(
    steps.map(({ depth }) => depth),
    depths,
  );
  t.ok(new Set(depths.slice(0, 15)).size > 1, 'more than one depth is sampled');
  // hidden 32, 16 positions: 24 h^2 + 4 S h a layer and token, 2 h V for the head, 64 tokens, backward twice forward.
  const { vocabSize } = example.config;
  const flops = depths.reduce(
    (sum, depth) => sum + 3 * 64 * (depth * (24 * 1024 + 4 * 16 * 32) + 2 * 32 * vocabSize),
    0,
  );
  t.equal(trainer.flops, flops);
});

t.test('a switch copies by the map and changes nothing at full depth; moments follow the rule', async (t) => {
  for (const moments of ['copy', 'reset'] as const) {
    const trainer = new example.Trainer(example.apollo(20), { moments }); // switches at steps 2 and 5
    t.teardown(() => trainer.dispose());
    train(trainer, 5);
    t.equal(trainer.weights.layers.length, 2);
    const before = trainer.evaluate();
    const weights = trainer.weights.layers.map(values);
    const stateOf = (layer: Layer) => {
      const { m, v, count } = trainer.optimizer.state(layer['up']!);
      return [digest(m), digest(v), count];
    };
    const states = trainer.weights.layers.map(stateOf);
    const zeros = digest(new Float32Array(32 * 128));
    t.same(
      states.map(([, , count]) => count),
      moments === 'copy' ? [5, 5] : [3, 3],
      moments === 'copy' ? 'one update a step' : 'one update a step since the switch at step 2',
    );
    t.ok(states.every(([m, v]) => m !== zeros && v !== zeros));
    const shared = trainer.optimizer.state(trainer.weights.shared['tokens']!).count;
    t.notSame(weights[0], weights[1], 'the two layers differ by now');

    const growth = trainer.growFor(5);
    t.same(growth, { step: 5, from: 2, to: 4, map: [0, 0, 1, 1] });
    t.same(
      trainer.weights.layers.map(values),
      interpolate(2, 4).map((unit) => weights[unit]),
    );
    t.equal(trainer.evaluate(), before, 'the same to the bit');
    t.equal(trainer.growFor(5), undefined, 'and only once');
    t.same(
      trainer.weights.layers.map(stateOf),
      interpolate(2, 4).map((unit) => (moments === 'copy' ? states[unit] : [zeros, zeros, 0])),
    );
    t.equal(trainer.optimizer.state(trainer.weights.shared['tokens']!).count, shared, 'the rest keeps its moments');

    trainer.step(5);
    const grown = trainer.weights.layers.map(values);
    t.notSame(grown[0], grown[1], 'copies go ways of their own');
  }
});

t.test('the same seed gives the same losses, another seed others; scratch is always at full depth', async (t) => {
  const losses = (seed: number) => {
    const trainer = new example.Trainer(example.apollo(20), { seed });
    t.teardown(() => trainer.dispose());
    return train(trainer, 6).map(({ loss }) => loss);
  };
  const once = losses(1);
  t.same(losses(1), once);
  t.notSame(losses(2), once);
  const plain = new example.Trainer(example.scratch(20), { seed: 1 });
  t.teardown(() => plain.dispose());
  t.same(
    train(plain, 2).map(({ depth }) => depth),
    [4, 4],
  );
});

t.test('the command prints losses, depths and the comparison', async (t) => {
  const printed: string[] = [];
  const code = example.main(
    ['--steps', '8', '--compare'],
    (line) => printed.push(line),
    () => t.fail(),
  );
  t.equal(code, 0);
  const text = printed.join('\n');
  // Eight steps: stages begin at round(0.8) and round(2).
  t.match(text, /step 1: 1 -> 2 layers by \[0,0\]; held-out loss (\d\.\d{5}) before, \1 after/);
  t.match(text, /step 2: 2 -> 4 layers by \[0,0,1,1\]; held-out loss (\d\.\d{5}) before, \1 after/);
  t.match(text, /step 7: loss \d\.\d{3}, held-out \d\.\d{3}, depths 4\n/);
  t.match(text, /Scratch, [67] steps for the same FLOPs/);
  t.match(printed.at(-1), /^ +\d\.\d\d {2}\d\.\d{4} {2}\d\.\d{4}$/);
});

t.test('the command says what is wrong with its arguments', async (t) => {
  const cases: [string[], RegExp][] = [
    [['--steps', '0'], /--steps takes a whole number of at least 1; got "0"/],
    [['--steps', 'many'], /got "many"/],
    [['--seed', '1.5'], /--seed takes a whole number of at least 0; got "1.5"/],
    [['--moments', 'keep'], /--moments takes "reset" or "copy"; got "keep"/],
    [['--step', '3'], /--step/],
  ];
  for (const [args, message] of cases) {
    const complaints: string[] = [];
    t.equal(
      example.main(
        args,
        () => t.fail('nothing is printed'),
        (line) => complaints.push(line),
      ),
      2,
    );
    t.match(complaints.join('\n'), message);
    t.match(complaints.join('\n'), /--compare/, 'with the usage below');
  }
});

// The trainer in docs/embedding.md runs as printed: it learns, resumes to the same numbers and grows without a jump.
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { lvps, sampleDepth } from '../../lib/growth/index.js';

interface Layer {
  readonly weights: number[];
  readonly m: number[];
  readonly v: number[];
  readonly updates: number;
}
interface State {
  step: number;
  flops: number;
  layers: Layer[];
}
interface Page {
  readonly state: State;
  readonly checkpoint: string;
  readonly losses: number[];
  readonly resumed: number[];
  readonly cost: number;
  evaluate(state: State): number;
  grow(state: State, trainedLayers: number): void;
  lossOf(state: State, map: readonly number[]): { loss: number; gradients: number[][] };
}

const page = new URL('../../docs/embedding.md', import.meta.url);
const text = readFileSync(page, 'utf8');

t.test('the trainer of docs/embedding.md', async (t) => {
  const [, code] = /<!-- test:.*?-->\n```ts\n(.*?)```/s.exec(text)!;
  const folder = mkdtempSync(fileURLToPath(new URL('./example-', import.meta.url)));
  t.teardown(() => rmSync(folder, { recursive: true }));
  t.match(code, /^import \{[^}]*\} from 'apollo-lm\/growth';\n/);
  t.equal(code!.match(/^import/gm)!.length, 1, 'nothing else is needed');
  const body = code!.replace("'apollo-lm/growth'", "'../../../lib/growth/index.js'");
  const names = 'state, checkpoint, losses, resumed, cost, evaluate, grow, lossOf';
  writeFileSync(`${folder}/example.ts`, `${body}\nexport { ${names} };\n`);
  const print = console.log;
  console.log = () => {};
  const shown = (await import(`${folder}/example.ts`)) as Page;
  console.log = print;
  const saved = () => JSON.parse(shown.checkpoint) as State;

  t.test('learns and costs what the depths cost', async (t) => {
    const end = shown.evaluate(shown.state);
    t.ok(end < shown.losses[0]! / 10, `loss ${shown.losses[0]} -> ${end}`);
    // Stages begin at steps 60 and 150; a step at depth d costs 3 * 16 points * 4 d.
    const layersAt = (step: number) => (step < 60 ? 1 : step < 150 ? 2 : 4);
    const depths = Array.from({ length: 600 }, (_, step) => sampleDepth(lvps, layersAt(step), 4, 1, step));
    const flops = depths.reduce((sum, depth) => sum + 192 * depth, 0);
    t.equal(shown.state.flops, flops);
    t.ok(Math.abs(flops / (192 * 4 * 600) - shown.cost) < 0.02, `${shown.cost} was expected`);
  });

  t.test('resumes from a checkpoint with the same numbers', async (t) => {
    t.equal(shown.losses.length, 500);
    t.same(shown.resumed, shown.losses);
    t.equal(saved().layers.length, 2);
  });

  t.test('a switch copies by the map and changes nothing at full depth', async (t) => {
    const state = saved();
    const [first, second] = state.layers.map(({ weights }) => weights);
    t.notSame(first, second);
    const before = shown.evaluate(state);
    shown.grow(state, 4);
    t.equal(shown.evaluate(state), before);
    t.same(
      state.layers,
      [first, first, second, second].map((weights) => ({ weights, m: [0, 0], v: [0, 0], updates: 0 })),
    );
  });

  t.test('the gradient of a shared layer is that of the loss, by central differences', async (t) => {
    const map = [0, 0, 1];
    const { gradients } = shown.lossOf(saved(), map);
    for (const unit of [0, 1]) {
      for (const i of [0, 1]) {
        const at = (shift: number) => {
          const state = saved();
          state.layers[unit]!.weights[i]! += shift;
          return shown.lossOf(state, map).loss;
        };
        const expected = (at(1e-5) - at(-1e-5)) / 2e-5;
        t.ok(Math.abs(gradients[unit]![i]! - expected) < 1e-7, `${gradients[unit]![i]} against ${expected}`);
      }
    }
  });
});

t.test('every file it links to exists', async (t) => {
  for (const [, path] of text.matchAll(/\]\((?!https?:)([^)]+)\)/g)) t.ok(existsSync(new URL(path!, page)), path!);
});

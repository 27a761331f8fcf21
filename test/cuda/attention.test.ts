// Attention's kernels beyond the op cases: every head size of the tensor-core kernels, tiles that are full and tiles that
// are not, masks, causal offsets and dropout, against the float64 reference.
import t, { type Test } from 'tap';
import { type Device, openDevice } from '../../lib/engine/device.js';
import { Graph, type Tensor } from '../../lib/engine/graph.js';
import { lower } from '../../lib/engine/lowering.js';
import { type AttentionAttributes, attentionBackwardOp, attentionOp } from '../../lib/engine/ops/attention.js';
import { emit } from '../../lib/engine/ops/define.js';
import { attention, cast } from '../../lib/engine/ops/index.js';
import { difference, relativeError } from '../cases/compare.js';
import { caseData } from '../cases/trace.js';
import { cudaDevices, emulatedDevice } from '../device.js';
import { interpret } from '../reference/interpreter.js';
import { noEmulated } from './op-pair.js';

interface Problem {
  readonly batch: number;
  readonly heads: number;
  /** Fewer than `heads`: query heads share them. */
  readonly keyValueHeads?: number;
  readonly head: number;
  readonly queries: number;
  /** Other than `queries`: q, k and v are tensors of their own. */
  readonly keys?: number;
  readonly causal?: boolean;
  readonly mask?: boolean;
  readonly p?: number;
}

function describe({ batch, heads, keyValueHeads, head, queries, keys, causal, mask, p }: Problem): string {
  const parts = [
    keyValueHeads ? `${keyValueHeads} key/value heads` : '',
    causal ? 'causal' : '',
    mask ? 'mask' : '',
    p ? `dropout ${p}` : '',
  ].filter(Boolean);
  return `${batch} x ${heads} heads of ${head}, ${queries} queries, ${keys ?? queries} keys ${parts.join(', ')}`.trim();
}

/** o, lse and the gradients of sum(o * dO) as f32 outputs; the inputs' data. */
function trace(problem: Problem, dtype: 'f32' | 'bf16') {
  const { batch, heads, keyValueHeads = heads, head } = problem;
  const { queries, keys = queries, causal = false, mask = false, p = 0 } = problem;
  const [width, keyValueWidth] = [heads * head, keyValueHeads * head];
  const packed = problem.keys === undefined;
  const graph = new Graph();
  const data: Record<string, Float32Array | Int32Array> = {};
  const input = (name: string, shape: number[], seed: number): Tensor => {
    data[name] = caseData({ shape, role: 'activation', low: -2, high: 2 }, dtype, seed);
    return graph.input(name, shape, dtype);
  };
  const main = packed
    ? [input('qkv', [batch, queries, width + 2 * keyValueWidth], 1)]
    : [
        input('q', [batch, queries, width], 1),
        input('k', [batch, keys, keyValueWidth], 2),
        input('v', [batch, keys, keyValueWidth], 3),
      ];
  const rest: Tensor[] = [];
  if (mask) {
    data.mask = caseData({ shape: [batch, keys], role: 'index', low: 0, high: 3 }, dtype, 4).map((x) => Math.min(x, 1));
    rest.push(graph.input('mask', [batch, keys], 'i32'));
  }
  if (p > 0) {
    data.rng = Int32Array.of(77, 3, 5, 2);
    rest.push(graph.rng());
  }
  const attrs: AttentionAttributes = {
    packed,
    causal,
    heads,
    keyValueHeads,
    scale: 1 / Math.sqrt(head),
    hasMask: mask,
    p,
    stream: p > 0 ? graph.nextStream() : 0,
  };
  const [o, lse] = emit(attentionOp, [...main, ...rest], attrs) as [Tensor, Tensor];
  const dO = input('dO', [batch, queries, width], 5);
  const gradients = emit(attentionBackwardOp, [dO, ...main, o, lse, ...rest], attrs);
  graph.output('o', cast(o, 'f32'));
  graph.output('lse', lse);
  for (const [i, gradient] of gradients.entries()) graph.output(`gradient ${i}`, cast(gradient, 'f32'));
  return { graph, data };
}

type Outputs = Readonly<Record<string, Float32Array | Int32Array>>;

async function run(device: Device, problem: Problem, dtype: 'f32' | 'bf16', times = 1): Promise<Outputs[]> {
  const { graph, data } = trace(problem, dtype);
  const program = await device.compile(graph);
  const results: Outputs[] = [];
  for (let i = 0; i < times; i++) results.push((await program.run(data)).outputs);
  program.dispose();
  return results;
}

function reference(problem: Problem, dtype: 'f32' | 'bf16'): Record<string, ArrayLike<number>> {
  const { graph, data } = trace(problem, dtype);
  const { desc, inputs, outputs } = lower(graph);
  const values = interpret(
    desc,
    [],
    inputs.map(({ name }) => data[name]!),
  );
  return Object.fromEntries(outputs.map(({ name }, slot) => [name, values[slot]!]));
}

/**
 * The CPU's kernels round probabilities and their gradients to bf16, as those on tensor cores do and as an attention made
 * of separate bf16 ops would. Ours may be off by twice as much (the rule of FlashAttention's tests), or by one unit.
 */
async function check(t: Test, device: Device, problem: Problem): Promise<void> {
  const expected = reference(problem, 'bf16');
  const [first, again, replayed] = (await run(device, problem, 'bf16', 3)) as [Outputs, Outputs, Outputs];
  const [theirs] = (await run(cpu, problem, 'bf16')) as [Outputs];
  for (const [name, values] of Object.entries(expected)) {
    const error = relativeError(first[name]!, values);
    const allowed = Math.max(2 * relativeError(theirs[name]!, values), 2 ** -8);
    t.ok(error <= allowed, `${name}: error ${error.toExponential(1)}, allowed ${allowed.toExponential(1)}`);
    t.equal(difference(again[name]!, first[name]!), undefined, `${name}: the same bits again`);
    t.equal(difference(replayed[name]!, first[name]!), undefined, `${name}: the same bits from the graph`);
  }
}

async function checkPlain(t: Test, device: Device, problem: Problem): Promise<void> {
  const expected = reference(problem, 'f32');
  const [outputs] = (await run(device, problem, 'f32')) as [Outputs];
  for (const [name, values] of Object.entries(expected)) {
    const error = relativeError(outputs[name]!, values);
    t.ok(error <= 1e-5, `f32 ${name}: error ${error.toExponential(1)}`);
  }
}

const cpu = await openDevice({ threads: 1 });
t.teardown(() => cpu.close());

const problems: Problem[] = [
  { batch: 2, heads: 2, head: 64, queries: 64 },
  { batch: 2, heads: 2, head: 64, queries: 140, causal: true, p: 0.1 },
  { batch: 1, heads: 1, head: 64, queries: 200, causal: true },
  { batch: 2, heads: 1, head: 64, queries: 130, mask: true, p: 0.1 },
  { batch: 1, heads: 1, head: 64, queries: 150, causal: true, mask: true, p: 0.3 },
  { batch: 1, heads: 3, head: 32, queries: 97, causal: true, p: 0.2 },
  { batch: 2, heads: 1, head: 32, queries: 70, mask: true },
  { batch: 1, heads: 1, head: 128, queries: 140, causal: true, p: 0.1 },
  { batch: 1, heads: 2, head: 128, queries: 65, mask: true },
  { batch: 1, heads: 1, head: 64, queries: 40, keys: 141, causal: true, p: 0.1 },
  { batch: 2, heads: 1, head: 128, queries: 33, keys: 90 },
  { batch: 1, heads: 1, head: 32, queries: 5, keys: 300, mask: true },
  { batch: 1, heads: 2, head: 20, queries: 45, causal: true, mask: true, p: 0.1 },
  { batch: 1, heads: 1, head: 200, queries: 40, p: 0.1 },
  { batch: 2, heads: 4, keyValueHeads: 2, head: 64, queries: 140, causal: true, p: 0.1 },
  { batch: 1, heads: 3, keyValueHeads: 1, head: 64, queries: 200, mask: true },
  { batch: 1, heads: 2, keyValueHeads: 1, head: 128, queries: 150, causal: true },
  { batch: 1, heads: 4, keyValueHeads: 2, head: 32, queries: 33, keys: 141, causal: true, mask: true },
  { batch: 2, heads: 6, keyValueHeads: 2, head: 80, queries: 70, causal: true, p: 0.2 },
  { batch: 1, heads: 3, keyValueHeads: 1, head: 16, queries: 1, keys: 40 },
];

for (const [i, { name, skip, open }] of cudaDevices.entries()) {
  t.test(name, { skip }, async (t) => {
    const device = await open();
    t.teardown(() => device.close());
    for (const problem of problems) {
      await t.test(describe(problem), async (t) => {
        await check(t, device, problem);
        if (i === 0) await checkPlain(t, device, problem);
      });
    }
  });
}

t.test('a GPU with 99 KiB of shared memory a block', { skip: noEmulated }, async (t) => {
  process.env.APOLLO_EMULATOR_SHARED_BYTES = '101376';
  t.teardown(() => delete process.env.APOLLO_EMULATOR_SHARED_BYTES);
  const device = await emulatedDevice();
  t.teardown(() => device.close());
  const shared = { batch: 1, heads: 2, keyValueHeads: 1, head: 128, queries: 40, causal: true, p: 0.1 };
  for (const problem of [...problems.filter(({ head, queries }) => head === 128 && queries < 100), shared])
    await t.test(describe(problem), (t) => check(t, device, problem));

  const forward = (head: number) => {
    const graph = new Graph();
    graph.output('o', attention({ qkv: graph.input('qkv', [1, 4, 3 * head]) }, { heads: 1 }));
    return graph;
  };
  (await device.compile(forward(252))).dispose();
  await t.rejects(device.compile(forward(256)), {
    code: 'NO_KERNEL',
    message: /attention with heads of 256 needs 102912 bytes of shared memory a block on cuda; this GPU has 101376\./,
  });
  const wide = { batch: 1, heads: 1, head: 192, queries: 4 };
  await t.rejects(run(device, wide, 'bf16'), {
    code: 'NO_KERNEL',
    message: /attention's backward pass with heads of 192 needs 107264 bytes of shared memory .* has 101376\. Use more/,
  });
  await t.resolves(run(device, { ...wide, head: 180 }, 'bf16'));
});

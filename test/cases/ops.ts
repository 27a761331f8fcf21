/**
 * The one table of op cases: correctness, gradients, support of devices and bench/ops all run from it. A case traces a
 * graph from named inputs; which native ops it covers is read off the lowered graph (forward and gradient).
 */
import type { Graph, Tensor } from '../../lib/engine/graph.js';
import { copyOp } from '../../lib/engine/ops/elementwise.js';
import * as ops from '../../lib/engine/ops/index.js';
import type { Shape } from '../../lib/engine/shape.js';

export interface CaseInput {
  readonly shape: Shape;
  /**
   * `activation`: the dtype of the run (f32 or bf16); `state`: the same, kept in a StateStore; `vector`: always f32;
   * `index`: i32 in [low, high); `rng`: the counter words of dropout.
   */
  readonly role: 'activation' | 'state' | 'vector' | 'index' | 'rng';
  readonly low: number;
  readonly high: number;
  /** Magnitudes below this are pushed out, away from a kink at 0. */
  readonly gap?: number;
  /** Every n-th entry is -100 (ignored labels). */
  readonly ignoreEvery?: number;
}

export interface OpCase {
  readonly name: string;
  readonly inputs: Readonly<Record<string, CaseInput>>;
  build(t: Readonly<Record<string, Tensor>>, graph: Graph): Tensor | Readonly<Record<string, Tensor>>;
  /** Inputs to differentiate by; none: forward only. */
  readonly differentiable: readonly string[];
  readonly dtypes: readonly ('f32' | 'bf16')[];
  /** Allowed error where it is not the usual (f32 1e-5, bf16 2e-2), with its reason next to the case. */
  readonly tolerance?: { readonly f32?: number; readonly bf16?: number };
  /** Shapes of real models by input, for bench/ops. */
  readonly bench?: Readonly<Record<string, Shape>>;
}

const both = ['f32', 'bf16'] as const;

const x = (shape: Shape, low = -2, high = 2, gap?: number): CaseInput =>
  gap === undefined ? { shape, role: 'activation', low, high } : { shape, role: 'activation', low, high, gap };
const vector = (shape: Shape, low = -1, high = 1): CaseInput => ({ shape, role: 'vector', low, high });
const index = (shape: Shape, high: number, ignoreEvery?: number): CaseInput =>
  ignoreEvery === undefined
    ? { shape, role: 'index', low: 0, high }
    : { shape, role: 'index', low: 0, high, ignoreEvery };
const rng: CaseInput = { shape: [4], role: 'rng', low: 0, high: 0 };
const state = (shape: Shape): CaseInput => ({ shape, role: 'state', low: -2, high: 2 });

/** A differentiable case over all its floating inputs. */
function differentiable(
  name: string,
  inputs: OpCase['inputs'],
  build: OpCase['build'],
  more: Partial<Pick<OpCase, 'dtypes' | 'tolerance' | 'bench' | 'differentiable'>> = {},
): OpCase {
  const floating = Object.keys(inputs).filter(
    (key) => inputs[key]!.role === 'activation' || inputs[key]!.role === 'vector',
  );
  return { name, inputs, build, differentiable: floating, dtypes: both, ...more };
}

function forward(
  name: string,
  inputs: OpCase['inputs'],
  build: OpCase['build'],
  more: Partial<Pick<OpCase, 'dtypes' | 'tolerance' | 'bench'>> = {},
): OpCase {
  return { name, inputs, build, differentiable: [], dtypes: both, ...more };
}

const large: Shape = [2048, 768];

const unaryRanges: Record<string, CaseInput> = {
  neg: x([5, 7]),
  abs: x([5, 7], -2, 2, 0.1),
  square: x([3, 11]),
  sqrt: x([5, 7], 0.2, 3),
  rsqrt: x([5, 7], 0.2, 3),
  reciprocal: x([5, 7], 0.3, 3),
  exp: x([5, 7]),
  log: x([5, 7], 0.2, 3),
  tanh: x([5, 7]),
  sigmoid: x([5, 7], -4, 4),
  relu: x([5, 7], -2, 2, 0.1),
  silu: x([5, 7], -4, 4),
  erf: x([5, 7], -3, 3),
  sin: x([5, 7], -6, 6),
  cos: x([5, 7], -6, 6),
};

const unaryCases = Object.entries(unaryRanges).map(([kind, input]) =>
  differentiable(
    kind,
    { x: input },
    (t) => (ops as unknown as Record<string, (value: Tensor) => Tensor>)[kind]!(t.x!),
    kind === 'tanh' ? { bench: { x: large } } : {},
  ),
);

const binaryCases: OpCase[] = [
  differentiable('add, equal shapes', { a: x([3, 5, 7]), b: x([3, 5, 7]) }, (t) => ops.add(t.a!, t.b!), {
    bench: { a: large, b: large },
  }),
  differentiable('add, row broadcast', { a: x([4, 9]), b: x([9]) }, (t) => ops.add(t.a!, t.b!)),
  differentiable('add, both broadcast', { a: x([4, 1, 3]), b: x([5, 1]) }, (t) => ops.add(t.a!, t.b!)),
  differentiable('sub, scalar tensor', { a: x([6, 5]), b: x([]) }, (t) => ops.sub(t.a!, t.b!)),
  differentiable('mul, column broadcast', { a: x([4, 9]), b: x([4, 1]) }, (t) => ops.mul(t.a!, t.b!)),
  differentiable('mul, equal shapes', { a: x([37]), b: x([37]) }, (t) => ops.mul(t.a!, t.b!), {
    bench: { a: large, b: large },
  }),
  differentiable('div', { a: x([4, 9]), b: x([1, 9], 0.4, 2) }, (t) => ops.div(t.a!, t.b!)),
  differentiable('pow', { a: x([4, 5], 0.3, 2), b: x([5], -1.5, 2) }, (t) => ops.pow(t.a!, t.b!)),
  differentiable('pow by a number', { a: x([4, 5], 0.3, 2) }, (t) => ops.pow(t.a!, 1.7)),
  differentiable('maximum', { a: x([33]), b: x([33]) }, (t) => ops.maximum(t.a!, t.b!)),
  differentiable('minimum', { a: x([4, 9]), b: x([9]) }, (t) => ops.minimum(t.a!, t.b!)),
  ...(['less', 'lessEqual', 'equal', 'greater', 'greaterEqual', 'notEqual'] as const).map((kind) =>
    forward(kind, { a: index([7, 5], 3), b: index([5], 3) }, (t) => ops[kind](t.a!, t.b!), { dtypes: ['f32'] }),
  ),
  forward('less, floating', { a: x([7, 5]), b: x([7, 1]) }, (t) => ops.less(t.a!, t.b!)),
  differentiable('where', { a: x([4, 9]), b: x([9]) }, (t) => ops.where(ops.greater(t.a!, 0.3), t.a!, t.b!)),
  forward('sign', { x: x([5, 7]) }, (t) => ops.sign(t.x!)),
  forward('i32 arithmetic', { a: index([7, 5], 9), b: index([5], 9) }, (t) => ops.add(ops.mul(t.a!, t.b!), 3), {
    dtypes: ['f32'],
  }),
];

const elementwiseCases: OpCase[] = [
  differentiable('scale', { x: x([5, 13]) }, (t) => ops.scale(t.x!, -1.5, 0.25), { bench: { x: large } }),
  differentiable('cast to f32', { x: x([5, 13]) }, (t) => ops.cast(t.x!, 'f32')),
  differentiable('cast to bf16 and back', { x: x([5, 13]) }, (t) => ops.cast(ops.cast(t.x!, 'bf16'), 'f32'), {
    dtypes: ['bf16'],
  }),
  forward('cast to i32', { x: x([5, 13], -9, 9) }, (t) => ops.cast(t.x!, 'i32')),
  forward('cast from i32', { x: index([5, 13], 100) }, (t) => ops.cast(t.x!, 'f32'), { dtypes: ['f32'] }),
  forward('cast to bf16', { x: vector([1027]) }, (t) => ops.cast(t.x!, 'bf16'), {
    dtypes: ['f32'],
    tolerance: { f32: 4e-3 },
    bench: { x: large },
  }),
  forward('fill', { x: x([3]) }, (t, g) => ({ a: g.constant(2.5, [33], t.x!.dtype), b: g.constant(-7, [5], 'i32') })),
  differentiable('copy', { x: x([5, 13]) }, (t) => ops.emitOne(copyOp, [t.x!], {}), { bench: { x: large } }),
  differentiable('gelu', { x: x([5, 19], -4, 4) }, (t) => ops.gelu(t.x!), { bench: { x: [2048, 3072] } }),
  differentiable('gelu by tanh', { x: x([5, 19], -4, 4) }, (t) => ops.gelu(t.x!, { tanh: true }), {
    bench: { x: [2048, 3072] },
  }),
  differentiable('swiglu', { x: x([5, 38], -4, 4) }, (t) => ops.swiglu(t.x!), { bench: { x: [2048, 4096] } }),
  differentiable('swiglu, one row of saturated gates', { x: x([1, 48], -100, 100) }, (t) => ops.swiglu(t.x!)),
  differentiable('swiglu, rows of a stack', { x: x([2, 3, 128], -4, 4) }, (t) => ops.swiglu(t.x!)),
  differentiable('dropout', { x: x([6, 21]), rng }, (t) => ops.dropout(t.x!, 0.3), { bench: { x: large } }),
];

const reduceCases: OpCase[] = [
  differentiable('sum of all', { x: x([3, 5, 7]) }, (t) => ops.sum(t.x!), { bench: { x: large } }),
  differentiable('sum over the first axis', { x: x([6, 11]) }, (t) => ops.sum(t.x!, 0)),
  differentiable('sum over the last axis', { x: x([6, 11]) }, (t) => ops.sum(t.x!, -1, true)),
  differentiable('sum over outer axes', { x: x([3, 5, 7]) }, (t) => ops.sum(t.x!, [0, 2])),
  differentiable('mean over the middle axis', { x: x([3, 5, 7]) }, (t) => ops.mean(t.x!, 1)),
  differentiable('mean in f32', { x: x([3, 5, 7]) }, (t) => ops.mean(t.x!, [0, 1], false, 'f32')),
  forward('sum of i32', { x: index([6, 11], 9) }, (t) => ops.sum(t.x!, 1), { dtypes: ['f32'] }),
  differentiable('max', { x: x([6, 11]) }, (t) => ops.max(t.x!, 1)),
  differentiable('min', { x: x([6, 11]) }, (t) => ops.min(t.x!, 0, true)),
  differentiable('broadcastTo', { x: x([5, 1]) }, (t) => ops.broadcastTo(t.x!, [3, 5, 7])),
  differentiable('columnSum', { x: x([4, 9, 5]) }, (t) => ops.columnSum(t.x!), { bench: { x: [2048, 3072] } }),
  forward('argmax', { x: x([6, 11]) }, (t) => ops.argmax(t.x!)),
  differentiable('softmax', { x: x([6, 11], -4, 4) }, (t) => ops.softmax(t.x!), { bench: { x: [2048, 1024] } }),
  differentiable('logSoftmax', { x: x([6, 11], -4, 4) }, (t) => ops.logSoftmax(t.x!)),
];

const shapeCases: OpCase[] = [
  differentiable('reshape', { x: x([6, 10]) }, (t) => ops.square(ops.reshape(t.x!, [4, -1]))),
  differentiable('transpose, matrix', { x: x([7, 13]) }, (t) => ops.transpose(t.x!), { bench: { x: large } }),
  differentiable('transpose, heads', { x: x([2, 5, 3, 4]) }, (t) => ops.transpose(t.x!, [0, 2, 1, 3])),
  differentiable('concat, last axis', { a: x([3, 5]), b: x([3, 1]), c: x([3, 4]) }, (t) =>
    ops.concat([t.a!, t.b!, t.c!], -1),
  ),
  differentiable('concat, first axis', { a: x([2, 3, 5]), b: x([1, 3, 5]) }, (t) => ops.concat([t.a!, t.b!], 0)),
  differentiable('slice', { x: x([5, 7, 3]) }, (t) => ops.slice(t.x!, [1, 2, 0], [3, -1, 2])),
  differentiable('gatherRows', { x: x([9, 5]), rows: index([6], 9) }, (t) => ops.gatherRows(t.x!, t.rows!), {
    bench: { x: large, rows: [320] },
  }),
  differentiable('scatterRows', { y: x([6, 5]), rows: index([6], 9) }, (t) => ops.scatterRows(t.y!, t.rows!, 9)),
  differentiable('embedding', { table: x([11, 6]), ids: index([3, 5], 11) }, (t) => ops.embedding(t.table!, t.ids!), {
    bench: { table: [30522, 768], ids: [16, 128] },
  }),
];

const matmulCases: OpCase[] = [
  differentiable('matmul', { a: x([5, 7]), b: x([7, 3]) }, (t) => ops.matmul(t.a!, t.b!), {
    bench: { a: large, b: [768, 768] },
  }),
  differentiable(
    'matmul, bias',
    { a: x([9, 17]), b: x([17, 5]), bias: vector([5]) },
    (t) => ops.matmul(t.a!, t.b!, { bias: t.bias! }),
    {
      bench: { a: large, b: [768, 3072], bias: [3072] },
    },
  ),
  differentiable('matmul, a transposed', { a: x([7, 5]), b: x([7, 3]) }, (t) =>
    ops.matmul(t.a!, t.b!, { transA: true }),
  ),
  differentiable('matmul, b transposed', { a: x([5, 7]), b: x([3, 7]) }, (t) =>
    ops.matmul(t.a!, t.b!, { transB: true }),
  ),
  differentiable('matmul, both transposed', { a: x([7, 5]), b: x([3, 7]) }, (t) =>
    ops.matmul(t.a!, t.b!, { transA: true, transB: true }),
  ),
  differentiable('matmul, rows of a stack', { a: x([2, 3, 5]), b: x([5, 4]) }, (t) => ops.matmul(t.a!, t.b!)),
  differentiable('matmul, stacks', { a: x([2, 3, 4, 5]), b: x([2, 3, 5, 2]) }, (t) => ops.matmul(t.a!, t.b!)),
  differentiable('matmul, one against a stack', { a: x([1, 4, 5]), b: x([3, 2, 5]) }, (t) =>
    ops.matmul(t.a!, t.b!, { transB: true }),
  ),
  differentiable('matmul, f32 result', { a: x([5, 33]), b: x([33, 3]) }, (t) =>
    ops.matmul(t.a!, t.b!, { dtype: 'f32' }),
  ),
  // As a weight's gradient over the positions of a batch: a CPU sums it in four slices, the last one shorter.
  forward('matmul, a transposed, long, f32 result', { a: x([1700, 6]), b: x([1700, 5]) }, (t) =>
    ops.matmul(t.a!, t.b!, { transA: true, dtype: 'f32' }),
  ),
  // Extents that a CPU multiplies in tiles, with parts of a tile at the end; f32 sums of exact inputs, so the error is small.
  ...(['tall', 'wide'] as const).flatMap((form) => {
    const [m, n] = form === 'tall' ? [208, 112] : [48, 272];
    const exact = { tolerance: { bf16: 1e-5 } };
    return [
      forward(
        `matmul, ${form}, f32 result`,
        { a: x([m, 96]), b: x([96, n]) },
        (t) => ops.matmul(t.a!, t.b!, { dtype: 'f32' }),
        exact,
      ),
      forward(
        `matmul, ${form}, both transposed, f32 result`,
        { a: x([96, m]), b: x([n, 96]) },
        (t) => ops.matmul(t.a!, t.b!, { transA: true, transB: true, dtype: 'f32' }),
        exact,
      ),
      differentiable(`matmul, ${form}`, { a: x([m, 96]), b: x([96, n]) }, (t) => ops.matmul(t.a!, t.b!)),
    ];
  }),
  differentiable(
    'matmul, fused gelu',
    { a: x([5, 7]), b: x([7, 3]), bias: vector([3]) },
    (t) => ops.matmul(t.a!, t.b!, { bias: t.bias!, activation: 'gelu' }),
    {
      bench: { a: large, b: [768, 3072], bias: [3072] },
    },
  ),
  differentiable('matmul, fused gelu by tanh', { a: x([5, 7]), b: x([7, 3]) }, (t) =>
    ops.matmul(t.a!, t.b!, { activation: 'geluTanh' }),
  ),
];

/** At most eight rows have kernels of their own on the CPU: one row, an odd number, several threads' worth of matrix. */
const fewRowsCases: OpCase[] = [
  differentiable(
    'matmul, one row',
    { a: x([1, 131]), b: x([131, 300]), bias: vector([300]) },
    (t) => ops.matmul(t.a!, t.b!, { bias: t.bias!, activation: 'geluTanh' }),
    { bench: { a: [1, 768], b: [768, 3072], bias: [3072] } },
  ),
  differentiable(
    'matmul, one row, b transposed',
    { a: x([1, 131]), b: x([299, 131]) },
    (t) => ops.matmul(t.a!, t.b!, { transB: true, dtype: 'f32' }),
    { bench: { a: [1, 768], b: [50257, 768] } },
  ),
  differentiable(
    'matmul, seven rows',
    { a: x([7, 90]), b: x([90, 210]), bias: vector([210]) },
    (t) => ops.matmul(t.a!, t.b!, { bias: t.bias!, activation: 'gelu' }),
    { bench: { a: [4, 768], b: [768, 3072], bias: [3072] } },
  ),
  differentiable(
    'matmul, seven rows, b transposed, bias',
    { a: x([7, 90]), b: x([211, 90]), bias: vector([211]) },
    (t) => ops.matmul(t.a!, t.b!, { transB: true, bias: t.bias! }),
    { bench: { a: [4, 768], b: [50257, 768], bias: [50257] } },
  ),
];

const normCases: OpCase[] = [
  differentiable(
    'layerNorm',
    { x: x([3, 4, 19]), w: vector([19], 0.5, 1.5), b: vector([19]) },
    (t) => ops.layerNorm(t.x!, t.w!, t.b!),
    {
      bench: { x: large, w: [768], b: [768] },
    },
  ),
  differentiable(
    'residualNorm',
    { x: x([6, 16]), residual: x([6, 16]), w: vector([16], 0.5, 1.5), b: vector([16]) },
    (t) => ops.residualNorm(t.x!, t.residual!, t.w!, t.b!, { epsilon: 1e-12 }).y,
  ),
  differentiable(
    'residualNorm, both outputs, dropout',
    { x: x([5, 19]), residual: x([5, 19]), w: vector([19], 0.5, 1.5), b: vector([19]), rng },
    (t) => ({ ...ops.residualNorm(t.x!, t.residual!, t.w!, t.b!, { p: 0.25 }) }),
    { bench: { x: large, residual: large, w: [768], b: [768] } },
  ),
  differentiable(
    'residualNorm, sum only',
    { x: x([5, 19]), residual: x([5, 19]), w: vector([19], 0.5, 1.5), b: vector([19]), rng },
    (t) => ops.residualNorm(t.x!, t.residual!, t.w!, t.b!, { p: 0.25 }).sum,
    { differentiable: ['x', 'residual'] },
  ),
  differentiable('rmsNorm', { x: x([3, 4, 19]), w: vector([19], 0.5, 1.5) }, (t) => ops.rmsNorm(t.x!, t.w!), {
    bench: { x: large, w: [768] },
  }),
  differentiable('rmsNorm, one row', { x: x([1, 300]), w: vector([300], 0.5, 1.5) }, (t) =>
    ops.rmsNorm(t.x!, t.w!, { epsilon: 1e-5 }),
  ),
  differentiable(
    'residualRmsNorm',
    { x: x([6, 24]), residual: x([6, 24]), w: vector([24], 0.5, 1.5) },
    (t) => ops.residualRmsNorm(t.x!, t.residual!, t.w!).y,
  ),
  differentiable(
    'residualRmsNorm, both outputs',
    { x: x([5, 19]), residual: x([5, 19]), w: vector([19], 0.5, 1.5) },
    (t) => ({ ...ops.residualRmsNorm(t.x!, t.residual!, t.w!) }),
    { bench: { x: large, residual: large, w: [768] } },
  ),
  differentiable(
    'residualRmsNorm, both outputs, dropout',
    { x: x([70, 19]), residual: x([70, 19]), w: vector([19], 0.5, 1.5), rng },
    (t) => ({ ...ops.residualRmsNorm(t.x!, t.residual!, t.w!, { p: 0.25 }) }),
    { bench: { x: large, residual: large, w: [768] } },
  ),
  differentiable(
    'residualRmsNorm, sum only',
    { x: x([5, 19]), residual: x([5, 19]), w: vector([19], 0.5, 1.5), rng },
    (t) => ops.residualRmsNorm(t.x!, t.residual!, t.w!, { p: 0.25 }).sum,
    { differentiable: ['x', 'residual'] },
  ),
];

/** The rows of `rotary` are n heads of `headSize`. */
const rotaryCase = (
  name: string,
  [batch, tokens, heads]: readonly [number, number, number],
  headSize: number,
  rotated: number,
  more: Pick<OpCase, 'bench'> & { readonly positions?: CaseInput } = {},
): OpCase => {
  const { positions, ...rest } = more;
  return differentiable(
    name,
    { x: x([batch, tokens, heads * headSize]), ...(positions && { positions }) },
    (t) =>
      ops.rotary(t.x!, {
        headSize,
        heads: rotated,
        frequencies: ops.rotaryFrequencies(headSize, 10_000),
        positions: t.positions,
      }),
    rest,
  );
};

const rotaryCases: OpCase[] = [
  rotaryCase('rotary', [2, 5, 3], 6, 3),
  rotaryCase('rotary of queries and keys in a packed row', [2, 7, 6], 16, 4),
  rotaryCase('rotary, the heads of Llama', [2, 9, 20], 64, 18, {
    bench: { x: [4, 512, 20 * 64] },
  }),
  rotaryCase('rotary, heads of 80', [1, 3, 4], 80, 3),
  rotaryCase('rotary, heads of 128, far positions', [3, 1, 3], 128, 2, { positions: index([3, 1], 131_072) }),
  rotaryCase('rotary at given positions', [2, 5, 3], 10, 2, { positions: index([2, 5], 9) }),
  rotaryCase('rotary of many tokens', [3, 37, 2], 8, 1),
  rotaryCase('rotary of many tokens at given positions', [2, 37, 2], 8, 1, { positions: index([2, 37], 99) }),
  rotaryCase('rotary, one token', [1, 1, 2], 64, 1, { positions: index([1, 1], 4096) }),
];

/** A mask is an index in [0, 2): 1 = attend. */
const attentionCases: OpCase[] = [
  differentiable('attention', { qkv: x([2, 5, 24]) }, (t) => ops.attention({ qkv: t.qkv! }, { heads: 2 }), {
    bench: { qkv: [96, 128, 384] },
  }),
  differentiable(
    'attention, causal',
    { qkv: x([2, 7, 36]) },
    (t) => ops.attention({ qkv: t.qkv! }, { heads: 3, causal: true }),
    {
      bench: { qkv: [16, 512, 576] },
    },
  ),
  differentiable('attention, causal, dropout', { qkv: x([1, 9, 36]), rng }, (t) =>
    ops.attention({ qkv: t.qkv! }, { heads: 3, causal: true, p: 0.1 }),
  ),
  differentiable('attention, mask and dropout', { qkv: x([3, 6, 24]), mask: index([3, 6], 2), rng }, (t) =>
    ops.attention({ qkv: t.qkv! }, { heads: 2, mask: t.mask!, p: 0.2 }),
  ),
  differentiable(
    'attention, causal under a mask: some queries see nothing',
    { qkv: x([4, 6, 24]), mask: index([4, 6], 2) },
    (t) => ops.attention({ qkv: t.qkv! }, { heads: 2, mask: t.mask!, causal: true }),
  ),
  differentiable('attention, every key masked', { qkv: x([1, 5, 24]), mask: index([1, 5], 1) }, (t) =>
    ops.attention({ qkv: t.qkv! }, { heads: 2, mask: t.mask! }),
  ),
  differentiable('attention, separate q, k, v', { q: x([2, 3, 16]), k: x([2, 9, 16]), v: x([2, 9, 16]) }, (t) =>
    ops.attention({ q: t.q!, k: t.k!, v: t.v! }, { heads: 4, scale: 0.3 }),
  ),
  differentiable('attention, causal with a past', { q: x([2, 3, 16]), k: x([2, 9, 16]), v: x([2, 9, 16]), rng }, (t) =>
    ops.attention({ q: t.q!, k: t.k!, v: t.v! }, { heads: 2, causal: true, p: 0.1 }),
  ),
  differentiable('attention, heads that share keys in pairs', { qkv: x([2, 5, 128]) }, (t) =>
    ops.attention({ qkv: t.qkv! }, { heads: 4, keyValueHeads: 2 }),
  ),
  differentiable(
    'attention, causal, three heads a key/value head',
    { qkv: x([2, 7, 128 * 5]) },
    (t) => ops.attention({ qkv: t.qkv! }, { heads: 3, keyValueHeads: 1, causal: true }),
    { bench: { qkv: [8, 1024, 64 * 5] } },
  ),
  differentiable(
    'attention, heads of 80 that share keys under a mask and dropout',
    { qkv: x([2, 6, 80 * 8]), mask: index([2, 6], 2), rng },
    (t) => ops.attention({ qkv: t.qkv! }, { heads: 4, keyValueHeads: 2, mask: t.mask!, p: 0.2 }),
  ),
  differentiable(
    'attention, separate q, k, v, fewer key/value heads',
    { q: x([2, 3, 36]), k: x([2, 9, 12]), v: x([2, 9, 12]), rng },
    (t) => ops.attention({ q: t.q!, k: t.k!, v: t.v! }, { heads: 6, keyValueHeads: 2, causal: true, p: 0.1 }),
  ),
  differentiable('attention over several blocks, heads that share keys', { qkv: x([1, 150, 64]) }, (t) =>
    ops.attention({ qkv: t.qkv! }, { heads: 2, keyValueHeads: 1, causal: true }),
  ),
  differentiable('attention of one token, heads that share keys', { qkv: x([1, 1, 48]) }, (t) =>
    ops.attention({ qkv: t.qkv! }, { heads: 4, keyValueHeads: 1, causal: true }),
  ),
  differentiable('attention over several blocks', { qkv: x([1, 150, 48]) }, (t) =>
    ops.attention({ qkv: t.qkv! }, { heads: 2, causal: true }),
  ),
];

/** The states are read back as well. */
const cacheCases: OpCase[] = [
  forward(
    'cachedAttention, one token',
    { qkv: x([3, 1, 36]), keys: state([3, 9, 12]), values: state([3, 9, 12]), positions: index([3, 1], 9) },
    (t) => {
      const cache = ops.appendToCache(t.qkv!, { keys: t.keys!, values: t.values! }, t.positions!);
      return { o: ops.cachedAttention(t.qkv!, cache, t.positions!, { heads: 3 }), ...cache };
    },
    {
      bench: { qkv: [4, 1, 2304], keys: [4, 1024, 768], values: [4, 1024, 768], positions: [4, 1] },
    },
  ),
  forward(
    'cachedAttention, several tokens over many positions, odd head',
    { qkv: x([2, 4, 114]), keys: state([2, 150, 38]), values: state([2, 150, 38]), positions: index([2, 4], 150) },
    (t) => {
      const cache = { keys: t.keys!, values: t.values! };
      return ops.cachedAttention(t.qkv!, cache, t.positions!, { heads: 2, scale: 0.3 });
    },
  ),
  forward(
    'cachedAttention, wide heads',
    { qkv: x([1, 2, 576]), keys: state([1, 70, 192]), values: state([1, 70, 192]), positions: index([1, 2], 70) },
    (t) => ops.cachedAttention(t.qkv!, { keys: t.keys!, values: t.values! }, t.positions!, { heads: 1 }),
  ),
  forward(
    'cachedAttention, heads that share keys',
    { qkv: x([3, 1, 40]), keys: state([3, 9, 8]), values: state([3, 9, 8]), positions: index([3, 1], 9) },
    (t) => {
      const cache = ops.appendToCache(t.qkv!, { keys: t.keys!, values: t.values! }, t.positions!);
      return { o: ops.cachedAttention(t.qkv!, cache, t.positions!, { heads: 6, keyValueHeads: 2 }), ...cache };
    },
    { bench: { qkv: [4, 1, 1280], keys: [4, 1024, 256], values: [4, 1024, 256], positions: [4, 1] } },
  ),
  forward(
    'cachedAttention, several tokens, three heads of 80 a key/value head',
    { qkv: x([2, 3, 400]), keys: state([2, 40, 80]), values: state([2, 40, 80]), positions: index([2, 3], 40) },
    (t) => {
      const cache = { keys: t.keys!, values: t.values! };
      return ops.cachedAttention(t.qkv!, cache, t.positions!, { heads: 3, keyValueHeads: 1 });
    },
  ),
  forward(
    'appendToCache, one sequence into all',
    { qkv: x([1, 2, 15]), keys: state([3, 7, 5]), values: state([3, 7, 5]), positions: index([1, 2], 7) },
    (t) => ({ ...ops.appendToCache(t.qkv!, { keys: t.keys!, values: t.values! }, t.positions!) }),
  ),
];

const headCases: OpCase[] = [
  differentiable(
    'lmHeadLoss',
    { x: x([9, 6]), table: x([23, 6]), labels: index([9], 23, 4) },
    (t) => ops.lmHeadLoss(t.x!, t.table!, t.labels!).loss,
    {
      bench: { x: large, table: [50257, 768], labels: [2048] },
    },
  ),
  differentiable(
    'lmHeadLoss, bias',
    { x: x([9, 6]), table: x([23, 6]), bias: vector([23]), labels: index([9], 23, 4) },
    (t) => ops.lmHeadLoss(t.x!, t.table!, t.labels!, { bias: t.bias! }).loss,
  ),
  forward('lmHeadLoss, count', { x: x([9, 6]), table: x([23, 6]), labels: index([9], 23, 4) }, (t) =>
    ops.lmHeadLoss(t.x!, t.table!, t.labels!),
  ),
  forward('lmHeadLoss, no labels', { x: x([3, 6]), table: x([23, 6]), labels: index([3], 23, 1) }, (t) =>
    ops.lmHeadLoss(t.x!, t.table!, t.labels!),
  ),
  differentiable(
    'crossEntropy',
    { logits: x([9, 21], -4, 4), labels: index([9], 21, 4) },
    (t) => ops.crossEntropy(t.logits!, t.labels!).loss,
  ),
];

export const opCases: readonly OpCase[] = [
  ...unaryCases,
  ...binaryCases,
  ...elementwiseCases,
  ...reduceCases,
  ...shapeCases,
  ...matmulCases,
  ...fewRowsCases,
  ...normCases,
  ...rotaryCases,
  ...attentionCases,
  ...cacheCases,
  ...headCases,
];

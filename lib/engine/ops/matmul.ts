/** Matrix products with optional transposes, bias and activation. */

import * as is from '../../is.js';
import type { DType } from '../dtype.js';
import type { Tensor } from '../graph.js';
import { broadcastShapes, formatShape, formatType, type Shape, shapeError } from '../shape.js';
import { geluBackward } from './activation.js';
import { defineOp, emitOne } from './define.js';
import { cast } from './elementwise.js';
import { columnSum, sum } from './reduce.js';
import { reshape } from './shape.js';

/** What a product may end with. */
export type Activation = 'none' | 'gelu' | 'geluTanh';

type MatmulAttributes = {
  transA: boolean;
  transB: boolean;
  hasBias: boolean;
  activation: Activation;
  dtype: DType;
};

/** [M, K] and [K, N] after the transposes. */
function matrices(a: Shape, b: Shape, attrs: MatmulAttributes): { m: number; k: number; kb: number; n: number } {
  const [a0, a1] = a.slice(-2) as [number, number];
  const [b0, b1] = b.slice(-2) as [number, number];
  return {
    m: attrs.transA ? a1 : a0,
    k: attrs.transA ? a0 : a1,
    kb: attrs.transB ? b1 : b0,
    n: attrs.transB ? b0 : b1,
  };
}

/** (a [.., M, K], b [.., K, N], bias f32 [N]?) -> y [.., M, N]; equal ranks, leading extents equal or 1. */
export const matmulOp = defineOp<MatmulAttributes>({
  name: 'matmul',
  accumulable: [0],
  shape([a, b, bias], attrs) {
    const pair = `a ${formatShape(a!.shape)} and b ${formatShape(b!.shape)}`;
    if (a!.dtype === 'i32' || a!.dtype !== b!.dtype) {
      throw shapeError(
        'matmul',
        `a and b must both be f32 or both bf16; got ${formatType(a!)} and ${formatType(b!)} (cast one)`,
      );
    }
    if (a!.shape.length !== b!.shape.length || a!.shape.length < 2) {
      throw shapeError('matmul', `${pair} must be matrices or stacks of matrices of equal rank (reshape one)`);
    }
    const { m, k, kb, n } = matrices(a!.shape, b!.shape, attrs);
    if (k !== kb) {
      throw shapeError(
        'matmul',
        `${pair} do not match: inner sizes ${k} and ${kb} (a is ${attrs.transA ? '[K, M]' : '[M, K]'}, ` +
          `b is ${attrs.transB ? '[N, K]' : '[K, N]'} with transA ${attrs.transA}, transB ${attrs.transB})`,
      );
    }
    if (bias && (bias.dtype !== 'f32' || bias.shape.length !== 1 || bias.shape[0] !== n)) {
      throw shapeError('matmul', `bias must be f32 [${n}] for ${pair}; got ${formatType(bias)}`);
    }
    if (attrs.dtype !== a!.dtype && attrs.dtype !== 'f32') {
      throw shapeError(
        'matmul',
        `the product of ${a!.dtype} matrices can be ${a!.dtype} or f32; got dtype '${attrs.dtype}'`,
      );
    }
    const batch = broadcastShapes('matmul', a!.shape.slice(0, -2), b!.shape.slice(0, -2));
    return [{ shape: [...batch, m, n], dtype: attrs.dtype }];
  },
  gradient({ inputs, attrs, gradient, needs, dtype }) {
    const [a, b, bias] = inputs as [Tensor, Tensor, Tensor?];
    let dy = gradient(0)!;
    if (attrs.activation !== 'none') {
      // The fused form keeps no pre-activation; training code writes gelu(matmul(…)), which does not recompute.
      const before = emitOne(matmulOp, inputs, { ...attrs, activation: 'none' });
      dy = geluBackward(dy, before, attrs.activation === 'geluTanh');
    }
    const { transA, transB } = attrs;
    const g = cast(dy, a.dtype);
    const product = (left: Tensor, right: Tensor, ta: boolean, tb: boolean, like: Tensor, out: DType): Tensor => {
      const plain = { transA: ta, transB: tb, hasBias: false, activation: 'none', dtype: out } as const;
      return foldBatch(emitOne(matmulOp, [left, right], plain), like.shape);
    };
    const da = () => (transA ? product(b, g, transB, true, a, dtype(0)) : product(g, b, false, !transB, a, dtype(0)));
    const db = () => (transB ? product(g, a, true, transA, b, dtype(1)) : product(a, g, !transA, false, b, dtype(1)));
    return [needs(0) ? da() : undefined, needs(1) ? db() : undefined, bias && needs(2) ? columnSum(dy) : undefined];
  },
  flops([a, b], [y], attrs) {
    const { m, k, n } = matrices(a!.shape, b!.shape, attrs);
    return 2 * y!.shape.slice(0, -2).reduce((product, extent) => product * extent, m * k * n);
  },
});

/** Sums a gradient over the stack axes along which `shape` has extent 1. */
function foldBatch(g: Tensor, shape: Shape): Tensor {
  const axes = shape.map((_, axis) => axis).filter((axis) => shape[axis] === 1 && g.shape[axis] !== 1);
  return axes.length === 0 ? g : sum(g, axes, true);
}

/** Options of {@link matmul}. */
export interface MatmulOptions {
  /** a is given as [.., K, M]. */
  readonly transA?: boolean;
  /** b is given as [.., N, K]. */
  readonly transB?: boolean;
  /** f32 [N], added to each row. */
  readonly bias?: Tensor | undefined;
  /** Applied to the result in the same pass. Fuse for inference; when training, call gelu so that its input is kept. */
  readonly activation?: Activation;
  /** Data type of the result: that of a (default) or f32. */
  readonly dtype?: DType;
}

const takesMatmul = is.takes('matmul', {
  a: is.tensor,
  b: is.tensor,
  options: is.options({
    transA: is.optional(is.boolean),
    transB: is.optional(is.boolean),
    bias: is.optional(is.tensor),
    activation: is.optional(is.oneOf('none', 'gelu', 'geluTanh')),
    dtype: is.optional(is.precision),
  }),
});

/**
 * a [.., M, K] times b [K, N] or [.., K, N] -> [.., M, N]. A 2-D b multiplies every row of a; else leading extents
 * must be equal or 1, a lower rank counts as leading ones.
 * @example
 * const w = graph.parameter('w', [64, 32]);
 * const y = matmul(graph.input('rows', [8, 64]), w, { activation: 'gelu' }); // [8, 32]
 * @throws ApolloError BAD_SHAPE naming both shapes.
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function matmul(a: Tensor, b: Tensor, options: MatmulOptions = {}): Tensor {
  takesMatmul(a, b, options);

  const { transA = false, transB = false, bias, activation = 'none', dtype = a.dtype } = options;
  const attrs = { transA, transB, hasBias: bias !== undefined, activation, dtype };
  const rest = bias ? [bias] : [];
  const lift = (x: Tensor, rank: number) =>
    x.shape.length < 2 || x.shape.length >= rank
      ? x
      : reshape(x, [...new Array<number>(rank - x.shape.length).fill(1), ...x.shape]);
  if (a.shape.length > 2 && b.shape.length === 2 && !transA) {
    const rows = a.shape.slice(0, -1);
    // Fails here with the shapes the caller knows, not with the folded ones.
    matmulOp.shape(
      [a, { shape: [...new Array<number>(a.shape.length - 2).fill(1), ...b.shape], dtype: b.dtype }, ...rest],
      attrs,
    );
    const y = emitOne(matmulOp, [reshape(a, [-1, a.shape.at(-1)!]), b, ...rest], attrs);
    return reshape(y, [...rows, y.shape[1]!]);
  }
  const rank = Math.max(a.shape.length, b.shape.length);
  return emitOne(matmulOp, [lift(a, rank), lift(b, rank), ...rest], attrs);
}

/** A graph that runs once and whose result stays on the device. */
import { type Device, nativeOf } from './device.js';
import { Graph, type Tensor } from './graph.js';
import { lower } from './lowering.js';
import type { NativeBuffer } from './native.js';
import { translated } from './native-error.js';
import { formatShape, type Shape, sameShape, shapeError } from './shape.js';

/** An expression over parameters, recorded on the graph that it is given; f32. */
export type Expression = (graph: Graph) => Tensor;

/**
 * Computes an expression into `target`, a buffer of `shape`. `bufferOf` gives what its parameters are read from.
 * @throws ApolloError BAD_SHAPE where the expression has another shape or dtype.
 */
export async function runInto(
  device: Device,
  expression: Expression,
  bufferOf: (parameter: string) => NativeBuffer | Promise<NativeBuffer>,
  target: { readonly buffer: NativeBuffer; readonly shape: Shape },
): Promise<void> {
  const graph = new Graph();
  const result = expression(graph);
  if (result.dtype !== 'f32' || !sameShape(result.shape, target.shape)) {
    throw shapeError('runInto', `the expression is ${result}; expected f32 ${formatShape(target.shape)}`);
  }
  graph.output('value', result);
  const { desc, buffers } = lower(graph);
  const values = desc.values.map((value) =>
    value.storage === 'output' ? { ...value, storage: 'buffer' as const, slot: buffers.length } : value,
  );
  const bound: NativeBuffer[] = [];
  for (const { name } of buffers) bound.push(await bufferOf(name)); // in order, for where that is a call of all ranks
  bound.push(target.buffer);
  const program = await translated(() => nativeOf(device).compile({ ...desc, values }, bound));
  try {
    await translated(() => program.run([], { profile: false }));
  } finally {
    program.dispose();
  }
}

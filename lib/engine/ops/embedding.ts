/** Table lookup by token id. */

import * as is from '../../is.js';
import type { Tensor } from '../graph.js';
import { formatType, type Shape, shapeError } from '../shape.js';
import { defineOp, emitOne } from './define.js';
import { cast } from './elementwise.js';

/** (table [V, C], ids i32 [..]) -> y [.., C]. */
export const embeddingOp = defineOp<Record<never, never>>({
  name: 'embedding',
  shape([table, ids]) {
    if (table!.shape.length !== 2 || table!.dtype === 'i32' || ids!.dtype !== 'i32') {
      throw shapeError(
        'embedding',
        `needs a table [V, C] and i32 ids; got ${formatType(table!)} and ${formatType(ids!)}`,
      );
    }
    return [{ shape: [...ids!.shape, table!.shape[1]!], dtype: table!.dtype }];
  },
  gradient: ({ inputs, gradient, dtype }) => [
    cast(emitOne(embeddingBackwardOp, [gradient(0)!, inputs[1]!], { shape: inputs[0]!.shape }), dtype(0)),
  ],
});

/** (dy, ids) -> dTable f32 [V, C]: rows of dy added where their ids point. */
export const embeddingBackwardOp = defineOp<{ shape: Shape }>({
  name: 'embeddingBackward',
  accumulable: [0],
  shape: (_, { shape }) => [{ shape, dtype: 'f32' }],
});

const takesEmbedding = is.takes('embedding', { table: is.tensor, ids: is.tensor });

/**
 * Rows of `table` [V, C] chosen by `ids` (i32, any shape) -> [.., C]. A run with an id outside [0, V) is rejected.
 * @example
 * const table = graph.parameter('table', [400, 64]);
 * const rows = embedding(table, graph.input('tokens', [2, 8], 'i32')); // [2, 8, 64]
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function embedding(table: Tensor, ids: Tensor): Tensor {
  takesEmbedding(table, ids);

  return emitOne(embeddingOp, [table, ids], {});
}

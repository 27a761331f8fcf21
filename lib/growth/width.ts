/**
 * Growth in width by copies of units (Net2Net, Chen et al., ICLR 2016; bert2BERT, Chen et al., ACL 2022, section 3.3):
 * which unit of a narrow network each unit of a wide one copies, and what becomes of vectors and of matrices, which are
 * row-major [inputs, outputs]. A copied input is divided by its number of copies, so that sums over inputs stay as they
 * were; a copied output is just copied.
 */

import { check } from '../errors.js';
import * as is from '../is.js';
import { uniform as uniformNumber } from '../random/philox.js';
import { uniformStreams } from '../random/streams.js';

/** `map[j]` is the narrow network's unit that unit j of the wide one copies. */
export type DimensionMap = readonly number[];

/** A row-major matrix of `rows` inputs and `columns` outputs. */
export interface Matrix {
  /** Row-major, rows * columns elements. */
  readonly values: Float32Array;
  /** Number of inputs. */
  readonly rows: number;
  /** Number of outputs. */
  readonly columns: number;
}

/**
 * Philox stream of the units that are drawn for copying.
 * @example
 * uniformNumber(42, widthStream, 0);
 */
export const widthStream = uniformStreams.width;

/**
 * How the units beyond the first `from` are chosen: 'even', in turn, so that copy counts differ by one at most; or drawn
 * uniformly, as both papers do, the draws of `seed` numbered from `first`.
 */
export type CopyRule = 'even' | { readonly seed: number; readonly first: number };

const takesDuplicationMap = is.takes('duplicationMap', {
  from: is.number,
  to: is.number,
  rule: is.either(is.oneOf('even'), is.object('{ seed, first }', { seed: is.integer, first: is.index })),
});

/**
 * The map g of a dimension that grows `from` -> `to`: g(j) = j for j < from, then by `rule`.
 * `duplicationMap(2, 5, 'even')` is [0, 1, 0, 1, 0].
 * @example
 * duplicationMap(2, 4, 'even');
 * @throws ApolloError BAD_ARGUMENT unless 1 <= from <= to.
 */
export function duplicationMap(from: number, to: number, rule: CopyRule): number[] {
  takesDuplicationMap(from, to, rule);

  check(
    Number.isSafeInteger(from) && Number.isSafeInteger(to) && from >= 1 && to >= from,
    `duplicationMap(from, to) needs whole numbers with 1 <= from <= to; got from ${from}, to ${to}.`,
  );
  return Array.from({ length: to }, (_, j) => {
    if (j < from) return j;
    return rule === 'even' ? j % from : Math.floor(uniformNumber(rule.seed, widthStream, rule.first + j) * from);
  });
}

const takesCopyCounts = is.takes('copyCounts', { map: is.list(is.index), from: is.count });

/**
 * C: how often each of `from` units occurs in the map.
 * @example
 * copyCounts([0, 1, 1], 2) // [1, 2]
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function copyCounts(map: DimensionMap, from: number): number[] {
  takesCopyCounts(map, from);

  const counts = new Array<number>(from).fill(0);
  for (const unit of map) {
    check(unit >= 0 && unit < from, `A map of ${from} units names unit ${unit}.`);
    counts[unit] = (counts[unit] as number) + 1;
  }
  return counts;
}

const takesExpandGroups = is.takes('expandGroups', { map: is.list(is.index), width: is.count });

/**
 * A map of groups as a map of their elements: heads of `width` dimensions each, copied whole, so that each copy has its
 * head's softmax. `expandGroups([0, 1, 0], 2)` is [0, 1, 2, 3, 0, 1].
 * @example
 * expandGroups([0, 1, 1], 2) // [0, 1, 2, 3, 2, 3]
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function expandGroups(map: DimensionMap, width: number): number[] {
  takesExpandGroups(map, width);

  return map.flatMap((group) => Array.from({ length: width }, (_, i) => group * width + i));
}

const takesSideBySide = is.takes('sideBySide', {
  blocks: is.list(is.object('{ map, from }', { map: is.list(is.index), from: is.count })),
});

/**
 * The map of blocks side by side, each of which grows from `from` units by a map of its own: queries, keys and values.
 * `sideBySide([{ map: [0, 1, 0], from: 2 }, { map: [0, 0], from: 1 }])` is [0, 1, 0, 2, 2].
 * @example
 * sideBySide([{ map: [0, 1, 1], from: 2 }, { map: [0, 1, 1], from: 2 }]) // [0, 1, 1, 2, 3, 3]
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function sideBySide(blocks: readonly { readonly map: DimensionMap; readonly from: number }[]): number[] {
  takesSideBySide(blocks);

  let start = 0;
  return blocks.flatMap(({ map, from }) => {
    const first = start;
    start += from;
    return map.map((unit) => first + unit);
  });
}

const takesExpandVector = is.takes('expandVector', { values: is.float32, map: is.list(is.index) });

/**
 * A vector whose units are copied: b'[j] = b[g(j)].
 * @example
 * expandVector(Float32Array.of(2, 4), [0, 1, 1]) // [2, 4, 4]
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function expandVector(values: Float32Array, map: DimensionMap): Float32Array {
  takesExpandVector(values, map);

  copyCounts(map, values.length);
  return Float32Array.from(map, (unit) => values[unit] as number);
}

const takesDivideVector = is.takes('divideVector', { values: is.float32, map: is.list(is.index) });

/**
 * A vector whose units are copied and divided: b'[j] = b[g(j)] / C[g(j)]. Weight and bias of the last norm before a
 * decoder tied to the word table become this: the table's columns are copied without division, and each logit sums over
 * all copies.
 * @example
 * divideVector(Float32Array.of(2, 4), [0, 1, 1]) // [2, 2, 2]
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function divideVector(values: Float32Array, map: DimensionMap): Float32Array {
  takesDivideVector(values, map);

  const counts = copyCounts(map, values.length);
  return Float32Array.from(map, (unit) => (values[unit] as number) / (counts[unit] as number));
}

const takesExpandMatrixRows = is.takes('expandMatrixRows', {
  matrix: is.matrix,
  maps: is.options({ rows: is.optional(is.list(is.index)), columns: is.optional(is.list(is.index)) }),
});

/** A matrix that is filled row by row. */
export interface RowWise {
  /** The whole matrix, row-major; rows not filled yet are zeros. */
  readonly values: Float32Array;
  /** Number of rows. */
  readonly rows: number;
  /** Fills rows [from, to). */
  fill(from: number, to: number): void;
}

/**
 * `expandMatrix` in pieces, for a caller that must not block: all zeros until rows are filled.
 * @param matrix Values with their numbers of rows and columns.
 * @param maps What the new rows and columns are copies of.
 * @example
 * const rows = expandMatrixRows({ values: new Float32Array(4), rows: 2, columns: 2 }, { rows: [0, 1, 1] });
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function expandMatrixRows(
  matrix: Matrix,
  maps: {
    /** Old row of each new row. Default: rows stay as they are. */
    rows?: DimensionMap;
    /** Old column of each new column. Default: columns stay as they are. */
    columns?: DimensionMap;
  },
): RowWise {
  takesExpandMatrixRows(matrix, maps);

  const { values, rows, columns } = matrix;
  checkMatrix(matrix);
  const counts = maps.rows && copyCounts(maps.rows, rows);
  if (maps.columns) copyCounts(maps.columns, columns);
  const height = maps.rows?.length ?? rows;
  const width = maps.columns?.length ?? columns;
  const result = new Float32Array(height * width);
  return {
    values: result,
    rows: height,
    fill(begin, end) {
      for (let i = begin; i < end; i++) {
        const from = maps.rows ? (maps.rows[i] as number) : i;
        const count = counts ? (counts[from] as number) : 1;
        for (let j = 0; j < width; j++) {
          const column = maps.columns ? (maps.columns[j] as number) : j;
          result[i * width + j] = (values[from * columns + column] as number) / count;
        }
      }
    },
  };
}

/**
 * EXPN (bert2BERT, Eq. 5 and 6): U[i, j] = W[g_in(i), g_out(j)] / C_in[g_in(i)]. Without a map a dimension stays as it
 * is. The rows of a table that is looked up in, as the word embeddings, have none.
 * @param matrix Values with their numbers of rows and columns.
 * @param maps What the new rows and columns are copies of.
 * @example
 * const grown = expandMatrix({ values: new Float32Array(4), rows: 2, columns: 2 }, { rows: [0, 1, 1], columns: [0, 1, 1] });
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function expandMatrix(
  matrix: Matrix,
  maps: {
    /** Old row of each new row. Default: rows stay as they are. */
    rows?: DimensionMap;
    /** Old column of each new column. Default: columns stay as they are. */
    columns?: DimensionMap;
  },
): Float32Array {
  const { values, rows, fill } = expandMatrixRows(matrix, maps);
  fill(0, rows);
  return values;
}

const takesAdvancedColumns = is.takes('advancedColumns', { own: is.float32, next: is.float32, isNew: is.func });

/**
 * AKI (bert2BERT, section 3.3.2): the columns that are copies come from the layer above. `own` and `next` are the two
 * layers' tensors after EXPN; `isNew` tells whether an element is in such a column.
 * @example
 * advancedColumns(Float32Array.of(1, 2), Float32Array.of(3, 4), (column) => column > 0);
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function advancedColumns(own: Float32Array, next: Float32Array, isNew: (at: number) => boolean): Float32Array {
  takesAdvancedColumns(own, next, isNew);

  check(own.length === next.length, `advancedColumns: tensors of ${own.length} and ${next.length} elements.`);
  return own.map((value, at) => (isNew(at) ? (next[at] as number) : value));
}

const takesCheckMatrix = is.takes('checkMatrix', { matrix: is.matrix });

/**
 * Checks that `values` has rows * columns elements.
 * @example
 * checkMatrix({ values: new Float32Array(6), rows: 2, columns: 3 });
 * @throws ApolloError BAD_ARGUMENT when the values are not as many as the shape says.
 */
export function checkMatrix(matrix: Matrix): void {
  takesCheckMatrix(matrix);
  const { values, rows, columns } = matrix;
  check(values.length === rows * columns, `A matrix [${rows}, ${columns}] of ${values.length} elements.`);
}

/**
 * Growth in width of a parameter, derived from its axes: copies by the operations of growth/width.ts,
 * doubling as an expression of a graph. `narrow` is the parameter's spec in the smaller network, `wide` in the grown one. Nothing here
 * knows a parameter by name. Copies are made in pieces, between which the event loop runs.
 */
import type { Tensor } from '../engine/graph.js';
import { concat, scale, slice } from '../engine/ops/index.js';
import {
  type CopyRule,
  type DimensionMap,
  divideVector,
  duplicationMap,
  expandGroups,
  expandMatrixRows,
  expandVector,
  type RowWise,
  sideBySide,
} from '../growth/index.js';
import {
  type Axis,
  createModel,
  headSizeOf,
  keyValueHeadsOf,
  type ModelConfig,
  type ParameterSpec,
} from '../models/index.js';
import { changedValues, inPieces } from '../pauses.js';

/** Which element each element of an axis copies; undefined where nothing grows. `layer` is the narrow network's. */
export type WidthMaps = (axis: Axis, layer: number | undefined) => DimensionMap | undefined;

/** Parameters of a model by their part, those of its layers once. */
export function specsByPart(config: ModelConfig): ReadonlyMap<string, ParameterSpec> {
  return new Map(
    createModel(config)
      .parameters(1)
      .map((spec) => [spec.part, spec]),
  );
}

/**
 * The maps of a whole network that grows `from` -> `to`. 'even' has the same for all layers; 'random' draws the stream's
 * once, and heads and feed-forward units for each layer. Heads are copied whole, and with fewer key/value heads than query
 * heads so that a copy of a query head reads the copy of its key/value head.
 */
export function widthMaps(
  from: ModelConfig,
  to: ModelConfig,
  { rule, seed }: { rule: 'random' | 'even'; seed: number },
): WidthMaps {
  const known = new Map<string, DimensionMap>();
  // Each map has a range of draws of its own, of 2^23 numbers.
  const copies = (range: number): CopyRule => (rule === 'even' ? 'even' : { seed, first: range * 2 ** 23 });
  const ranges = (layer: number) => ({ groups: 2 + 4 * layer, within: 3 + 4 * layer, ffn: 4 + 4 * layer });
  const width = headSizeOf(from);
  const [groups, grownGroups] = [keyValueHeadsOf(from), keyValueHeadsOf(to)];
  const groupMap = (layer: number) => duplicationMap(groups, grownGroups, copies(ranges(layer).groups));
  const headMap = (layer: number) => {
    const [size, grownSize] = [from.heads / groups, to.heads / grownGroups];
    const within = duplicationMap(size, grownSize, copies(ranges(layer).within));
    return groupMap(layer).flatMap((group) => within.map((head) => group * size + head));
  };
  const make = (axis: Axis, layer: number): DimensionMap | undefined => {
    switch (axis) {
      case 'hidden':
        return duplicationMap(from.hidden, to.hidden, copies(0));
      case 'heads':
        return expandGroups(headMap(layer), width);
      case 'keyValueHeads':
        return expandGroups(groupMap(layer), width);
      case 'ffn':
        return duplicationMap(from.ffn, to.ffn, copies(ranges(layer).ffn));
      default:
        return undefined;
    }
  };
  return (axis, layer = 0) => {
    const key = axis === 'hidden' ? axis : `${axis} ${layer}`;
    const map = known.get(key) ?? make(axis, layer);
    if (map) known.set(key, map);
    return map;
  };
}

const identity = (size: number): DimensionMap => Array.from({ length: size }, (_, unit) => unit);

/** Axes of a parameter, which every parameter of a model has. */
const axesOf = ({ axes }: ParameterSpec) => axes as NonNullable<ParameterSpec['axes']>;

/** The map of all columns; undefined where none grow. */
function columnMap(narrow: ParameterSpec, mapOf: (axis: Axis) => DimensionMap | undefined): DimensionMap | undefined {
  const { columns } = axesOf(narrow);
  if (columns.every(({ axis }) => mapOf(axis) === undefined)) return undefined;
  return sideBySide(columns.map(({ axis, size }) => ({ map: mapOf(axis) ?? identity(size), from: size })));
}

async function filled({ values, rows, fill }: RowWise): Promise<Float32Array> {
  await inPieces(rows, fill, { elements: values.length / rows });
  return values;
}

/** The parameter as a matrix; a vector is one row. */
const matrixOf = (spec: ParameterSpec, values: Float32Array) => {
  const columns = spec.shape.at(-1) as number;
  return { values, rows: values.length / columns, columns };
};

/**
 * A parameter of the narrow network after function-preserving expansion (bert2BERT's FPI): exact where all units of the
 * stream have equally many copies, otherwise near, since the norms then weigh units by their copies.
 * `layer` is its layer in the narrow network.
 */
export async function expandTensor(
  narrow: ParameterSpec,
  values: Float32Array,
  maps: WidthMaps,
  layer: number | undefined,
): Promise<Float32Array> {
  const { rows } = axesOf(narrow);
  const columns = columnMap(narrow, (axis) => maps(axis, layer));
  if (!rows) {
    if (!columns) return values;
    return narrow.use === 'headNorm' ? divideVector(values, columns) : expandVector(values, columns);
  }
  const rowMap = maps(rows.axis, layer);
  return filled(
    expandMatrixRows(matrixOf(narrow, values), { ...(rowMap && { rows: rowMap }), ...(columns && { columns }) }),
  );
}

/** Whether an element of the grown parameter is in a column that the narrow network does not have. */
export function newColumns(narrow: ParameterSpec, wide: ParameterSpec): (at: number) => boolean {
  const kept = axesOf(narrow).columns;
  const isNew = axesOf(wide).columns.flatMap(({ size }, block) =>
    Array.from({ length: size }, (_, unit) => unit >= (kept[block]?.size ?? 0)),
  );
  return (at) => isNew[at % isNew.length] as boolean;
}

/** Whether advanced initialisation takes a parameter's new columns from the layer above: linear layers, not norms. */
export function isAdvanced({ layer, use }: ParameterSpec): boolean {
  return layer !== undefined && (use === undefined || use === 'branchOutput');
}

/**
 * AKI (bert2BERT, section 3.3.2): the columns that are copies come from the layer above. `own` and `next` are a parameter of
 * a layer and of the one above it, both as `expandTensor` gives them.
 */
export function advanceTensor(
  narrow: ParameterSpec,
  wide: ParameterSpec,
  own: Float32Array,
  next: Float32Array,
): Promise<Float32Array> {
  const isNew = newColumns(narrow, wide);
  return changedValues(own, (value, at) => (isNew(at) ? (next[at] as number) : value));
}

/**
 * A parameter after Staged Training's doubling of the width: matrices become diag(W, W), tables and vectors occur twice,
 * and the norm before the tied decoder is halved, since every logit sums over both copies.
 */
export function doubleTensor(narrow: ParameterSpec, before: Tensor): Tensor {
  return doubled(narrow, before, narrow.use === 'headNorm' ? 0.5 : 1);
}

/**
 * A moment of that parameter: it grows like the value, times `factor`. All gradients halve but those of the norm before
 * the decoder, whose value is halved, and of the output bias, which does not grow.
 */
export function doubleMoment(narrow: ParameterSpec, before: Tensor, factor: number): Tensor {
  const halves = narrow.use !== 'headNorm' && axesOf(narrow).columns.some(({ axis }) => grows(axis));
  return doubled(narrow, before, halves ? factor : 1);
}

const growing: readonly Axis[] = ['hidden', 'heads', 'keyValueHeads', 'ffn'];
const grows = (axis: Axis): boolean => growing.includes(axis);

/** The matrices that are side by side in the columns, or the vectors that follow one another. */
function blocksOf(narrow: ParameterSpec, tensor: Tensor): Tensor[] {
  const outer = tensor.shape.slice(0, -1);
  let start = 0;
  return axesOf(narrow).columns.map(({ size }) => {
    const block = slice(tensor, [...outer.map(() => 0), start], [...outer, size]);
    start += size;
    return block;
  });
}

function doubled(narrow: ParameterSpec, before: Tensor, factor: number): Tensor {
  const { rows, columns } = axesOf(narrow);
  const scaled = factor === 1 ? before : scale(before, factor);
  if (!columns.some(({ axis }) => grows(axis))) return scaled;
  const blocks = blocksOf(narrow, scaled);
  if (!rows || !grows(rows.axis)) {
    const twice = blocks.flatMap((block, i) => (grows(columns[i]!.axis) ? [block, block] : [block]));
    return concat(twice, -1);
  }
  const zerosLike = ({ shape }: Tensor) => before.graph.constant(0, shape);
  const top = blocks.flatMap((block) => [block, zerosLike(block)]);
  const bottom = blocks.flatMap((block) => [zerosLike(block), block]);
  return concat([concat(top, 1), concat(bottom, 1)], 0);
}

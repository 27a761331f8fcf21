/**
 * What growth in width does to each parameter of BERT and GPT: along which axes of the network a tensor grows, and from
 * there the operations of growth/width.ts and growth/block-diagonal.ts. The one place that knows parameters by name.
 */
import { ApolloError } from '../errors.js';
import {
  advancedColumns,
  blockDiagonal,
  type CopyRule,
  type DimensionMap,
  divideVector,
  duplicationMap,
  expandGroups,
  expandMatrix,
  expandVector,
  repeatMap,
} from '../growth/index.js';
import type { StageShape } from './method.js';

/**
 * A dimension of the network: the residual stream (hidden, one map for the whole network), a layer's heads (copied whole)
 * and its feed-forward units, or one that does not grow (tokens, positions, types).
 */
export type Axis = 'fixed' | 'stream' | 'heads' | 'ffn';

/** How one parameter lies along the axes. */
export interface TensorLayout {
  /** Its layer; absent for embeddings, final norm and head. */
  readonly layer?: number;
  /** Its name, within the layer if it has one. */
  readonly part: string;
  /** Axis of a matrix's inputs; absent for vectors. */
  readonly rows?: Axis;
  readonly columns: Axis;
  /** Blocks of columns side by side, each along the axis: queries, keys and values. */
  readonly blocks: number;
  /** Weight or bias of the norm whose output the tied decoder reads. */
  readonly decoderNorm: boolean;
}

const table: Readonly<Record<string, { rows?: Axis; columns: Axis; blocks?: number; decoderNorm?: boolean }>> = {
  'embeddings.word': { rows: 'fixed', columns: 'stream' },
  'embeddings.position': { rows: 'fixed', columns: 'stream' },
  'embeddings.type': { rows: 'fixed', columns: 'stream' },
  'embeddings.norm.weight': { columns: 'stream' },
  'embeddings.norm.bias': { columns: 'stream' },
  'attention.qkv.weight': { rows: 'stream', columns: 'heads', blocks: 3 },
  'attention.qkv.bias': { columns: 'heads', blocks: 3 },
  'attention.output.weight': { rows: 'heads', columns: 'stream' },
  'attention.output.bias': { columns: 'stream' },
  'attention.norm.weight': { columns: 'stream' },
  'attention.norm.bias': { columns: 'stream' },
  'ffn.up.weight': { rows: 'stream', columns: 'ffn' },
  'ffn.up.bias': { columns: 'ffn' },
  'ffn.down.weight': { rows: 'ffn', columns: 'stream' },
  'ffn.down.bias': { columns: 'stream' },
  'ffn.norm.weight': { columns: 'stream' },
  'ffn.norm.bias': { columns: 'stream' },
  'final.norm.weight': { columns: 'stream', decoderNorm: true },
  'final.norm.bias': { columns: 'stream', decoderNorm: true },
  // The head's hidden units grow with the stream's map: its norm and the tied table's columns then agree.
  'head.transform.weight': { rows: 'stream', columns: 'stream' },
  'head.transform.bias': { columns: 'stream' },
  'head.norm.weight': { columns: 'stream', decoderNorm: true },
  'head.norm.bias': { columns: 'stream', decoderNorm: true },
  'head.output': { rows: 'fixed', columns: 'stream' },
  'head.bias': { columns: 'fixed' },
};

/** @throws ApolloError INTERNAL for a parameter that no model here has. */
export function layoutOf(name: string): TensorLayout {
  const [, index, part = name] = /^layer\.(\d+)\.(.+)$/.exec(name) ?? [];
  const entry = Object.hasOwn(table, part) ? table[part] : undefined;
  if (!entry) throw new ApolloError('INTERNAL', `How the parameter "${name}" grows in width is not known.`);
  return { blocks: 1, decoderNorm: false, ...entry, part, ...(index === undefined ? {} : { layer: Number(index) }) };
}

/** Name of the same part in layer `layer`; of a parameter that no layer owns, its own name. */
export function nameIn(layout: Pick<TensorLayout, 'layer' | 'part'>, layer: number): string {
  return layout.layer === undefined ? layout.part : `layer.${layer}.${layout.part}`;
}

/** Elements along each axis. */
const sizeOf = (shape: StageShape): Readonly<Record<Exclude<Axis, 'fixed'>, number>> => ({
  stream: shape.hidden,
  heads: shape.hidden,
  ffn: shape.ffn,
});

/** Which element each element of an axis copies; undefined where nothing grows. `layer` is the narrow network's. */
export type WidthMaps = (axis: Axis, layer: number | undefined) => DimensionMap | undefined;

/**
 * The maps of a whole network that grows `from` -> `to`. 'even' has the same for all layers; 'random' draws the stream's
 * once, and heads and feed-forward units for each layer anew.
 */
export function widthMaps(
  from: StageShape,
  to: StageShape,
  { rule, seed }: { rule: 'random' | 'even'; seed: number },
): WidthMaps {
  const known = new Map<number, DimensionMap>();
  const headWidth = from.hidden / from.heads;
  // Each map has a range of draws of its own, of 2^24 numbers.
  const make = (axis: Axis, range: number): DimensionMap => {
    const copies: CopyRule = rule === 'even' ? 'even' : { seed, first: range * 2 ** 24 };
    if (axis === 'heads') return expandGroups(duplicationMap(from.heads, to.heads, copies), headWidth);
    return axis === 'ffn' ? duplicationMap(from.ffn, to.ffn, copies) : duplicationMap(from.hidden, to.hidden, copies);
  };
  return (axis, layer = 0) => {
    if (axis === 'fixed') return undefined;
    const range = axis === 'stream' ? 0 : 1 + 2 * layer + (axis === 'ffn' ? 1 : 0);
    const map = known.get(range) ?? make(axis, range);
    known.set(range, map);
    return map;
  };
}

/**
 * A parameter of the narrow network after function-preserving expansion (bert2BERT's FPI): exact where all units of the
 * stream have equally many copies, otherwise near, since the norms then weigh units by their copies.
 * `layer` is its layer in the narrow network.
 */
export function expandTensor(
  layout: TensorLayout,
  values: Float32Array,
  from: StageShape,
  maps: WidthMaps,
  layer: number | undefined,
): Float32Array {
  const { rows, columns: axis, blocks, decoderNorm } = layout;
  const map = maps(axis, layer);
  if (rows === undefined) {
    if (map === undefined || axis === 'fixed') return values;
    if (decoderNorm) return divideVector(values, map);
    return expandVector(values, repeatMap(map, sizeOf(from)[axis], blocks));
  }
  const columns = axis === 'fixed' ? values.length : sizeOf(from)[axis] * blocks;
  const rowMap = maps(rows, layer);
  return expandMatrix(
    { values, rows: values.length / columns, columns },
    {
      ...(rowMap ? { rows: rowMap } : {}),
      ...(map && axis !== 'fixed' ? { columns: repeatMap(map, sizeOf(from)[axis], blocks) } : {}),
    },
  );
}

/** Whether an element of the expanded parameter stands in a column that the narrow network does not have. */
export function newColumns(layout: TensorLayout, from: StageShape, to: StageShape): (at: number) => boolean {
  const { columns: axis } = layout;
  if (axis === 'fixed') return () => false;
  const [kept, block] = [sizeOf(from)[axis], sizeOf(to)[axis]]; // blocks side by side are all `block` wide
  return (at) => at % block >= kept;
}

/** Whether advanced initialisation takes a parameter's new columns from the layer above: linear layers, not norms. */
export function isAdvanced({ layer, part }: TensorLayout): boolean {
  return layer !== undefined && !part.includes('norm');
}

/** bert2BERT's AKI: `own` and `next` are a parameter of a layer and of the one above it, both as `expandTensor` gives them. */
export function advanceTensor(
  layout: TensorLayout,
  own: Float32Array,
  next: Float32Array,
  from: StageShape,
  to: StageShape,
): Float32Array {
  return advancedColumns(own, next, newColumns(layout, from, to));
}

/**
 * A parameter after Staged Training's doubling of the width: matrices become diag(W, W), tables and vectors stand twice,
 * and the norm before the tied decoder is halved, since every logit sums over both copies. `from` is the shape before.
 */
export function doubleTensor(layout: TensorLayout, values: Float32Array, from: StageShape): Float32Array {
  return doubled(layout, values, from, layout.decoderNorm ? 0.5 : 1);
}

/**
 * A moment of that parameter: it grows like the value, times `factor`. All gradients halve but those of the norm before
 * the decoder, whose value is halved, and of the output bias, which does not grow.
 */
export function doubleMoment(
  layout: TensorLayout,
  values: Float32Array,
  from: StageShape,
  factor: number,
): Float32Array {
  return doubled(layout, values, from, gradientHalves(layout) ? factor : 1);
}

function gradientHalves({ columns, decoderNorm }: TensorLayout): boolean {
  return columns !== 'fixed' && !decoderNorm;
}

function doubled(layout: TensorLayout, values: Float32Array, from: StageShape, factor: number): Float32Array {
  const { rows, columns: axis, blocks } = layout;
  const scaled = factor === 1 ? values : values.map((value) => value * factor);
  if (axis === 'fixed') return scaled;
  const block = sizeOf(from)[axis];
  const columns = block * blocks;
  const matrix = { values: scaled, rows: values.length / columns, columns };
  if (rows !== undefined && rows !== 'fixed') return blockDiagonal(matrix, blocks);
  return expandMatrix(matrix, { columns: repeatMap(duplicationMap(block, 2 * block, 'even'), block, blocks) });
}

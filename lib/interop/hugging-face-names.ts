/**
 * How our parameters are stored in Hugging Face checkpoints: under the names that their families declare, with the transposed
 * matrices of torch's Linear layers, and separate query, key and value matrices, which we hold as one.
 */

import { ApolloError } from '../errors.js';
import type { ForeignTensors, HuggingFaceFamily, ParameterSpec, Span } from '../models/index.js';
import type { TensorToWrite } from './safetensors.js';
import { elementsOf } from './safetensors-header.js';
import type { TensorReader } from './sharded-safetensors.js';

/** A parameter of ours, as far as conversion needs to know it. */
export type NamedShape = Pick<ParameterSpec, 'name' | 'shape' | 'foreign' | 'axes'>;

/**
 * Where our parameter is in a checkpoint.
 * @throws ApolloError BAD_ARGUMENT for one without a place there.
 */
export function foreignTensors({ name, foreign }: NamedShape): ForeignTensors {
  if (foreign) return foreign;
  throw new ApolloError('BAD_ARGUMENT', `"${name}" has no name in Hugging Face checkpoints.`);
}

/** The parameter under names in which `prefix` is replaced by `other`. */
export function withPrefix<Spec extends NamedShape>(spec: Spec, prefix: string, other: string): Spec {
  const { names, transposed } = foreignTensors(spec);
  const renamed = names.map((name) => (name.startsWith(prefix) ? other + name.slice(prefix.length) : name));
  return { ...spec, foreign: { names: renamed, transposed } };
}

/** Outputs of each of the tensors that are joined. */
function partSizes({ shape, axes, foreign }: NamedShape): number[] {
  const outputs = shape.at(-1) as number;
  return foreign?.names.length === 1 ? [outputs] : (axes?.columns.map(({ size }: Span) => size) ?? [outputs]);
}

/** [rows, columns] -> [columns, rows], into `target` whose rows are `stride` long, from column `offset` on. */
function transposeInto(
  target: Float32Array,
  source: Float32Array,
  rows: number,
  columns: number,
  stride: number,
  offset: number,
) {
  for (let column = 0; column < columns; column++) {
    for (let row = 0; row < rows; row++) {
      target[column * stride + offset + row] = source[row * columns + column] as number;
    }
  }
}

/** Our tensor from the checkpoint's parts, in the order of `foreignTensors(…).names`. */
export function joinForeign(spec: NamedShape, parts: readonly Float32Array[]): Float32Array {
  const { shape } = spec;
  const { transposed } = foreignTensors(spec);
  if (!transposed && parts.length === 1) return parts[0] as Float32Array;
  const joined = new Float32Array(elementsOf(shape));
  const columns = shape.at(-1) as number;
  let offset = 0;
  for (const [index, outputs] of partSizes(spec).entries()) {
    const part = parts[index] as Float32Array;
    if (transposed) transposeInto(joined, part, outputs, shape[0] as number, columns, offset);
    else joined.set(part, offset);
    offset += outputs;
  }
  return joined;
}

/** The inverse of `joinForeign`: part `index` of our tensor, as the checkpoint holds it. */
export function splitForeign(spec: NamedShape, values: Float32Array, index: number): Float32Array {
  const { shape } = spec;
  const { transposed } = foreignTensors(spec);
  const sizes = partSizes(spec);
  const outputs = sizes[index] as number;
  const offset = sizes.slice(0, index).reduce((sum, size) => sum + size, 0);
  if (!transposed) return sizes.length === 1 ? values : values.slice(offset, offset + outputs);
  const [inputs, columns] = shape as readonly [number, number];
  const part = new Float32Array(inputs * outputs);
  for (let output = 0; output < outputs; output++) {
    for (let input = 0; input < inputs; input++) {
      part[output * inputs + input] = values[input * columns + offset + output] as number;
    }
  }
  return part;
}

/** The shape of each of the checkpoint's parts of our tensor. */
function partShapes(spec: NamedShape): number[][] {
  const { shape } = spec;
  const { transposed } = foreignTensors(spec);
  return partSizes(spec).map((outputs) => {
    if (shape.length === 1) return [outputs];
    return transposed ? [outputs, shape[0] as number] : [shape[0] as number, outputs];
  });
}

/**
 * Names under which one tensor may be: bare models leave the prefix out, the class for spans may have another one, early
 * layer norms have gamma and beta.
 */
function spellings(name: string, { prefix, heads: { spansPrefix = prefix } }: HuggingFaceFamily): string[] {
  const others = name.startsWith(prefix) ? ['', spansPrefix].map((other) => other + name.slice(prefix.length)) : [];
  const legacy = (each: string): string[] =>
    /LayerNorm\.(weight|bias)$/.test(each) ? [each, each.replace(/weight$/, 'gamma').replace(/bias$/, 'beta')] : [each];
  return [...new Set([name, ...others])].flatMap(legacy);
}

type Tensors = Pick<TensorReader, 'tensors'>;

/** The name under which a tensor is in the checkpoint, or the one it is tied to; undefined when it has neither. */
function presentName(reader: Tensors, family: HuggingFaceFamily, name: string): string | undefined {
  const pair = family.tied.find((each) => each.name === name);
  const names = [...spellings(name, family), ...(pair ? [pair.other] : [])];
  if (pair?.prefersOther) names.reverse();
  return names.find((each) => reader.tensors.has(each));
}

/** Whether the checkpoint has the tensor under one of its spellings, even if it is tied to another. */
export function hasOwn(reader: Tensors, family: HuggingFaceFamily, name: string): boolean {
  return spellings(name, family).some((each) => reader.tensors.has(each));
}

/** Pairs of tied tensors that the checkpoint holds both of, by the names they have there. */
export function tiedPairs(reader: Tensors, family: HuggingFaceFamily): [string, string][] {
  return family.tied.flatMap(({ name, other }): [string, string][] => {
    const present = spellings(name, family).find((each) => reader.tensors.has(each));
    return present !== undefined && reader.tensors.has(other) ? [[present, other]] : [];
  });
}

/** A tensor of one checkpoint. */
interface Located {
  readonly name: string;
  readonly shape: readonly number[];
}

/**
 * Finds the tensors of our parameter in a Hugging Face checkpoint; undefined when it has none of them. `prefix` is put
 * before every name.
 * @throws ApolloError BAD_CHECKPOINT for a wrong shape, or when only some of its parts are there.
 */
function locate(
  reader: Pick<TensorReader, 'tensors' | 'info'>,
  family: HuggingFaceFamily,
  spec: NamedShape,
  prefix: string,
): Located[] | undefined {
  const { names } = foreignTensors(spec);
  const shapes = partShapes(spec);
  const present = names.map((name) => (prefix ? `${prefix}${name}` : presentName(reader, family, name)));
  if (present.every((name) => name === undefined || !reader.tensors.has(name))) return undefined;
  const found = present.map((name, i) => ({ name: name ?? (names[i] as string), shape: shapes[i] as number[] }));
  for (const { name, shape } of found) reader.info(name, shape);
  return found;
}

/** The names of the tensors that `readForeign` would read; none when the checkpoint lacks the parameter. */
export function presentTensors(
  reader: Pick<TensorReader, 'tensors' | 'info'>,
  family: HuggingFaceFamily,
  spec: NamedShape,
): readonly string[] {
  return locate(reader, family, spec, '')?.map(({ name }) => name) ?? [];
}

/**
 * Reads our parameter from a Hugging Face checkpoint; undefined when the checkpoint has none of it (a bare encoder has
 * no head). `prefix` is put before every name (for files that hold gradients, say).
 * @throws ApolloError BAD_CHECKPOINT for a wrong shape or dtype, or when only some of its parts are there.
 */
export async function readForeign(
  reader: Pick<TensorReader, 'tensors' | 'info' | 'readFloat32'>,
  family: HuggingFaceFamily,
  spec: NamedShape,
  prefix = '',
): Promise<Float32Array | undefined> {
  const located = locate(reader, family, spec, prefix);
  if (!located) return undefined;
  const parts: Float32Array[] = [];
  for (const { name, shape } of located) parts.push(await reader.readFloat32(name, shape));
  return joinForeign(spec, parts);
}

/**
 * The tensors of a Hugging Face checkpoint that hold our parameter; `read` is called when they are written, once for
 * each. Where nothing is tied, a tensor that its library finds under the other name of a pair is written twice.
 */
export function writeForeign(
  { tied }: HuggingFaceFamily,
  spec: NamedShape,
  read: () => Promise<Float32Array>,
  isTied = true,
): TensorToWrite[] {
  const { names } = foreignTensors(spec);
  const shapes = partShapes(spec);
  const tensors = names.map(
    (name, index): TensorToWrite => ({
      name,
      dtype: 'F32',
      shape: shapes[index] as number[],
      data: async () => splitForeign(spec, await read(), index),
    }),
  );
  const second = isTied ? undefined : tied.find(({ name, prefersOther }) => prefersOther && name === names[0]);
  return second ? [...tensors, { ...(tensors[0] as TensorToWrite), name: second.other }] : tensors;
}

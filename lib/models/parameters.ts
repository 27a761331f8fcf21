/** Declarations of parameters: names, shapes, axes, initial values, decay, and their names in Hugging Face checkpoints. */
import type { Tensor } from '../engine/graph.js';
import type { Weights } from '../nn/layers.js';
import type { ModelConfig } from './config.js';
import { nameAt } from './layer-names.js';
import type { Axis, ForeignTensors, ParameterSpec, Span, TensorUse } from './model.js';

/** Units along an axis; `module` names the module that makes them, where they are a layer's own. */
export const span = (axis: Axis, size: number, module?: string): Span => ({ axis, size, ...(module && { module }) });

/** What modules may have besides their sizes. */
export interface ModuleOptions {
  /** The layer it belongs to. */
  readonly layer?: number;
  readonly use?: TensorUse | undefined;
  /** Whether there is a bias; default true. */
  readonly bias?: boolean;
  /** Its names in Hugging Face checkpoints, without `.weight` and `.bias`: one, or several whose outputs are joined. */
  readonly foreign?: readonly string[] | undefined;
  /** Theirs is [outputs, inputs]. */
  readonly transposed?: boolean;
}

const sizeOf = (columns: readonly Span[]): number => columns.reduce((sum, { size }) => sum + size, 0);

const identity = (part: string, layer: number | undefined): Pick<ParameterSpec, 'name' | 'part' | 'layer'> => ({
  name: nameAt(part, layer),
  part,
  ...(layer !== undefined && { layer }),
});

const foreignNames = (modules: readonly string[] | undefined, leaf: string, transposed = false): ForeignTensors[] =>
  modules ? [{ names: modules.map((module) => `${module}.${leaf}`), transposed }] : [];

/** A table [entries, hidden] that is looked up in, N(0, std), decayed. `foreign`: its whole name in checkpoints. */
export function table(
  name: string,
  rows: Span,
  columns: Span,
  std: number,
  { foreign, zeroRow }: { readonly foreign?: string | undefined; readonly zeroRow?: number | undefined } = {},
): ParameterSpec {
  return {
    ...identity(name, undefined),
    shape: [rows.size, columns.size],
    init: { kind: 'normal', std },
    decay: true,
    role: 'matrix',
    axes: { rows, columns: [columns] },
    ...(zeroRow !== undefined && { zeroRow }),
    ...(foreign !== undefined && { foreign: { names: [foreign], transposed: false } }),
  };
}

/** The weight [inputs, outputs], N(0, std) and decayed, and the bias of a linear module, zeros and not decayed. */
export function linear(
  module: string,
  inputs: Span,
  outputs: readonly Span[],
  std: number,
  options: ModuleOptions = {},
): ParameterSpec[] {
  const { layer, use, foreign, transposed } = options;
  const [weightNames] = foreignNames(foreign, 'weight', transposed);
  const weight: ParameterSpec = {
    ...identity(`${module}.weight`, layer),
    shape: [inputs.size, sizeOf(outputs)],
    init: { kind: 'normal', std },
    decay: true,
    role: 'matrix',
    axes: { rows: inputs, columns: outputs },
    ...(use && { use }),
    ...(weightNames && { foreign: weightNames }),
  };
  return options.bias === false ? [weight] : [weight, vector(`${module}.bias`, outputs, 'zeros', options)];
}

/** A vector, not decayed. `foreign` of the options: names of its module. */
function vector(
  part: string,
  columns: readonly Span[],
  init: 'zeros' | 'ones',
  { layer, use, foreign }: ModuleOptions,
): ParameterSpec {
  const [names] = foreignNames(foreign, part.slice(part.lastIndexOf('.') + 1));
  return {
    ...identity(part, layer),
    shape: [sizeOf(columns)],
    init: { kind: init },
    decay: false,
    role: 'vector',
    axes: { columns },
    ...(use && { use }),
    ...(names && { foreign: names }),
  };
}

/** A bias that stands alone, zeros and not decayed. `foreign`: its whole name in checkpoints. */
export function bias(name: string, columns: Span, foreign?: string): ParameterSpec {
  const spec = vector(name, [columns], 'zeros', {});
  return foreign === undefined ? spec : { ...spec, foreign: { names: [foreign], transposed: false } };
}

/** The weight (ones) and, unless `bias` is false, the bias (zeros) of a norm. */
export function norm(module: string, columns: Span, options: ModuleOptions = {}): ParameterSpec[] {
  const use = options.use ?? 'norm';
  const weight = vector(`${module}.weight`, [columns], 'ones', { ...options, use });
  return options.bias === false
    ? [weight]
    : [weight, vector(`${module}.bias`, [columns], 'zeros', { ...options, use })];
}

/** The head's output matrix [V, C] where it is not the word table; else nothing. `foreign`: its name in checkpoints. */
export const outputParameters = (
  { vocab, hidden, initStd, tied }: ModelConfig,
  foreign: string | undefined,
): ParameterSpec[] =>
  tied === false ? [table('head.output', span('vocab', vocab), span('hidden', hidden), initStd, { foreign })] : [];

/** What the head multiplies hidden states by, [V, C]: the word table, or a matrix of its own. */
export const outputMatrix = ({ vocab, hidden, tied }: ModelConfig, weights: Weights): Tensor =>
  weights(tied === false ? 'head.output' : 'embeddings.word', [vocab, hidden], 'matrix');

/** Declarations of parameters: names, shapes, axes, initial values, decay, and their names in Hugging Face checkpoints. */
import type { Tensor } from '../engine/graph.js';
import * as is from '../is.js';
import type { Weights } from '../nn/layers.js';
import type { ModelConfig } from './config.js';
import { nameAt } from './layer-names.js';
import type { Axis, ForeignTensors, ParameterSpec, Span, TensorUse } from './model.js';

const takesSpan = is.takes('span', { axis: is.axis, size: is.count, module: is.optional(is.name) });

/**
 * Units along an axis; `module` names the module that makes them, where they are a layer's own.
 * @example
 * const heads = span('heads', config.hidden, 'attention.value');
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function span(axis: Axis, size: number, module?: string): Span {
  takesSpan(axis, size, module);

  return { axis, size, ...(module !== undefined && { module }) };
}

/** Options of modules other than their sizes. */
export interface ModuleOptions {
  /** The layer it belongs to. */
  readonly layer?: number;
  /** Role of its weight and bias in growth; default: none for `linear`, 'norm' for `norm`. */
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

/** Options of {@link table}. */
export interface TableOptions {
  /** Its whole name in Hugging Face checkpoints. */
  readonly foreign?: string | undefined;
  /** A row that starts as zeros. */
  readonly zeroRow?: number | undefined;
}

const takesTable = is.takes('table', {
  name: is.name,
  rows: is.axisSpan,
  columns: is.axisSpan,
  std: is.positive,
  options: is.optional(is.options({ foreign: is.optional(is.name), zeroRow: is.optional(is.index) })),
});

/**
 * A table [rows, columns] that is looked up in, N(0, std), decayed.
 * @example
 * const spec = table('embeddings.word', span('vocab', config.vocabSize), span('hidden', config.hidden), config.initStd);
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function table(name: string, rows: Span, columns: Span, std: number, options: TableOptions = {}): ParameterSpec {
  takesTable(name, rows, columns, std, options);

  const { foreign, zeroRow } = options;
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

const takesLinear = is.takes('linear', {
  module: is.name,
  inputs: is.axisSpan,
  outputs: is.list(is.axisSpan, { least: 1 }),
  std: is.positive,
  options: is.optional(is.moduleOptions),
});

/**
 * The weight [inputs, outputs], N(0, std) and decayed, and the bias of a linear module, zeros and not decayed.
 * @example
 * const specs = linear('ffn.up', span('hidden', config.hidden), [span('ffn', config.ffn, 'ffn.up')], config.initStd, { layer: 0 });
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function linear(
  module: string,
  inputs: Span,
  outputs: readonly Span[],
  std: number,
  options: ModuleOptions = {},
): ParameterSpec[] {
  takesLinear(module, inputs, outputs, std, options);

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

const takesBias = is.takes('bias', { name: is.name, columns: is.axisSpan, foreign: is.optional(is.name) });

/**
 * A bias that stands alone, zeros and not decayed. `foreign`: its whole name in Hugging Face checkpoints.
 * @param name Name of the parameter.
 * @param columns What its elements stand for.
 * @param foreign Its whole name in Hugging Face checkpoints. Default: it has none there.
 * @example
 * const spec = bias('head.bias', span('vocab', config.vocabSize));
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function bias(name: string, columns: Span, foreign?: string): ParameterSpec {
  takesBias(name, columns, foreign);

  const spec = vector(name, [columns], 'zeros', {});
  return foreign === undefined ? spec : { ...spec, foreign: { names: [foreign], transposed: false } };
}

const takesNorm = is.takes('norm', {
  module: is.name,
  columns: is.axisSpan,
  options: is.optional(is.moduleOptions),
});

/**
 * The weight (ones) and, unless `bias` is false, the bias (zeros) of a norm.
 * @example
 * const specs = norm('attention.norm', span('hidden', config.hidden), { layer: 0 });
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function norm(module: string, columns: Span, options: ModuleOptions = {}): ParameterSpec[] {
  takesNorm(module, columns, options);

  const use = options.use ?? 'norm';
  const weight = vector(`${module}.weight`, [columns], 'ones', { ...options, use });
  return options.bias === false
    ? [weight]
    : [weight, vector(`${module}.bias`, [columns], 'zeros', { ...options, use })];
}

const takesOutputParameters = is.takes('outputParameters', { config: is.modelConfig, foreign: is.optional(is.name) });

/**
 * The head's output matrix [V, C] where it is not the word table; else nothing. `foreign`: its name in Hugging Face checkpoints.
 * @param config Configuration of the model; `tied` says whether the head has a matrix of its own.
 * @param foreign Name of the matrix in Hugging Face checkpoints. Default: it has none there.
 * @example
 * const specs = outputParameters(config, 'lm_head.weight');
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function outputParameters(config: ModelConfig, foreign?: string): ParameterSpec[] {
  takesOutputParameters(config, foreign);

  const { vocabSize, hidden, initStd, tied } = config;
  if (tied !== false) return [];
  return [table('head.output', span('vocab', vocabSize), span('hidden', hidden), initStd, { foreign })];
}

const takesOutputMatrix = is.takes('outputMatrix', { config: is.modelConfig, weights: is.weights });

/**
 * The head's matrix [V, C]: the word table, or a separate matrix.
 * @example
 * const matrix = outputMatrix(config, weights); // [V, C]
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function outputMatrix(config: ModelConfig, weights: Weights): Tensor {
  takesOutputMatrix(config, weights);

  const { vocabSize, hidden, tied } = config;
  return weights(tied === false ? 'head.output' : 'embeddings.word', [vocabSize, hidden], 'matrix');
}

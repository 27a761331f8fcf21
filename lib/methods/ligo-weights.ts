/**
 * LiGO's parameters and the weights made of them. The store holds the small model, frozen, as `small.…` (the layers'
 * tensors stacked, [L1, …]), and the operators as `operator.…`:
 *
 * - `operator.embeddings.width`: rows S of B_emb, for everything that reads or writes the residual stream
 * - `operator.layer.<l>.<module>.width`: S of B_Q, B_K, B_V and B_fc1, owned by layer l of the large model
 * - `operator.layer.<l>.<module>.<weight|bias>.depth`: its weights over the small layers
 *
 * All are computed in f32; matrices then take the dtype in which the small model's matrices come.
 */
import type { Tensor } from '../engine/graph.js';
import { cast, concat } from '../engine/ops/index.js';
import { type Shape, sameShape, size } from '../engine/shape.js';
import { ApolloError } from '../errors.js';
import { type DepthInit, initialDepthWeights, initialWidthRows, type WidthInit } from '../growth/index.js';
import { createModel, type ModelConfig, type ParameterSpec } from '../models/index.js';
import { blendLayers, operatorFlops, widenInputs, widenOutputs } from './ligo-operators.js';
import type { Reparameterisation, WeightSource } from './method.js';
import type { SmallModel } from './small-model.js';

export interface LigoInit {
  readonly width: WidthInit;
  readonly depth: DepthInit;
  /** Of width 'sel'; see growth/ligo.ts. */
  readonly selectionNoise: number;
  readonly seed: number;
}

export interface LigoWeights extends Reparameterisation {
  /** FLOPs of all weights' products, once. */
  readonly flops: number;
}

/** Whether a parameter of the store is one of LiGO's operators; the others are the frozen small model. */
export const isOperator = (name: string): boolean => name.startsWith('operator.');

/** A dimension that grows: the residual stream, or a layer's own queries, keys, values, feed-forward units. */
type Axis = 'embeddings' | 'attention.query' | 'attention.key' | 'attention.value' | 'ffn.up';

/** Which operators widen a module: the tie table of the paper's section 3.3. */
interface Ties {
  readonly inputs?: Axis;
  readonly outputs?: Axis;
}

const stream: Ties = { outputs: 'embeddings' };
const streamToStream: Ties = { inputs: 'embeddings', outputs: 'embeddings' };

const ties: Readonly<Record<string, Ties>> = {
  'embeddings.word': stream,
  'embeddings.position': stream,
  'embeddings.type': stream,
  'embeddings.norm': stream,
  'attention.query': { inputs: 'embeddings', outputs: 'attention.query' },
  'attention.key': { inputs: 'embeddings', outputs: 'attention.key' },
  'attention.value': { inputs: 'embeddings', outputs: 'attention.value' },
  'attention.output': { inputs: 'attention.value', outputs: 'embeddings' },
  'attention.norm': stream,
  'ffn.up': { inputs: 'embeddings', outputs: 'ffn.up' },
  'ffn.down': { inputs: 'ffn.up', outputs: 'embeddings' },
  'ffn.norm': stream,
  'final.norm': stream,
  // LiGO's head has an operator of its own (B_cls), which unties the decoder from the word table. Here they are one
  // tensor, or two that are widened alike, so B_cls = B_emb.
  'head.transform': streamToStream,
  'head.norm': stream,
  'head.output': stream,
  head: {},
};

/** Modules that lie side by side in one stored tensor. */
const fused: Readonly<Record<string, readonly string[]>> = {
  'attention.qkv': ['attention.query', 'attention.key', 'attention.value'],
};

/** A tensor of the model, or one of the blocks of columns that a fused one consists of. */
interface Block {
  /** What the store holds of the small model, [L1, …shape] for layers, else `shape`. */
  readonly stored: ParameterSpec;
  /** In the small model. */
  readonly shape: Shape;
  readonly depth?: ParameterSpec;
  /** Absent where the width stays. */
  readonly inputs?: ParameterSpec | undefined;
  readonly outputs?: ParameterSpec | undefined;
}

interface NameParts {
  readonly layer?: number;
  readonly module: string;
  /** 'weight' or 'bias'; of a table nothing. */
  readonly kind?: string;
}

/** `layer.3.attention.qkv.weight` is layer 3, module attention.qkv, kind weight. */
function partsOf(name: string): NameParts {
  const [, layer, module, kind] = /^(?:layer\.(\d+)\.)?(.+?)(?:\.(weight|bias))?$/.exec(name) as RegExpExecArray;
  return {
    module: module as string,
    ...(layer === undefined ? {} : { layer: Number(layer) }),
    ...(kind === undefined ? {} : { kind }),
  };
}

const joined = (...parts: (string | undefined)[]): string => parts.filter((part) => part !== undefined).join('.');

/** Columns [start, start + width) of every row of `values` [rows, columns]. */
function columnsOf(values: Float32Array, columns: number, start: number, width: number): Float32Array {
  if (width === columns) return values;
  const rows = values.length / columns;
  const taken = new Float32Array(rows * width);
  for (let row = 0; row < rows; row++) {
    const at = row * columns + start;
    taken.set(values.subarray(at, at + width), row * width);
  }
  return taken;
}

type InitialValue = (source: WeightSource) => Promise<Float32Array>;

/** Collects parameters, the way to their initial values, and the blocks of each weight. */
class Builder {
  readonly parameters = new Map<string, { spec: ParameterSpec; initial: InitialValue }>();
  readonly #shapes: ReadonlyMap<string, Shape>;
  #operators = 0;

  constructor(
    readonly model: ModelConfig,
    readonly small: SmallModel,
    readonly init: LigoInit,
  ) {
    const specs = createModel({ ...model, ...small }).parameters(small.layers);
    this.#shapes = new Map(specs.map(({ name, shape }) => [name, shape]));
  }

  /** The blocks, side by side, of the large model's weight `spec`. */
  blocks({ name, role }: ParameterSpec): Block[] {
    const { layer, module, kind } = partsOf(name);
    const whole = this.#shapes.get(layer === undefined ? name : joined('layer', '0', module, kind));
    if (!whole) throw new ApolloError('INTERNAL', `The small model has no parameter for "${name}".`);
    const modules = fused[module] ?? [module];
    const width = (whole.at(-1) as number) / modules.length;
    const shape = [...whole.slice(0, -1), width];
    return modules.map((part, index) => {
      const tie = ties[part];
      if (!tie) throw new ApolloError('INTERNAL', `LiGO has no operators for the module "${part}" of "${name}".`);
      const sources = layer === undefined ? [name] : this.#smallLayers().map((l) => joined('layer', l, module, kind));
      const stored: ParameterSpec = {
        name: joined('small', part, kind),
        shape: layer === undefined ? shape : [this.small.layers, ...shape],
        init: { kind: 'zeros' },
        decay: false,
        role,
      };
      this.#add(stored, async (source) => {
        const values = new Float32Array(size(stored.shape));
        for (const [place, from] of sources.entries()) {
          const read = await source.read(from);
          values.set(columnsOf(read, whole.at(-1) as number, index * width, width), place * size(shape));
        }
        return values;
      });
      return {
        stored,
        shape,
        ...(layer === undefined ? {} : { depth: this.#depth(layer, joined(part, kind)) }),
        inputs: shape.length === 2 ? this.#width(tie.inputs, layer) : undefined,
        outputs: this.#width(tie.outputs, layer),
      };
    });
  }

  #smallLayers(): string[] {
    return Array.from({ length: this.small.layers }, (_, layer) => String(layer));
  }

  #add(spec: ParameterSpec, initial: InitialValue): ParameterSpec {
    if (!this.parameters.has(spec.name)) this.parameters.set(spec.name, { spec, initial });
    return (this.parameters.get(spec.name) as { spec: ParameterSpec }).spec;
  }

  /** The operator `name`, made at its first use; `value` gets a number that is its own. */
  #operator(name: string, shape: Shape, value: (operator: number) => Float32Array): ParameterSpec {
    const known = this.parameters.get(name);
    if (known) return known.spec;
    const operator = this.#operators++;
    const spec: ParameterSpec = { name, shape, init: { kind: 'zeros' }, decay: true, role: 'vector' };
    return this.#add(spec, async () => value(operator));
  }

  #width(axis: Axis | undefined, layer: number | undefined): ParameterSpec | undefined {
    if (axis === undefined) return undefined;
    const dimension = axis === 'ffn.up' ? 'ffn' : 'hidden';
    const old = this.small[dimension];
    const added = this.model[dimension] - old;
    if (added === 0) return undefined;
    const name = axis === 'embeddings' ? 'operator.embeddings.width' : `operator.layer.${layer}.${axis}.width`;
    const { width, seed, selectionNoise } = this.init;
    return this.#operator(name, [added, old], (operator) =>
      initialWidthRows(width, { added, old }, { seed, operator }, selectionNoise),
    );
  }

  #depth(layer: number, part: string): ParameterSpec {
    const [small, large] = [this.small.layers, this.model.layers];
    const { depth, seed } = this.init;
    return this.#operator(`operator.layer.${layer}.${part}.depth`, [small], (operator) =>
      initialDepthWeights(depth, { layer, small, large }, { seed, operator }),
    );
  }
}

/** Blended first, then widened, as the released code does. `leaf` gives a stored tensor in f32. */
function expression(block: Block, leaf: (spec: ParameterSpec) => Tensor): Tensor {
  let x = leaf(block.stored);
  if (block.depth) x = blendLayers(leaf(block.depth), x);
  if (block.inputs) x = widenInputs(x, leaf(block.inputs));
  if (block.outputs) x = widenOutputs(x, leaf(block.outputs));
  return x;
}

const flopsOf = ({ shape, depth, inputs, outputs }: Block): number =>
  operatorFlops(shape, {
    layers: depth?.shape[0] ?? 0,
    inputs: inputs?.shape[0] ?? 0,
    outputs: outputs?.shape[0] ?? 0,
  });

/** The weights of `model` as expressions of those of a `small` one. */
export function ligoWeights(model: ModelConfig, small: SmallModel, init: LigoInit): LigoWeights {
  const builder = new Builder(model, small, init);
  const specs = createModel(model).parameters(model.layers);
  const weights = new Map(specs.map((spec) => [spec.name, { spec, blocks: builder.blocks(spec) }]));
  const { parameters } = builder;
  const blocks = [...weights.values()].flatMap((weight) => weight.blocks);
  return {
    parameters: [...parameters.values()].map(({ spec }) => spec),
    flops: blocks.reduce((sum, block) => sum + flopsOf(block), 0),
    async initial({ name }, source) {
      const parameter = parameters.get(name);
      if (!parameter) throw new ApolloError('INTERNAL', `LiGO has no parameter "${name}".`);
      return parameter.initial(source);
    },
    weights(_, base) {
      const leaves = new Map<string, Tensor>();
      const made = new Map<string, Tensor>();
      const once = (known: Map<string, Tensor>, name: string, make: () => Tensor): Tensor => {
        const tensor = known.get(name) ?? make();
        known.set(name, tensor);
        return tensor;
      };
      const leaf = ({ name, shape, role }: ParameterSpec) =>
        once(leaves, name, () => cast(base(name, shape, role), 'f32'));
      return (name, shape, role) => {
        const weight = weights.get(name);
        if (!weight || weight.spec.role !== role || !sameShape(weight.spec.shape, shape)) {
          throw new ApolloError(
            'INTERNAL',
            `The model asks for ${role} "${name}" [${shape.join(', ')}], which its parameters do not list so.`,
          );
        }
        return once(made, name, () => {
          const value = concat(
            weight.blocks.map((block) => expression(block, leaf)),
            -1,
          );
          const { stored } = weight.blocks[0] as Block;
          return cast(value, base(stored.name, stored.shape, stored.role).dtype);
        });
      };
    },
  };
}

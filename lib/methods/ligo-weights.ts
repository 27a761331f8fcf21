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
import { createModel, type ModelConfig, nameAt, type ParameterSpec, type Span } from '../models/index.js';
import { blendLayers, operatorFlops, widenInputs, widenOutputs } from './ligo-operators.js';
import { identityMap, type Reparameterisation, type WeightSource } from './method.js';
import { specsByPart } from './width-expansion.js';

export interface LigoInit {
  readonly width: WidthInit;
  readonly depth: DepthInit;
  /** Noise for width 'sel'; see growth/ligo.ts. */
  readonly selectionNoise: number;
  readonly seed: number;
}

export interface LigoWeights extends Reparameterisation {
  /** FLOPs of all weights' products, once. */
  readonly flops: number;
}

/** Whether a parameter of the store is one of LiGO's operators; the others are the frozen small model. */
export const isOperator = (name: string): boolean => name.startsWith('operator.');

/** A tensor of the model, or one of the blocks of columns that a fused one consists of. */
interface Block {
  /** The small model's parameter in the store, [L1, …shape] for layers, else `shape`. */
  readonly stored: ParameterSpec;
  /** In the small model. */
  readonly shape: Shape;
  readonly depth?: ParameterSpec;
  /** Absent where the width stays. */
  readonly inputs?: ParameterSpec | undefined;
  readonly outputs?: ParameterSpec | undefined;
}

/** `weight` of `attention.qkv.weight`. */
const leafOf = (part: string): string => part.slice(part.lastIndexOf('.') + 1);

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
  readonly #small: ReadonlyMap<string, ParameterSpec>;
  #operators = 0;

  constructor(
    readonly model: ModelConfig,
    readonly narrow: ModelConfig,
    readonly init: LigoInit,
  ) {
    this.#small = specsByPart(narrow);
  }

  /** The blocks, side by side, of the large model's weight `spec`. */
  blocks({ name, part, layer, role, axes: grown }: ParameterSpec): Block[] {
    const small = this.#small.get(part);
    if (!small?.axes || !grown) throw new ApolloError('INTERNAL', `The small model has no parameter for "${name}".`);
    const { rows, columns } = small.axes;
    const sources = layer === undefined ? [part] : identityMap(this.narrow.layers).map((each) => nameAt(part, each));
    const whole = small.shape.at(-1) as number;
    let start = 0;
    return columns.map((span, index) => {
      const { size: width, module } = span;
      const first = start;
      start += width;
      const shape = [...small.shape.slice(0, -1), width];
      // Modules that are side by side in one tensor are apart here.
      const own = columns.length === 1 ? part : `${module}.${leafOf(part)}`;
      const stored: ParameterSpec = {
        name: `small.${own}`,
        part: `small.${own}`,
        shape: layer === undefined ? shape : [this.narrow.layers, ...shape],
        init: { kind: 'zeros' },
        decay: false,
        role,
      };
      this.#add(stored, async (source) => {
        const values = new Float32Array(size(stored.shape));
        for (const [place, from] of sources.entries()) {
          values.set(columnsOf(await source.read(from), whole, first, width), place * size(shape));
        }
        return values;
      });
      return {
        stored,
        shape,
        ...(layer === undefined ? {} : { depth: this.#depth(layer, own) }),
        inputs: rows && this.#width(rows, grown.rows, layer),
        outputs: this.#width(span, grown.columns[index], layer),
      };
    });
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
    const spec: ParameterSpec = { name, part: name, shape, init: { kind: 'zeros' }, decay: true, role: 'vector' };
    return this.#add(spec, async () => value(operator));
  }

  /** The operator of the units of a span: of the residual stream, or of a layer's module that makes them. */
  #width({ axis, size: old, module }: Span, grown: Span | undefined, layer: number | undefined) {
    const added = (grown?.size ?? old) - old;
    if (added === 0) return undefined;
    const name = axis === 'hidden' ? 'operator.embeddings.width' : `operator.layer.${layer}.${module}.width`;
    const { width, seed, selectionNoise } = this.init;
    return this.#operator(name, [added, old], (operator) =>
      initialWidthRows(width, { added, old }, { seed, operator }, selectionNoise),
    );
  }

  #depth(layer: number, part: string): ParameterSpec {
    const [small, large] = [this.narrow.layers, this.model.layers];
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

/**
 * The weights of `model` as expressions of those of a `narrow` one. Of the tie table in the paper's section 3.3 a tensor's
 * axes say which operators widen it: all that reads or writes the residual stream has B_emb, and what reads a module's units
 * has that module's. LiGO's head has an operator of its own (B_cls), which unties the decoder from the word table; here they
 * are one tensor, or two that are widened alike, so B_cls = B_emb.
 */
export function ligoWeights(model: ModelConfig, narrow: ModelConfig, init: LigoInit): LigoWeights {
  const builder = new Builder(model, narrow, init);
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

/** Shared code of methods that start from a trained smaller model: its settings, and checks against the run's model. */
import { isDeepStrictEqual } from 'node:util';
import { z } from 'zod';
import { ApolloError } from '../errors.js';
import { checkWholeGroups, headSizeOf, type ModelConfig, structureOf, withShape } from '../models/index.js';
import type { InitialWeights, MethodContext } from './method.js';
import { positiveInteger } from './options.js';

/** Settings of a method that starts from a smaller model. */
export const smallModelOptions = {
  /** Sizes of the smaller model. */
  small: z.strictObject({
    /** Number of layers. */
    layers: positiveInteger,
    /** Width of the residual stream. */
    hidden: positiveInteger,
    /** Number of query heads. */
    heads: positiveInteger,
    /** Width of the feed-forward part. */
    ffn: positiveInteger,
  }),
  /** Where it is: folder of the run that trained it, of its checkpoints, of one, or a Hugging Face folder. */
  source: z.string('expected the folder of a trained smaller model ("apollo-lm compare" trains one by itself)').min(1),
};

export type SmallModel = z.output<typeof smallModelOptions.small>;

/**
 * Where a method starts and what it grows into: the finished model, the smaller one, and where that comes from.
 * @throws ApolloError BAD_CONFIG without a finished model, or naming the setting by which `small` cannot grow into it.
 */
export function fromSmallModel(
  name: string,
  { layers, small, source }: { readonly layers: number; readonly small: SmallModel; readonly source: string },
  context: MethodContext,
): { model: ModelConfig; narrow: ModelConfig; begin: Pick<InitialWeights, 'source' | 'check'> } {
  const model = finishedModel(name, context, layers);
  checkGrowsInto(name, small, model);
  const narrow = { ...withShape(model, small), layers: small.layers };
  return { model, narrow, begin: { source, check: (found, count) => checkSource(name, narrow, found, count) } };
}

/**
 * The finished model, as the method's context gives it.
 * @throws ApolloError BAD_CONFIG without one, or when its depth is not the setting `layers`.
 */
function finishedModel(name: string, { model }: MethodContext, layers: number): ModelConfig {
  if (!model) {
    throw new ApolloError(
      'BAD_CONFIG',
      `${name} grows in width and needs the finished model's configuration: createMethod('${name}', options, { model }).`,
    );
  }
  if (model.layers !== layers) {
    throw new ApolloError('BAD_CONFIG', `${name}.layers: expected the model's ${model.layers}; got ${layers}.`);
  }
  return model;
}

/** @throws ApolloError BAD_CONFIG naming the setting by which `small` cannot grow into `model`. */
function checkGrowsInto(name: string, small: SmallModel, model: ModelConfig): void {
  const fail = (setting: string, message: string): never => {
    throw new ApolloError('BAD_CONFIG', `${name}.small.${setting}: ${message}`);
  };
  for (const size of ['layers', 'hidden', 'heads', 'ffn'] as const) {
    if (small[size] > model[size]) fail(size, `must be at most the model's ${model[size]}; got ${small[size]}.`);
  }
  const headWidth = headSizeOf(model);
  if (small.hidden !== (small.heads * model.hidden) / model.heads) {
    fail(
      'heads',
      `whole heads are copied, so heads must have the model's ${headWidth} dimensions; got ${small.heads} heads in ${small.hidden}.`,
    );
  }
  checkWholeGroups(`${name}.small.heads`, small.heads, model);
}

/**
 * @throws ApolloError BAD_CONFIG unless the model in the checkpoint folder has the structure of `expected`.
 */
function checkSource(name: string, expected: ModelConfig, source: ModelConfig, layers: number): void {
  // A model with another epsilon computes nearly the same.
  const fieldsOf = (config: ModelConfig, depth: number) => {
    const { kind, epsilon, ...others } = structureOf(config);
    return { kind, layers: depth, ...others } as Readonly<Record<string, unknown>>;
  };
  const [wanted, found] = [fieldsOf(expected, expected.layers), fieldsOf(source, layers)];
  const wrong = Object.keys({ ...wanted, ...found }).filter((field) => !isDeepStrictEqual(wanted[field], found[field]));
  if (wrong.length === 0) return;
  const list = (fields: typeof found) => wrong.map((field) => `${field} ${fields[field]}`).join(', ');
  throw new ApolloError('BAD_CONFIG', `${name}.source: expected a model of ${list(wanted)}; it has ${list(found)}.`);
}

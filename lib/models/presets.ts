/**
 * Named model structures. The families declare them: the paper's Table 5 (small, base, large) and two sizes for machines
 * without an accelerator (mini, nano), all with heads of 64.
 */
import { ApolloError } from '../errors.js';
import * as is from '../is.js';
import { unknownName } from '../suggest.js';
import { type ModelConfig, withDefaults } from './config.js';
import { allFamilies } from './registry.js';

/**
 * The names of all presets.
 * @example
 * presetNames().includes('gpt-nano')
 */
export function presetNames(): string[] {
  return allFamilies().flatMap(({ presets }) => Object.keys(presets));
}

const size = is.optional(is.anyNumber);
/** Fields of all families; what a value may be is the configuration's rule. */
const common = {
  layers: size,
  hidden: size,
  heads: size,
  ffn: size,
  vocabSize: size,
  maxPositions: size,
  dropout: size,
  attentionDropout: size,
  epsilon: size,
  initStd: size,
  activation: is.optional(is.string),
  tied: is.optional(is.boolean),
};

const takesPreset = is.takes('preset', { name: is.string, changes: is.record });

/**
 * The configuration called `name`, with some fields changed.
 * @param name Name of the preset, one of `presetNames()`.
 * @param changes Fields of the configuration in place of those of the preset. Default: none.
 * @example
 * ```ts
 * preset('bert-nano', { vocabSize: 4096, dropout: 0 });
 * ```
 * @throws ApolloError BAD_CONFIG for an unknown name or field, or fields that do not fit together.
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function preset(name: string, changes: Partial<Omit<ModelConfig, 'kind'>> = {}): ModelConfig {
  takesPreset(name, changes);

  const family = allFamilies().find(({ presets }) => Object.hasOwn(presets, name));
  const sizes = family?.presets[name];
  if (!family || !sizes) {
    throw new ApolloError('BAD_CONFIG', `There is no model preset ${unknownName(name, presetNames())}`);
  }
  const own = Object.keys(family.fields).map((field) => [field, is.anything] as const);
  is.argument('preset: changes', changes, is.options({ ...common, ...Object.fromEntries(own) }));
  return withDefaults({ kind: family.kind, ...sizes, ...changes });
}

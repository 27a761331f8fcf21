/** All model families. */
import { describe } from '../arguments.js';
import { ApolloError, check } from '../errors.js';
import * as is from '../is.js';
import { bertFamily } from './bert/family.js';
import type { ModelFamily } from './family.js';
import { gptFamily } from './gpt/family.js';
import { llamaFamily } from './llama/family.js';
import type { ObjectiveName } from './model.js';

const families = new Map(
  [bertFamily, gptFamily, llamaFamily].map((family): [string, ModelFamily] => [family.kind, family]),
);

/** The kinds of the package's own families. */
export const ownKinds: readonly string[] = [...families.keys()];

/**
 * The values that `kind` of a configuration can have.
 * @example
 * familyKinds() // ['bert', 'gpt', 'llama'] and registered families
 */
export function familyKinds(): string[] {
  return [...families.keys()];
}

/** @throws ApolloError BAD_CONFIG for a kind that no family has. */
export function familyOf({ kind }: { readonly kind: string }): ModelFamily {
  const family = families.get(kind);
  if (family) return family;
  const known = familyKinds().map((each) => JSON.stringify(each));
  throw new ApolloError('BAD_CONFIG', `model.kind must be one of ${known.join(', ')}; got ${describe(kind)}.`);
}

/** The training objective of models of this configuration. @throws ApolloError BAD_CONFIG for a kind that no family has. */
export function objectiveOf(config: { readonly kind: string }): ObjectiveName {
  return familyOf(config).objective;
}

/** Every family. */
export function allFamilies(): ModelFamily[] {
  return [...families.values()];
}

const takesRegisterFamily = is.takes('registerFamily', { family: is.modelFamily });

/**
 * Adds a family from outside the package, under whose `kind` and presets models can then be made, trained and resumed.
 * ```ts
 * registerFamily(ownFamily);
 * const model = createModel(preset('own-nano'));
 * ```
 * @throws ApolloError BAD_ARGUMENT when its kind, or one of its presets, exists.
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function registerFamily(family: ModelFamily): void {
  takesRegisterFamily(family);
  check(!families.has(family.kind), `registerFamily: there is a family "${family.kind}" already`);
  const taken = Object.keys(family.presets).find((name) => allFamilies().some(({ presets }) => name in presets));
  check(taken === undefined, `registerFamily: there is a preset "${taken}" already`);
  families.set(family.kind, family);
}

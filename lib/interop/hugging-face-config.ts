/** Hugging Face's config.json, to and from our model configuration. */
import { ApolloError } from '../errors.js';
import { ForeignConfig, type ForeignJson } from '../models/foreign-config.js';
import type { HuggingFaceFamily, ModelConfig, ModelFamily } from '../models/index.js';
import { allFamilies, familyOf } from '../models/registry.js';

/** A family whose models can be read from Hugging Face folders. */
type ForeignFamily = ModelFamily & { readonly huggingFace: HuggingFaceFamily };

const foreignFamilies = (): ForeignFamily[] =>
  allFamilies().filter((family): family is ForeignFamily => family.huggingFace !== undefined);

/**
 * How models of this kind are stored in Hugging Face folders.
 * @throws ApolloError BAD_ARGUMENT for a family without such folders.
 */
export function huggingFaceOf(config: Pick<ModelConfig, 'kind'>): HuggingFaceFamily {
  const { title, huggingFace } = familyOf(config);
  if (huggingFace) return huggingFace;
  throw new ApolloError('BAD_ARGUMENT', `Models of the family ${title} have no form in Hugging Face's library.`);
}

/**
 * Our configuration of a Hugging Face model. Fields that are missing take Hugging Face's defaults where they do not
 * decide sizes. The result is validated where a model is made of it.
 * @throws ApolloError BAD_CHECKPOINT for another architecture, or a setting our models do not compute.
 */
export function configFromHuggingFace(json: ForeignJson, source = 'config.json'): ModelConfig {
  const foreign = new ForeignConfig(json, source);
  const families = foreignFamilies().map(({ huggingFace }) => huggingFace);
  const family = families.find(({ modelTypes }) => modelTypes.includes(json['model_type'] as string));
  if (!family) {
    const known = families
      .flatMap(({ modelTypes }) => modelTypes)
      .map((type) => `"${type}"`)
      .join(', ');
    return foreign.reject(`model_type is ${JSON.stringify(json['model_type'])}; known: ${known}.`);
  }
  for (const [key, allowed] of Object.entries(family.supported)) foreign.check(key, allowed);
  return family.readConfig(foreign);
}

/** The config.json with which Hugging Face's class of the language model computes what our model computes. */
export function configToHuggingFace(config: ModelConfig): ForeignJson {
  const family = huggingFaceOf(config);
  const { modelType, languageModel } = family.classesOf(config);
  return { architectures: [languageModel], model_type: modelType, ...family.writeConfig(config) };
}

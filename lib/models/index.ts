/** Models as other rooms see them: what users have (public.ts), and what only this package needs. */
export { configurableFields, structureOf, validateModelConfig, withDefaults, withShape } from './config.js';
export { checkWholeGroups, groupSizeOf, headSizeOf, keyValueHeadsOf } from './heads.js';
export {
  declarationOf,
  declareParameters,
  declareSpecs,
  drawnValue,
  initialiseParameters,
  initialiseSpecs,
  initialValue,
} from './init.js';
export { atPlace, isBehindLayers, isEmbedding, layerOf, nameAt, ofOtherLayer } from './layer-names.js';
export * from './model.js';
export * from './public.js';
export { familyOf, objectiveOf, ownKinds } from './registry.js';

/** A trained model that a run starts from. */
import { ApolloError } from '../errors.js';
import { type ModelFolder, openModelFolder } from './checkpoint/model-folder.js';

/**
 * Opens the model in `path`, of which every layer must have weights of its own.
 * @throws ApolloError BAD_CONFIG when its run was not at its full depth, BAD_CHECKPOINT when there is no model or it is
 * damaged.
 */
export async function openSource(path: string, seed: number): Promise<ModelFolder> {
  const source = await openModelFolder(path, { seed });
  const { config, folder, layers, layerMap } = source;
  if (layerMap.length === layers) return source;
  await source.close();
  throw new ApolloError(
    'BAD_CONFIG',
    `source: ${folder} holds a model that was still growing (${layers} of ${config.layers} layers). Complete its training.`,
  );
}

/** Message about a model without a recorded training cost. */
export function unknownCosts({ folder }: ModelFolder): string {
  return `The training cost of the model in ${folder} is unknown; neither the run nor a report counts it.`;
}

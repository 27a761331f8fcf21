/** A trained model seen at the depth of the finished one, or with its stored layers alone. */
import type { WeightSource } from '../../methods/method.js';
import { atPlace } from '../../models/index.js';
import type { ModelFolder } from './model-folder.js';

/**
 * The model at the depth of the finished one, each place with the weights of the stored layer that is there ('full'),
 * or the stored layers alone. Both are the same unless it was still growing.
 */
export function atDepth(source: WeightSource & Pick<ModelFolder, 'layerMap'>, depth: 'full' | 'stored'): WeightSource {
  if (depth === 'stored') return { ...source, config: { ...source.config, layers: source.layers } };
  const { layerMap } = source;
  return {
    config: { ...source.config, layers: layerMap.length },
    layers: layerMap.length,
    read: (name) => source.read(atPlace(name, layerMap)),
  };
}

/**
 * A network by its places: its program names the layer at place i `layer.i`, and a layer map says which of the store's
 * layers that is. All layers have equal shapes, so networks of one depth share a program.
 */
import type { ParameterNames } from '../engine/binding.js';
import type { LayerMap } from '../growth/index.js';
import { atPlace } from '../models/index.js';

/** The store's name of a program's parameter, in a network of this map. */
export function storedNames(layerMap: LayerMap): ParameterNames {
  return (name) => atPlace(name, layerMap);
}

/** Names of a layer's parameters: `layer.<index>.<part>`. The only place that reads a layer's number out of a name. */

const ofLayer = /^layer\.(\d+)\./;

/** The name of a part of a layer, or of one that no layer owns. */
export const nameAt = (part: string, layer: number | undefined): string =>
  layer === undefined ? part : `layer.${layer}.${part}`;

/** The layer that a parameter belongs to; undefined for embeddings, final norm and head. */
export function layerOf(name: string): number | undefined {
  const layer = ofLayer.exec(name)?.[1];
  return layer === undefined ? undefined : Number(layer);
}

/** The name of the same parameter of another layer. */
export function ofOtherLayer(name: string, layer: number): string {
  return name.replace(ofLayer, `layer.${layer}.`);
}

/** The name of the weights of a place: that of the layer which the map puts there. What no layer owns keeps its name. */
export function atPlace(name: string, layerMap: readonly number[]): string {
  const place = layerOf(name);
  return place === undefined ? name : ofOtherLayer(name, layerMap[place] as number);
}

/** Whether a parameter belongs to the embeddings. */
export const isEmbedding = (name: string): boolean => name.startsWith('embeddings.');

/** Whether a parameter is behind the layers: the final norm and the head's own. */
export const isBehindLayers = (name: string): boolean => name.startsWith('final.') || name.startsWith('head.');

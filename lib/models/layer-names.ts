/** Names of a layer's parameters: `layer.<index>.…`, see parameters.ts. */

const ofLayer = /^layer\.(\d+)\./;

/** The layer that a parameter belongs to; undefined for embeddings, final norm and head. */
export function layerOf(name: string): number | undefined {
  const layer = ofLayer.exec(name)?.[1];
  return layer === undefined ? undefined : Number(layer);
}

/** The name of the same parameter of another layer. */
export function ofOtherLayer(name: string, layer: number): string {
  return name.replace(ofLayer, `layer.${layer}.`);
}

/** Digest that identifies a trained model independent of its location. */
import { createHash } from 'node:crypto';
import { createModel } from '../../models/index.js';
import type { ModelFolder } from './model-folder.js';

/**
 * SHA-256 of a model's weights and layer map: it does not depend on location or file format, so a
 * checkpoint and its export in f32 have the same digest.
 */
export async function digestOf(source: ModelFolder): Promise<string> {
  const hash = createHash('sha256');
  const { config, layers, layerMap } = source;
  const { kind, heads, activation } = config; // an activation that is not named is left out, and changes no digest
  hash.update(JSON.stringify({ kind, heads, layers, layerMap, activation }));
  for (const { name, shape } of createModel(config).parameters(layers)) {
    const { buffer, byteOffset, byteLength } = await source.read(name);
    hash.update(JSON.stringify({ name, shape }));
    hash.update(new Uint8Array(buffer, byteOffset, byteLength));
  }
  return hash.digest('hex');
}

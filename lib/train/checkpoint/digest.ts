/** What names a trained model wherever it lies. */
import { createHash } from 'node:crypto';
import { createModel } from '../../models/index.js';
import type { ModelFolder } from './model-folder.js';

/**
 * SHA-256 of a model's weights and layer map: what names it wherever it lies and in whatever files, so a checkpoint and
 * its export in f32 have the same.
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

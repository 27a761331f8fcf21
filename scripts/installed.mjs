// Exits 0 when node_modules holds what package-lock.json asks for, by comparing it with the lock that npm keeps inside
// node_modules; packages for other platforms may be absent. Lets scripts/setup.sh skip `npm ci`.
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..');

function lockedPackages(path) {
  try {
    return JSON.parse(readFileSync(join(root, path), 'utf8')).packages;
  } catch {
    return {};
  }
}

const wanted = Object.entries(lockedPackages('package-lock.json')).filter(([path]) => path !== '');
const installed = lockedPackages('node_modules/.package-lock.json');
const complete = wanted.every(([path, entry]) => {
  const found = installed[path];
  if (!found || !existsSync(join(root, path, 'package.json'))) return entry.optional === true && !found;
  return found.version === entry.version && found.integrity === entry.integrity;
});
process.exitCode = wanted.length > 0 && complete ? 0 : 1;

// Publishes the tarballs of scripts/package.mjs: the engines first, then the package that names them, so that no version
// of it asks for an engine that npm does not have. What npm has already is left out: a run that failed can be repeated.
//
//   node scripts/publish.mjs [--dry-run] [--tag TAG] [--packages FOLDER]
//
//   --dry-run   checks everything and shows what would be published; some platforms may be missing
//   --tag       the version's tag; must be v and the version of package.json
//   --packages  where the tarballs are; default: build/package
// In GitHub's workflows npm adds the provenance: which commit and workflow a tarball is from.
import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { root, targets } from './package/targets.mjs';

const { values: options } = parseArgs({
  options: {
    'dry-run': { type: 'boolean', default: false },
    tag: { type: 'string' },
    packages: { type: 'string', default: join(root, 'build/package') },
  },
});
const fail = (message) => {
  console.error(`publish: ${message}`);
  process.exit(1);
};

const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
if (options.tag !== undefined && options.tag !== `v${version}`)
  fail(`the tag is ${options.tag}, but package.json has version ${version}; expected v${version}`);

/** The manifest inside of a tarball. */
const manifestOf = (file) =>
  JSON.parse(execFileSync('tar', ['-xzOf', file, 'package/package.json'], { encoding: 'utf8' }));

/** Checks a tarball against its sum and its name; returns what is published. */
function checked(name, file) {
  const path = join(options.packages, file);
  if (!existsSync(path)) return undefined;
  const sum = createHash('sha256').update(readFileSync(path)).digest('hex');
  const said = existsSync(`${path}.sha256`) && readFileSync(`${path}.sha256`, 'utf8').split(' ')[0];
  if (sum !== said) fail(`${path} has the SHA-256 ${sum}, but ${file}.sha256 says ${said || 'nothing'}`);
  const manifest = manifestOf(path);
  if (manifest.name !== name || manifest.version !== version)
    fail(`${file} holds ${manifest.name} ${manifest.version}; expected ${name} ${version}`);
  for (const hook of ['preinstall', 'install', 'postinstall'])
    if (manifest.scripts?.[hook]) fail(`${file} has an install script (${hook})`);
  if (!manifest.repository && !options['dry-run'])
    fail(`${file} names no repository, which npm's provenance needs: set "repository" in package.json`);
  return { name, path, engines: Object.keys(manifest.optionalDependencies ?? {}) };
}

const engines = Object.keys(targets).map((target) => [`@apollo-lm/${target}`, `apollo-lm-${target}-${version}.tgz`]);
const packages = [...engines, ['apollo-lm', `apollo-lm-${version}.tgz`]].map(([name, file]) => {
  const found = checked(name, file);
  if (!found && !options['dry-run']) fail(`${file} is missing in ${options.packages}`);
  if (!found) console.log(`missing: ${file}`);
  return found;
});
const main = packages.at(-1);
for (const name of main?.engines ?? [])
  if (!engines.some(([known]) => known === name)) fail(`apollo-lm asks for ${name}, for which there is no package`);

const isPublished = (name) =>
  spawnSync('npm', ['view', `${name}@${version}`, 'version'], { encoding: 'utf8' }).stdout.trim() !== '';
const flags = ['--access', 'public', ...(process.env.GITHUB_ACTIONS ? ['--provenance'] : [])];
for (const { name, path } of packages.filter(Boolean)) {
  if (options['dry-run']) {
    execFileSync('npm', ['publish', path, '--access', 'public', '--dry-run', '--loglevel=error'], { stdio: 'inherit' });
  } else if (isPublished(name)) {
    console.log(`${name}@${version} is there already`);
  } else {
    execFileSync('npm', ['publish', path, ...flags], { stdio: 'inherit' });
  }
}

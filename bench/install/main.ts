/**
 * npm run bench:install: what `npm install` of this package takes beside better-sqlite3, sharp and @tensorflow/tfjs: seconds
 * with an empty cache, bytes, packages, install scripts. This package comes from the tarballs of scripts/package.mjs through a
 * registry on this machine, its dependencies and the others from npm's registry; how long the tarballs would take from there is
 * estimated by the speed of downloads in the same run. Install scripts are counted and not run, since they download from
 * elsewhere or compile: seconds and bytes of packages that have some are lower bounds. Writes JSON where --out names a file.
 */
import { execFile } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { Command } from 'commander';
import { textTable } from '../../lib/report/table.js';
import { whole } from '../options.js';
import { spread } from '../statistics.js';
import { type LocalPackage, serveTarballs } from './registry.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const o = new Command('bench:install')
  .description('Installs this package and others with an empty cache, one after the other.')
  .option('--packages <folder>', 'tarballs of scripts/package.mjs', join(root, 'build/package'))
  .option('--repeats <n>', 'rounds; each installs every package once', whole, 5)
  .option('--out <file>', 'where the figures are written, as JSON')
  .parse()
  .opts<{ packages: string; repeats: number; out?: string }>();

const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
const { targets } = (await import(new URL('../../scripts/package/targets.mjs', import.meta.url).href)) as {
  targets: Record<string, { npm: object }>;
};
const main = `apollo-lm-${version}.tgz`;
for (const file of [main, `apollo-lm-${process.platform}-${process.arch}-${version}.tgz`]) {
  if (!existsSync(join(o.packages, file))) {
    console.error(`${file} is missing in ${o.packages}: run "node scripts/package.mjs" first`);
    process.exit(1);
  }
}
const engines: LocalPackage[] = Object.entries(targets).map(([name, { npm }]) => ({
  name: `@apollo-lm/${name}`,
  version,
  fields: npm,
}));
const registry = await serveTarballs(resolve(o.packages), [{ name: 'apollo-lm', version, fields: {} }, ...engines]);

interface Installed {
  readonly version: string;
  readonly seconds: number;
  readonly packages: number;
  readonly scripts: number;
  /** Of all tarballs. */
  readonly packedBytes: number;
  /** Of these, from the registry on this machine. */
  readonly localBytes: number;
  readonly unpackedBytes: number;
}

const filesBelow = (folder: string): string[] =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));

/** Bytes of the tarballs that npm has downloaded, by address; its cache may list one twice. */
function downloaded(cache: string): ReadonlyMap<string, number> {
  const prefix = 'make-fetch-happen:request-cache:';
  const entries = filesBelow(join(cache, '_cacache/index-v5')).flatMap((file) =>
    readFileSync(file, 'utf8')
      .split('\n')
      .filter((line) => line.includes('.tgz'))
      .map((line) => JSON.parse(line.slice(line.indexOf('\t') + 1)) as { key: string; size: number })
      .filter(({ key }) => key.startsWith(prefix) && key.endsWith('.tgz'))
      .map(({ key, size }): [string, number] => [key.slice(prefix.length), size]),
  );
  return new Map(entries);
}

/** Never synchronous: this process is the registry meanwhile. */
const execute = promisify(execFile);
const npm = (args: string[], cwd: string) => execute('npm', args, { cwd, encoding: 'utf8' });

/** Installs one package in an empty folder, with an empty cache and nobody's settings. */
async function install(name: string): Promise<Installed> {
  const work = mkdtempSync(join(tmpdir(), 'bench-install-'));
  const [project, cache] = [join(work, 'project'), join(work, 'cache')];
  mkdirSync(project);
  writeFileSync(join(project, 'package.json'), '{ "name": "empty", "version": "1.0.0", "private": true }\n');
  writeFileSync(join(project, '.npmrc'), `@apollo-lm:registry=${registry.url}\n`);
  const wanted = name === 'apollo-lm' ? `${registry.url}/${main}` : name;
  const args = [
    'install',
    '--no-audit',
    '--no-fund',
    '--no-update-notifier',
    '--loglevel=error',
    '--ignore-scripts',
    '--cache',
    cache,
    wanted,
  ];
  const started = performance.now();
  await npm(args, project);
  const seconds = (performance.now() - started) / 1000;
  const lock = JSON.parse(readFileSync(join(project, 'node_modules/.package-lock.json'), 'utf8')) as {
    packages: Record<string, { version: string; hasInstallScript?: boolean }>;
  };
  const entries = Object.values(lock.packages);
  const tarballs = [...downloaded(cache)];
  const sum = (list: readonly number[]) => list.reduce((a, b) => a + b, 0);
  const result = {
    version: lock.packages[`node_modules/${name}`]!.version,
    seconds,
    packages: entries.length,
    scripts: entries.filter(({ hasInstallScript }) => hasInstallScript).length,
    packedBytes: sum(tarballs.map(([, bytes]) => bytes)),
    localBytes: sum(tarballs.filter(([url]) => url.startsWith(registry.url)).map(([, bytes]) => bytes)),
    unpackedBytes: sum(filesBelow(join(project, 'node_modules')).map((file) => statSync(file).size)),
  };
  rmSync(work, { recursive: true });
  return result;
}

/** Bytes a second that npm's registry gives, by one large tarball. */
async function networkSpeed(): Promise<number> {
  const work = mkdtempSync(join(tmpdir(), 'bench-install-'));
  const started = performance.now();
  const args = ['pack', '@tensorflow/tfjs-core@4.22.0', '--cache', join(work, 'cache'), '--pack-destination', work];
  const { stdout } = await npm([...args, '--silent'], work);
  const seconds = (performance.now() - started) / 1000;
  const bytes = statSync(join(work, stdout.trim())).size;
  rmSync(work, { recursive: true });
  return bytes / seconds;
}

const names = ['apollo-lm', 'better-sqlite3', 'sharp', '@tensorflow/tfjs'];
const runs = new Map<string, Installed[]>(names.map((name) => [name, []]));
const speeds: number[] = [];
for (let round = 0; round < o.repeats; ++round) {
  speeds.push(await networkSpeed());
  // Each round starts with another one, so that none is always first.
  for (let i = 0; i < names.length; ++i) {
    const name = names[(round + i) % names.length]!;
    const result = await install(name);
    runs.get(name)!.push(result);
    console.error(`round ${round + 1} of ${o.repeats}: ${name} ${result.seconds.toFixed(1)} s`);
  }
}
await registry.close();

const speed = spread(speeds);
const table = names.map((name) => {
  const list = runs.get(name)!;
  const seconds = spread(list.map((run) => run.seconds));
  const { seconds: _, ...sizes } = list.at(-1)!;
  return { name, seconds, secondsOverNetwork: seconds.median + sizes.localBytes / speed.median, ...sizes };
});
const mega = (bytes: number) => (bytes / 1e6).toFixed(1);
console.log(
  textTable([
    ['package', 'seconds (min to max)', 'tarballs from npm', 'MB packed', 'MB unpacked', 'packages', 'install scripts'],
    ...table.map(({ name, seconds, ...row }) => [
      `${name} ${row.version}`,
      `${seconds.median.toFixed(1)} (${seconds.min.toFixed(1)} to ${seconds.max.toFixed(1)})`,
      row.localBytes > 0 ? `${row.secondsOverNetwork.toFixed(1)} (estimate)` : 'measured',
      mega(row.packedBytes),
      mega(row.unpackedBytes),
      String(row.packages),
      String(row.scripts),
    ]),
  ]),
);
console.log(
  `npm's registry: ${mega(speed.median)} MB/s (${mega(speed.min)} to ${mega(speed.max)}), by npm pack of one tarball`,
);
if (o.out) {
  const machine = {
    cpu: cpus()[0]?.model,
    cores: cpus().length,
    node: process.version,
    date: new Date().toISOString(),
  };
  writeFileSync(
    o.out,
    `${JSON.stringify({ machine, repeats: o.repeats, bytesPerSecond: speed, table }, undefined, 2)}\n`,
  );
}

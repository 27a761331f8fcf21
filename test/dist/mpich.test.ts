/** Two ranks over MPICH, next to the MPI library that the package is built for: a second libapollo_mpi.so, made here. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { temporaryFolder } from '../cli/support.js';
import { plainEnv, typescript } from '../typescript.js';
import { child } from './mpirun.js';
import { buffersTask, checkBuffers, type OfBuffers } from './of-buffers.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const missing = ['mpicxx.mpich', 'mpiexec.mpich'].find((name) => spawnSync(name, ['--version']).error);
const folder = temporaryFolder();

t.test(
  'ranks of MPICH',
  { skip: missing ? `there is no ${missing} (Debian: libmpich-dev, mpich)` : false },
  async (t) => {
    const library = join(folder, 'libapollo_mpi.so');
    const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
    const abi = spawnSync(process.execPath, ['scripts/abi.mjs'], { cwd: root, encoding: 'utf8' }).stdout.trim();
    const compiled = spawnSync(
      'mpicxx.mpich',
      [
        ...[
          '-std=c++20',
          '-O1',
          '-fPIC',
          '-shared',
          '-I',
          'native',
          `-DAPOLLO_VERSION="${version}"`,
          `-DAPOLLO_ABI=${abi}`,
        ],
        ...['native/comm/mpi/mpi.cc', '-o', library],
      ],
      { cwd: root, encoding: 'utf8' },
    );
    t.equal(compiled.status, 0, compiled.stderr);

    const ranks = (name: string, task: object): OfBuffers[] => {
      const own = join(folder, name);
      mkdirSync(own);
      const command = [process.execPath, ...typescript, child, JSON.stringify({ ...task, folder: own })];
      const env = { ...plainEnv, APOLLO_MPI_LIBRARY: library };
      const { status, stderr } = spawnSync('mpiexec.mpich', ['-np', '2', ...command], { env, encoding: 'utf8' });
      t.equal(status, 0, stderr);
      return [0, 1].map((rank) => JSON.parse(readFileSync(join(own, `rank-${rank}.json`), 'utf8')) as OfBuffers);
    };
    checkBuffers(t, ranks('buffers', buffersTask()));
    const options = { steps: 16, batch: 2, evaluateEvery: 0, learningRate: 1e-3 };
    const trained = ranks('train', { what: 'train', kind: 'gpt', method: 'apollo', options }) as unknown as {
      losses: number[];
    }[];
    t.equal(trained[0]!.losses.length, 16);
    t.same(trained[1]!.losses, trained[0]!.losses, 'all ranks know the same losses');
  },
);

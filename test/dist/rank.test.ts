import t from 'tap';
import { rankOf } from '../../lib/dist/index.js';

const mpirun = { OMPI_COMM_WORLD_RANK: '3', OMPI_COMM_WORLD_SIZE: '4', OMPI_COMM_WORLD_LOCAL_RANK: '1' };
const srun = { SLURM_PROCID: '3', SLURM_NTASKS: '4', SLURM_LOCALID: '1', SLURM_STEP_ID: '0' };
const torchrun = { RANK: '3', WORLD_SIZE: '4', LOCAL_RANK: '1' };
const place = { rank: 3, size: 4, localRank: 1 };

t.test('each launcher is understood', async (t) => {
  t.same(rankOf({ HOME: '/' }), { rank: 0, size: 1, localRank: 0 }, 'none');
  t.same(rankOf(mpirun), place, 'Open MPI');
  t.same(rankOf({ PMI_RANK: '3', PMI_SIZE: '4', MPI_LOCALRANKID: '1' }), place, 'MPICH');
  t.same(rankOf({ PMI_RANK: '3', PMI_SIZE: '4' }), { ...place, localRank: undefined });
  t.same(rankOf(srun), place, 'Slurm');
  t.same(rankOf(torchrun), place, 'torchrun');
  t.same(rankOf({ ...mpirun, OMPI_COMM_WORLD_RANK: '0', OMPI_COMM_WORLD_SIZE: '1' }).size, 1, 'mpirun -np 1');
});

t.test('launchers that agree are one', async (t) => {
  t.same(rankOf({ ...mpirun, PMIX_RANK: '3' }), place);
  t.same(rankOf({ ...srun, PMIX_RANK: '3' }), place, 'srun --mpi=pmix');
  t.match(rankOf({ ...srun, PMI_RANK: '3', PMI_SIZE: '4' }), { rank: 3, size: 4 }, 'srun --mpi=pmi2');
  t.same(rankOf({ ...torchrun, ...mpirun }), place);
});

t.test('variables of Slurm that are not about this process are left out', async (t) => {
  const { SLURM_STEP_ID: _, ...batch } = { ...srun, SLURM_PROCID: '0' };
  t.equal(rankOf(batch).size, 1, 'a batch script');
  t.equal(rankOf({ ...batch, SLURM_STEP_ID: '4294967291' }).size, 1, "the batch script's own step");
  t.same(rankOf({ ...srun, SLURM_PROCID: '0', ...mpirun }), place, 'the daemon of mpirun');
});

t.test('launchers that disagree are an error that names both', async (t) => {
  t.throws(() => rankOf({ ...mpirun, ...torchrun, RANK: '2' }), {
    code: 'BAD_CONFIG',
    message: /Open MPI says OMPI_COMM_WORLD_RANK=3, OMPI_COMM_WORLD_SIZE=4; torchrun says RANK=2, WORLD_SIZE=4/,
  });
  t.throws(() => rankOf({ ...srun, ...torchrun, WORLD_SIZE: '8' }), { message: /Slurm says .*; torchrun says/ });
  t.throws(() => rankOf({ ...mpirun, PMIX_RANK: '1' }), { message: /Open MPI says .*; PMIx says PMIX_RANK=1/ });
});

t.test('what cannot be a rank is refused', async (t) => {
  t.throws(() => rankOf({ RANK: 'x', WORLD_SIZE: '4' }), {
    code: 'BAD_CONFIG',
    message: /RANK must be a whole number/,
  });
  t.throws(() => rankOf({ RANK: '4', WORLD_SIZE: '4' }), { code: 'BAD_CONFIG', message: /ranks are 0 to 3/ });
  t.throws(() => rankOf({ PMIX_RANK: '1' }), { code: 'BAD_CONFIG', message: /the number of ranks is missing/ });
  t.equal(rankOf({ RANK: '1' }).size, 1, 'one variable alone is no launcher');
});

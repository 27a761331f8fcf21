/** Which of how many processes this one is, from the variables that launchers set. Pure functions of an environment. */
import { ApolloError } from '../errors.js';
import * as is from '../is.js';

/** Environment variables, as `process.env`. */
export type Environment = Readonly<Record<string, string | undefined>>;

export interface RankPlace {
  readonly rank: number;
  /** Ranks in all. */
  readonly size: number;
  /** Number among the ranks of this host, where the launcher provides it. */
  readonly localRank?: number | undefined;
}

/** Name of the launcher. */
interface Source {
  readonly name: string;
  readonly rank: string;
  /** Absent: it does not provide the size. */
  readonly size?: string;
  readonly localRank?: string;
  /** Whether its variables are about this process. Default: where they are set. */
  readonly applies?: (env: Environment) => boolean;
}

const mpirunSets = (env: Environment) => env['OMPI_COMM_WORLD_RANK'] !== undefined || env['PMI_RANK'] !== undefined;

/** Whether a launcher of MPI, or srun with its help, has started this process. */
export const startedByMpi = (env: Environment): boolean => mpirunSets(env) || env['PMIX_RANK'] !== undefined;

const sources: readonly Source[] = [
  {
    name: 'Open MPI',
    rank: 'OMPI_COMM_WORLD_RANK',
    size: 'OMPI_COMM_WORLD_SIZE',
    localRank: 'OMPI_COMM_WORLD_LOCAL_RANK',
  },
  { name: 'MPICH or Intel MPI', rank: 'PMI_RANK', size: 'PMI_SIZE', localRank: 'MPI_LOCALRANKID' },
  { name: 'PMIx', rank: 'PMIX_RANK' },
  {
    name: 'Slurm',
    rank: 'SLURM_PROCID',
    size: 'SLURM_NTASKS',
    localRank: 'SLURM_LOCALID',
    // A batch script has them as well, as if it were a task, and hands them on; only tasks of srun have a step's number.
    // Under mpirun they are those of the daemon that started this process.
    applies: (env) => /^\d{1,9}$/.test(env['SLURM_STEP_ID'] ?? '') && !mpirunSets(env),
  },
  { name: 'torchrun', rank: 'RANK', size: 'WORLD_SIZE', localRank: 'LOCAL_RANK' },
];

/** The rank that one launcher sets, with its environment variables. */
interface Told {
  readonly rank: number;
  readonly size?: number | undefined;
  readonly localRank?: number | undefined;
  readonly text: string;
}

function wholeNumber(env: Environment, variable: string): number {
  const text = env[variable]!;
  if (/^\d{1,9}$/.test(text)) return Number(text);
  throw new ApolloError('BAD_CONFIG', `${variable} must be a whole number, set by the launcher; got "${text}".`);
}

function told({ name, applies = () => true, ...variables }: Source, env: Environment): Told[] {
  const { rank, size, localRank } = variables;
  if (env[rank] === undefined || (size !== undefined && env[size] === undefined) || !applies(env)) return [];
  const shown = [rank, ...(size === undefined ? [] : [size])].map((variable) => `${variable}=${env[variable]}`);
  return [
    {
      rank: wholeNumber(env, rank),
      size: size === undefined ? undefined : wholeNumber(env, size),
      localRank: localRank === undefined || env[localRank] === undefined ? undefined : wholeNumber(env, localRank),
      text: `${name} says ${shown.join(', ')}`,
    },
  ];
}

const takesRankOf = is.takes('rankOf', { env: is.record });

/**
 * The rank of this process as its launcher sets it: mpirun, srun or torchrun. Without a launcher it is the only one.
 * @throws ApolloError BAD_CONFIG where two launchers disagree, naming both, or one sets impossible values; BAD_ARGUMENT.
 */
export function rankOf(env: Environment): RankPlace {
  takesRankOf(env);
  const all = sources.flatMap((source) => told(source, env));
  const first = all.find(({ size }) => size !== undefined) ?? all[0];
  if (!first) return { rank: 0, size: 1, localRank: 0 };
  const other = all.find(({ rank, size = first.size }) => rank !== first.rank || size !== first.size);
  if (other) {
    throw new ApolloError(
      'BAD_CONFIG',
      `Two launchers disagree about the rank of this process: ${first.text}; ${other.text}. ` +
        'Unset the variables of the one that did not start it.',
    );
  }
  const { rank, size, text } = first;
  if (size === undefined || rank >= size) {
    throw new ApolloError(
      'BAD_CONFIG',
      `${text}, which is not a rank of a group: ${size === undefined ? 'the number of ranks is missing' : `ranks are 0 to ${size - 1}`}.`,
    );
  }
  return { rank, size, localRank: all.find(({ localRank }) => localRank !== undefined)?.localRank };
}

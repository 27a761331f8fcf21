/** The files for clusters: they parse, what they call exists, and the batch script starts, requeues and resumes as it says. */
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { parseAllDocuments } from 'yaml';
import { launcherArguments, mpiexec } from '../../bench/launcher.js';
import { run } from '../../lib/cli/run.js';
import { memoryIo, temporaryFolder } from '../cli/support.js';
import { tinyConfig } from '../cli/tiny.js';
import { noMpi } from '../dist/mpirun.js';
import { plainEnv } from '../typescript.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const fileOf = (name: string) => join(root, 'examples/cluster', name);

interface Container {
  readonly image: string;
  readonly command: readonly string[];
  readonly args?: readonly string[];
  readonly volumeMounts: readonly { readonly name: string }[];
}

interface Replicas {
  readonly replicas: number;
  readonly template: {
    readonly spec: {
      readonly containers: readonly Container[];
      readonly volumes: readonly {
        readonly name: string;
        readonly persistentVolumeClaim: { readonly claimName: string };
      }[];
    };
  };
}

interface MpiJob {
  readonly kind: string;
  readonly apiVersion: string;
  readonly metadata: { readonly name: string };
  readonly spec: {
    readonly slotsPerWorker: number;
    readonly mpiReplicaSpecs: { readonly Launcher: Replicas; readonly Worker: Replicas };
  };
}

/** Whether every option of `train` in a command is one. */
async function checkOptions(t: Test, command: string): Promise<void> {
  const io = memoryIo();
  await run(['train', '--help'], io);
  const used = command.slice(command.indexOf('main.js train')).match(/--[a-z][a-z-]*/g) ?? [];
  t.ok(used.length >= 2, command);
  for (const option of used) t.ok(io.out().includes(`${option} `), option);
}

t.test('the MPIJob', async (t) => {
  const documents = parseAllDocuments(readFileSync(fileOf('mpijob.yaml'), 'utf8'));
  for (const { errors } of documents) t.same(errors, []);
  const [claim, job] = documents.map((document) => document.toJS() as MpiJob) as [MpiJob, MpiJob];
  t.match(job, { kind: 'MPIJob', apiVersion: 'kubeflow.org/v2beta1' });
  const { Launcher, Worker } = job.spec.mpiReplicaSpecs;
  const script = Launcher.template.spec.containers[0]!.args![0]!;
  t.equal(spawnSync('bash', ['-n'], { input: script }).status, 0);
  t.match(script, new RegExp(`-np ${Worker.replicas * job.spec.slotsPerWorker} `));
  await checkOptions(t, script);
  for (const { template } of [Launcher, Worker]) {
    const { containers, volumes } = template.spec;
    t.same(
      containers[0]!.volumeMounts.map(({ name }) => name),
      volumes.map(({ name }) => name),
    );
    t.equal(volumes[0]!.persistentVolumeClaim.claimName, claim.metadata.name);
    t.equal(containers[0]!.image, Launcher.template.spec.containers[0]!.image);
  }
});

t.test('the batch script', { skip: noMpi }, async (t) => {
  const script = readFileSync(fileOf('train.sbatch'), 'utf8');
  await checkOptions(t, `main.js train ${script.slice(script.indexOf('train=('), script.indexOf('# --mpi'))}`);
  const folder = temporaryFolder();
  const [bin, modules] = [join(folder, 'bin'), join(folder, 'node_modules')];
  for (const path of [bin, modules]) mkdirSync(path);
  symlinkSync(root, join(modules, 'apollo-lm'));
  writeFileSync(join(folder, 'run.json'), readFileSync(tinyConfig(folder, { steps: 30, evaluateEvery: 30 })));
  const program = (name: string, text: string) => {
    writeFileSync(join(bin, name), `#!/bin/bash\n${text}\n`);
    chmodSync(join(bin, name), 0o755);
  };
  const launcher = [mpiexec, ...launcherArguments([{ ranks: 2, command: [] }])].join(' ');
  // What mpirun takes of srun's arguments begins after the options. The first call is stopped by the signal.
  program(
    'srun',
    `while [[ $1 == --* ]]; do shift; done\n[ -e stopped ] || { touch stopped; exit 130; }\n${launcher} "$@"`,
  );
  program('scontrol', 'echo "$@" >> requeued');
  const job = () =>
    spawnSync('bash', [fileOf('train.sbatch')], {
      cwd: folder,
      encoding: 'utf8',
      env: {
        ...plainEnv,
        PATH: `${bin}:${process.env['PATH']}`,
        SLURM_SUBMIT_DIR: folder,
        SLURM_CPUS_PER_TASK: '1',
        SLURM_JOB_ID: '7',
      },
    });
  t.equal(job().status, 130);
  t.equal(readFileSync(join(folder, 'requeued'), 'utf8'), 'requeue 7\n');
  const first = job();
  t.equal(first.status, 0, first.stderr);
  t.ok(existsSync(join(folder, 'runs/four/checkpoints/step-00000030/state.json')));
  const again = job();
  t.equal(again.status, 0, again.stderr);
  t.match(again.stderr, /resumed from .*step-00000030/);
});

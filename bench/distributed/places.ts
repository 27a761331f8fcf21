/** Where ranks run: on this machine, or in network namespaces whose links have a rate (scripts/namespaces.sh, as root). */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

export interface Place {
  readonly name: string;
  /** Rate of each link, as tc writes it; absent: the ranks share memory. */
  readonly rate?: string;
  /** The same in bits per second. */
  readonly bits?: number;
}

export const places: readonly Place[] = [
  { name: 'one machine' },
  { name: '1 Gbit/s', rate: '1gbit', bits: 1e9 },
  { name: '100 Mbit/s', rate: '100mbit', bits: 1e8 },
];

export const ranks = 2;

const root = fileURLToPath(new URL('../..', import.meta.url));
const script = 'scripts/namespaces.sh';
const loader = ['--import=./scripts/ts-loader.mjs', '--enable-source-maps'];
/** Names of namespaces of this process alone. */
const namespaces = `bench${process.pid}`;

function shell(args: readonly string[]): string {
  const { status, stdout, stderr } = spawnSync('bash', [script, ...args], { cwd: root, encoding: 'utf8' });
  if (status !== 0) throw new Error(`${script} ${args.join(' ')}: ${stderr.trim()}`);
  return stdout;
}

/** Does `work` with a way to start ranks at the place, which is made for it and removed again. */
export async function atPlace<Value>({ rate }: Place, work: (site: Site) => Promise<Value>): Promise<Value> {
  if (!rate) {
    const launch: Launch = (command) =>
      lines('mpirun', ['--allow-run-as-root', '--oversubscribe', ...common, ...command]);
    return work({ launch, start: starter(launch), address: '127.0.0.1' });
  }
  shell(['create', namespaces, String(ranks)]);
  const cleared = () => {
    for (const child of running) child.kill('SIGKILL');
    shell(['remove', namespaces]);
  };
  const stopped = () => {
    cleared();
    process.exit(1);
  };
  for (const signal of signals) process.on(signal, stopped);
  try {
    shell(['shape', namespaces, rate]);
    const launch: Launch = (command) => lines('bash', [script, 'mpirun', namespaces, ...common, ...command]);
    const [address] = shell(['hosts', namespaces]).trim().split(',');
    return await work({ launch, start: starter(launch), address: address!, network: 'eth0' });
  } finally {
    for (const signal of signals) process.off(signal, stopped);
    cleared();
  }
}

/** A place while it is there. */
export interface Site {
  readonly start: Start;
  readonly launch: Launch;
  /** Of the first rank, and the name of the interface that it belongs to, where the ranks have one of their own. */
  readonly address: string;
  readonly network?: string;
}

const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
/** Processes that were started and have not ended. */
const running = new Set<ChildProcess>();

/** Starts the ranks of a program; the lines of JSON that they print. */
export type Launch = (command: readonly string[]) => Promise<Readonly<Record<string, unknown>>[]>;
/** The same of a TypeScript file. */
export type Start = (file: string, args: readonly string[]) => ReturnType<Launch>;

const starter =
  (launch: Launch): Start =>
  (file, args) =>
    launch([process.execPath, ...loader, file, ...args]);

const common = ['--bind-to', 'none', '-np', String(ranks)];

/** One process, without a launcher. */
export const alone: Start = (file, args) => lines(process.execPath, [...loader, file, ...args]);

async function lines(command: string, args: readonly string[]) {
  const child = spawn(command, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] });
  running.add(child);
  let [out, err] = ['', ''];
  child.stdout.on('data', (chunk: Buffer) => {
    out += chunk;
  });
  child.stderr.on('data', (chunk: Buffer) => {
    err += chunk;
  });
  const code = await new Promise((resolve) => child.on('close', resolve));
  running.delete(child);
  if (code !== 0) throw new Error(`${command} ${args.join(' ')} ended with ${code}: ${err.slice(-2000)}`);
  return out
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}

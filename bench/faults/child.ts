/** Child processes of the programme: the command line as a user calls it, killed, or with a shim in front of the C library. */
import { spawn } from 'node:child_process';

export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
  readonly ms: number;
}

export interface ChildOptions {
  readonly env?: Readonly<Record<string, string>>;
  /** Kills the process by SIGKILL after this time. */
  readonly killMs?: number;
  /** A process that takes longer hangs: it is killed and reported with the signal SIGABRT. */
  readonly timeoutMs?: number;
  readonly cwd?: string;
}

/** Runs `node ARGS` to its end. */
export function node(args: readonly string[], options: ChildOptions = {}): Promise<Ended> {
  const { env, killMs, timeoutMs = 300e3, cwd } = options;
  const started = performance.now();
  const { NODE_OPTIONS: _, ...inherited } = process.env;
  const child = spawn(process.execPath, args, {
    cwd,
    env: { ...inherited, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const output = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('utf8').on('data', (text: string) => {
      // The programme reads stdout to its end; of stderr the last lines say what went wrong.
      output[name] = name === 'stdout' ? output[name] + text : (output[name] + text).slice(-20_000);
    });
  }
  let hung = false;
  const timers = [
    setTimeout(() => {
      hung = true;
      child.kill('SIGKILL');
    }, timeoutMs),
    ...(killMs === undefined ? [] : [setTimeout(() => child.kill('SIGKILL'), killMs)]),
  ];
  return new Promise((resolve) => {
    child.on('close', (code, signal) => {
      for (const timer of timers) clearTimeout(timer);
      resolve({ code, signal: hung ? 'SIGABRT' : signal, ...output, ms: performance.now() - started });
    });
  });
}

/** Why an ended process is not a clean success or one clear error; undefined when it is. */
export function complaint({ code, signal, stderr }: Ended): string | undefined {
  const last = stderr.trim().split('\n').slice(-4).join(' / ');
  if (signal === 'SIGABRT') return `hangs: ${last}`;
  if (signal) return `ended by ${signal}: ${last}`;
  if (code !== 0 && code !== 1 && code !== 130) return `exit code ${code}: ${last}`;
  if (/\n {4}at .*\(?.*:\d+:\d+\)?/.test(stderr)) return `a stack trace: ${last}`;
  if (/This is a defect of apollo-lm/.test(stderr)) return `called a defect: ${last}`;
  return undefined;
}

/** The part of the process that a command uses: its streams and its environment. Tests pass their own. */
import { basename, relative } from 'node:path';
import { ignoresHangup } from './hangup.js';
import { ProcessOutput } from './output.js';

/** Standard input, as text or bytes. */
export interface Input extends AsyncIterable<string | Uint8Array> {
  readonly isTTY?: boolean | undefined;
}

export interface Output {
  /** Never throws: what cannot be written is dropped, see `lost`. */
  write(text: string): unknown;
  readonly isTTY?: boolean | undefined;
  readonly columns?: number | undefined;
  /** Why nothing can be written any more: the reader has closed the pipe (EPIPE), the disk is full. */
  readonly lost?: Error | undefined;
  /** Calls back when that happens, until the returned function is called. */
  onLost?(callback: (error: Error) => void): () => void;
  /** Waits until all that was written is out, or lost. */
  flush?(): Promise<void>;
}

/** Signals that stop a command cleanly. */
const stopSignals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
export type StopSignal = (typeof stopSignals)[number];

export interface CommandIo {
  /** Text that is piped in; absent: none. */
  readonly stdin?: Input;
  /** Results, for people or (--json) for programs. */
  readonly stdout: Output;
  /** Progress and messages. */
  readonly stderr: Output;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** How this program was called, for messages that name a command. */
  readonly program: string;
  /** Milliseconds that this process took to start; absent: none. */
  readonly startMs?: number;
  /** Milliseconds that only go forward. */
  readonly now: () => number;
  /** Calls back at each Ctrl-C and other signal to stop until the returned function is called. */
  readonly onInterrupt: (callback: (signal: StopSignal) => void) => () => void;
  /** Ends the process at once; the second Ctrl-C. */
  readonly exit: (code: number) => void;
}

/** The process's own. */
export function processIo(): CommandIo {
  if (ignoresHangup()) process.on('SIGHUP', () => {}); // without a listener it would end the process
  const signals = stopSignals.filter((signal) => signal !== 'SIGHUP' || !ignoresHangup());
  return {
    get stdin() {
      return process.stdin; // a stream that nothing looks at does not keep the process
    },
    stdout: new ProcessOutput(process.stdout),
    stderr: new ProcessOutput(process.stderr),
    env: process.env,
    program: programName(process.argv[1]),
    startMs: performance.now(), // since the process started
    now: () => performance.now(),
    onInterrupt(callback) {
      for (const signal of signals) process.on(signal, callback);
      return () => {
        for (const signal of signals) process.off(signal, callback);
      };
    },
    exit: (code) => process.exit(code),
  };
}

/** `npx apollo-lm` for an installed package, `node dist/cli/main.js` in a clone. */
export function programName(script = ''): string {
  if (basename(script) === 'apollo-lm' || script.includes('node_modules')) return 'npx apollo-lm';
  return `node ${relative('', script) || 'dist/cli/main.js'}`;
}

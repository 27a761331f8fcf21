/** What a command may read, as text or its bytes. */
export interface Input extends AsyncIterable<string | Uint8Array> {
  readonly isTTY?: boolean | undefined;
}

/** What a command may touch of the process: its streams and its environment. Tests hand in their own. */
import { basename, relative } from 'node:path';

export interface Output {
  write(text: string): unknown;
  readonly isTTY?: boolean | undefined;
  readonly columns?: number | undefined;
}

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
  /** Milliseconds that only go forward. */
  readonly now: () => number;
  /** Calls back at each Ctrl-C until the returned function is called. */
  readonly onInterrupt: (callback: () => void) => () => void;
  /** Ends the process at once; the second Ctrl-C. */
  readonly exit: (code: number) => void;
}

/** The process's own. */
export function processIo(): CommandIo {
  return {
    get stdin() {
      return process.stdin; // a stream that nothing looks at does not keep the process
    },
    stdout: process.stdout,
    stderr: process.stderr,
    env: process.env,
    program: programName(process.argv[1]),
    now: () => performance.now(),
    onInterrupt(callback) {
      process.on('SIGINT', callback);
      process.on('SIGTERM', callback);
      return () => {
        process.off('SIGINT', callback);
        process.off('SIGTERM', callback);
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

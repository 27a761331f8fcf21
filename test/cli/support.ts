/** A terminal in memory for the tests of commands. */
import type { CommandIo, StopSignal } from '../../lib/cli/io.js';
import { loadAddon } from '../../lib/engine/native.js';
import { temporaryFolder as temporary } from '../temporary.js';

export interface MemoryIo extends CommandIo {
  out(): string;
  err(): string;
  /** Presses Ctrl-C, or sends another signal. */
  interrupt(signal?: StopSignal): void;
  readonly exits: number[];
}

export function memoryIo(
  options: {
    isTTY?: boolean;
    /** Content of stdin. */
    stdin?: readonly (string | Uint8Array)[];
    env?: Record<string, string>;
    onWrite?: (text: string, io: MemoryIo) => void;
  } = {},
): MemoryIo {
  const written = { out: '', err: '' };
  const listeners = new Set<(signal: StopSignal) => void>();
  const stream = (to: 'out' | 'err') => ({
    isTTY: options.isTTY,
    columns: 100,
    write(text: string) {
      written[to] += text;
      options.onWrite?.(text, io);
    },
  });
  let time = 0;
  const { stdin } = options;
  const io: MemoryIo = {
    ...(stdin && {
      stdin: {
        async *[Symbol.asyncIterator]() {
          yield* stdin;
        },
      },
    }),
    stdout: stream('out'),
    stderr: stream('err'),
    env: options.env ?? {},
    program: 'apollo-lm',
    now: () => (time += 1),
    onInterrupt(callback) {
      listeners.add(callback);
      return () => listeners.delete(callback);
    },
    exit: (code) => io.exits.push(code),
    out: () => written.out,
    err: () => written.err,
    interrupt: (signal = 'SIGINT') => {
      for (const listener of [...listeners]) listener(signal);
    },
    exits: [],
  };
  return io;
}

export const temporaryFolder = (): string => temporary('apollo-cli-');

/** The reason to skip a test that needs the native engine, or false. */
export function engineMissing(): string | false {
  try {
    loadAddon();
    return false;
  } catch {
    return 'the native engine is not built';
  }
}

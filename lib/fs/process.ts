/** Which process a file belongs to, and whether that process still runs. */
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';

/** A process of some machine. */
export interface ProcessMark {
  readonly host: string;
  readonly pid: number;
  /** When it started, in the system's own units (Linux: clock ticks since boot); 0 where that is not known. */
  readonly start: number;
}

/** The process's start and state by /proc; undefined where there is no such file. */
function procStat(pid: number): { readonly start: number; readonly state: string } | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1');
    // The second field is the program's name in parentheses and may hold anything; the state follows it.
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    return { state: fields[0] ?? '', start: Number(fields[19]) || 0 };
  } catch {
    return undefined;
  }
}

export function ownMark(): ProcessMark {
  return { host: hostname(), pid: process.pid, start: procStat(process.pid)?.start ?? 0 };
}

/** The process's mark as part of a file's name: `HOST-PID-START`. */
export function markText({ host, pid, start }: ProcessMark): string {
  return `${host}-${pid}-${start}`;
}

export function parseMark(text: string): ProcessMark | undefined {
  const [, host, pid, start] = /^(.+)-(\d+)-(\d+)$/.exec(text) ?? [];
  return host === undefined ? undefined : { host, pid: Number(pid), start: Number(start) };
}

/**
 * Whether a process of this machine still runs: there is one with its id that started when it did and has not ended. A
 * process of another machine cannot be asked; the answer is true.
 */
export function isRunning({ host, pid, start }: ProcessMark): boolean {
  if (host !== hostname()) return true;
  const stat = procStat(pid);
  if (stat)
    return stat.state !== 'Z' && stat.state !== 'X' && (start === 0 || stat.start === 0 || stat.start === start);
  if (procStat(process.pid)) return false; // there is a /proc, without that process
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH';
  }
}

/** Twelve hexadecimal digits that no other name has. */
export const unique = (): string => randomBytes(6).toString('hex');

const writingPrefix = '.writing-';

/** A name next to the place of `name` for what this process has not finished writing. */
export const writingName = (name: string): string => `${writingPrefix}${markText(ownMark())}-${unique()}-${name}`;

/** Reads a `writingName`; without a writer where the name says none, undefined for other names. */
export function parseWritingName(
  entry: string,
): { readonly name: string; readonly writer?: ProcessMark | undefined } | undefined {
  if (!entry.startsWith(writingPrefix)) return undefined;
  const rest = entry.slice(writingPrefix.length);
  const [, mark, name] = /^(.+?-\d+-\d+)-[0-9a-f]{12}-(.+)$/.exec(rest) ?? [];
  return { name: name ?? rest, writer: mark === undefined ? undefined : parseMark(mark) };
}

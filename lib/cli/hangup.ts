/**
 * Whether this process was started to outlive its terminal (`nohup`). Node resets signals that are ignored when it starts, so
 * that nohup alone does not keep SIGHUP from ending it; what nohup leaves behind is looked for instead.
 */
import { readFileSync, readlinkSync } from 'node:fs';
import { basename } from 'node:path';

/** SIGHUP's bit in the masks of /proc/PID/status. */
const hangupBit = 1n;
const writeOnly = 1;

export function ignoresHangup(env: Readonly<Record<string, string | undefined>> = process.env): boolean {
  return (
    basename(env['_'] ?? '') === 'nohup' || // bash and zsh name the program that they started
    ignored('self') ||
    ignored(String(process.ppid)) || // a script that was itself started by nohup, or has `trap '' HUP`
    hasInputOfNohup()
  );
}

/** Whether a process ignores SIGHUP; false where there is no /proc. */
function ignored(pid: string): boolean {
  try {
    const mask = /^SigIgn:\s*([0-9a-f]+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1];
    return mask !== undefined && (BigInt(`0x${mask}`) & hangupBit) !== 0n;
  } catch {
    return false;
  }
}

/** In a terminal, GNU nohup opens /dev/null for writing as the input, which nothing else does. */
function hasInputOfNohup(): boolean {
  try {
    const flags = /^flags:\s*([0-7]+)$/m.exec(readFileSync('/proc/self/fdinfo/0', 'latin1'))?.[1];
    return readlinkSync('/proc/self/fd/0') === '/dev/null' && (Number.parseInt(flags ?? '0', 8) & 3) === writeOnly;
  } catch {
    return false;
  }
}

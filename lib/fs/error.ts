/** Errors of the file system in words: what was being written, where, and what the system's code means. */
import { ApolloError } from '../errors.js';

/** The meaning of a system error code, and advice. */
const meanings: Readonly<Record<string, readonly [meaning: string, advice?: string]>> = {
  ENOSPC: ['no space is left on the disk', 'Free space there, or name a folder on another disk'],
  EDQUOT: ['the disk quota is used up', 'Free space, or name a folder on another disk'],
  EFBIG: ['the file is larger than is allowed there', 'Name a folder on another disk, or raise the limit (ulimit -f)'],
  EACCES: ['permission is denied', 'Name another folder, or change its permissions'],
  EPERM: ['the operation is not permitted', 'Name another folder, or change its permissions'],
  EROFS: ['the file system is read-only', 'Name a folder that can be written'],
  EEXIST: ['something of that name is there already', 'Name another folder'],
  ENOTDIR: ['a file stands where a folder is needed', 'Name another folder'],
  EISDIR: ['a folder stands where a file is needed', 'Name another file, or move the folder away'],
  ENOENT: ['there is no such file or folder', 'Check the name'],
  ENOTEMPTY: ['the folder is not empty', 'Name another folder'],
  ENAMETOOLONG: ['the name is too long', 'Give a shorter one'],
  EINVAL: ['the file system does not take this name or operation', 'Name another folder'],
  ELOOP: ['symbolic links form a loop', 'Check the links'],
  EIO: ['the disk reports an input/output error', 'Check the disk, or name a folder on another one'],
  ENXIO: ['the device is not there', 'Name another folder'],
  ENODEV: ['the device is not there', 'Name another folder'],
  ESTALE: ['the network file system has lost the file', 'Mount it again'],
  ETIMEDOUT: ['the network file system does not answer', 'Check the connection'],
  EHOSTDOWN: ['the network file system does not answer', 'Check the connection'],
  ENOTCONN: ['the file system is not connected', 'Mount it again'],
  EMFILE: ['this process has too many open files', 'Raise the limit (ulimit -n)'],
  ENFILE: ['the system has too many open files', 'Close other programs'],
  ENOMEM: ['the system has no memory left', 'Close other programs'],
  EMLINK: ['the file has too many links'],
  EXDEV: ['the two names are on different disks', 'Name a folder on one disk'],
  ETXTBSY: ['the file is in use', 'Close the program that uses it'],
  EBUSY: ['the file or folder is in use', 'Close the program that uses it'],
  EPIPE: ['the reader has closed the pipe'],
};

/** Whether an error's code is that of the file system or of another system call. */
export function isSystemError(error: unknown): error is NodeJS.ErrnoException & { code: string } {
  if (!(error instanceof Error) || error instanceof ApolloError) return false;
  const { code, syscall, errno } = error as NodeJS.ErrnoException;
  return typeof code === 'string' && /^E[A-Z0-9]+$/.test(code) && (syscall !== undefined || errno !== undefined);
}

/** "no space is left on the disk (ENOSPC)". */
export function inWords(error: unknown): string {
  if (!isSystemError(error)) return error instanceof Error ? error.message : String(error);
  const meaning = meanings[error.code]?.[0];
  return meaning === undefined ? error.message : `${meaning} (${error.code})`;
}

/** An error of the file system as one of this package; any other error as it is. */
export function fileError(error: unknown, what: string, path: string, verb = 'be written'): unknown {
  if (!isSystemError(error)) return error;
  const named = error.path !== undefined && error.path !== path ? ` (at ${error.path})` : '';
  const advice = meanings[error.code]?.[1];
  return new ApolloError(
    'FILE_SYSTEM',
    `${what} cannot ${verb}: ${path === '' ? 'the name of the file or folder is empty' : `${path}: ${inWords(error)}${named}`}.` +
      (path === '' ? ' Give a name.' : advice === undefined ? '' : ` ${advice}.`),
    { cause: error },
  );
}

/**
 * Does file work whose errors are to name `what` and `path`: "The checkpoint of step 20 cannot be written: runs/a: no
 * space is left on the disk (ENOSPC). …"
 * @throws ApolloError FILE_SYSTEM for errors of the file system; others as they are.
 */
export async function writing<Result>(what: string, path: string, work: () => Promise<Result>): Promise<Result> {
  try {
    return await work();
  } catch (error) {
    throw fileError(error, what, path);
  }
}

/** Reads a JSON file, plain or gzip, with errors that name the file and the place. */
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import { firstInvalid } from '../../data/utf8.js';
import { ApolloError } from '../../errors.js';

const unpack = promisify(gunzip);

/**
 * The value in a JSON file. Packed data are known by their first bytes, whatever the file is called.
 * @throws ApolloError BAD_CORPUS when the file cannot be read, is damaged gzip, not UTF-8 or not JSON; ABORT_ERR.
 */
export async function readJson(path: string, { signal }: { readonly signal?: AbortSignal } = {}): Promise<unknown> {
  const stored = await readFile(path, signal ? { signal } : {}).catch((error: NodeJS.ErrnoException) => {
    if (error.name === 'AbortError') throw new ApolloError('ABORT_ERR', `Reading ${path} was stopped.`);
    const reason = { ENOENT: 'There is no such file', EISDIR: 'It is a folder' }[error.code ?? ''] ?? error.message;
    throw bad(`${path} cannot be read: ${reason}.`, error);
  });
  const packed = stored[0] === 0x1f && stored[1] === 0x8b;
  const bytes = packed
    ? await unpack(stored).catch((error: Error) => {
        throw bad(`${path} is damaged gzip data (${error.message}). Copy it again.`, error);
      })
    : stored;
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes); // drops a byte order mark
  } catch {
    const where = `byte ${firstInvalid(bytes)}${packed ? ' of the unpacked text' : ''}`;
    throw bad(`${path} is not UTF-8: ${where} does not fit. Convert it, for example with iconv.`);
  }
  if (text.trim() === '') throw bad(`${path} is empty.`);
  try {
    return JSON.parse(text);
  } catch (error) {
    throw bad(`${path} is not JSON: ${placed((error as Error).message, text)}. Was it cut off, or is it a web page?`);
  }
}

/** The parser's message, with the line and column for its position. */
function placed(message: string, text: string): string {
  const position = /at position (\d+)/.exec(message)?.[1];
  if (position === undefined) return message.replace(/, \.*".*$/s, '');
  const before = text.slice(0, Number(position));
  const line = before.split('\n').length;
  const column = before.length - before.lastIndexOf('\n');
  return `${message.replace(/ \(line .*\)$/, '')} (line ${line}, column ${column})`;
}

function bad(message: string, cause?: Error): ApolloError {
  return new ApolloError('BAD_CORPUS', message, cause ? { cause } : {});
}

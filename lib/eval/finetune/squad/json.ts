/** Reads a JSON file, plain or packed, or JSON lines, with errors that name the file and the place. */
import { readFile } from 'node:fs/promises';
import { parseJson } from '../../../data/read/json.js';
import { unpackWhole } from '../../../data/read/unpack/index.js';
import { firstInvalid } from '../../../data/read/utf8.js';
import { ApolloError } from '../../../errors.js';
import { isUtf16, savedAsUtf16 } from '../../../fs/utf16.js';

/**
 * The value in a JSON file; for JSON lines (several objects, one per line) a list of them. Packed data are known by their first
 * bytes, regardless of the file's name.
 * @throws ApolloError BAD_CORPUS when the file cannot be read, is packed and damaged, not UTF-8 or not JSON; ABORT_ERR.
 */
export async function readJson(path: string, { signal }: { readonly signal?: AbortSignal } = {}): Promise<unknown> {
  const stored = await readFile(path, signal ? { signal } : {}).catch((error: NodeJS.ErrnoException) => {
    if (error.name === 'AbortError') throw new ApolloError('ABORT_ERR', `Reading ${path} was stopped.`);
    const reason = { ENOENT: 'There is no such file', EISDIR: 'It is a folder' }[error.code ?? ''] ?? error.message;
    throw bad(`${path} cannot be read: ${reason}.`, error);
  });
  const bytes = await unpackWhole(stored).catch((error: Error) => {
    throw bad(`${path} ${error.message}`, error);
  });
  if (isUtf16(bytes)) throw bad(`${path} ${savedAsUtf16}, for example with iconv.`);
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes); // drops a byte order mark
  } catch {
    const where = `byte ${firstInvalid(bytes)}${bytes !== stored ? ' of the unpacked text' : ''}`;
    throw bad(`${path} is not UTF-8: ${where} does not fit. Convert it, for example with iconv.`);
  }
  if (text.trim() === '') throw bad(`${path} is empty.`);
  try {
    return parseJson(text);
  } catch (error) {
    const records = jsonLines(text);
    if (records !== undefined) return records;
    throw bad(`${path} is not JSON: ${placed((error as Error).message, text)}. Was it cut off, or is it a web page?`);
  }
}

/** The objects of JSON lines; undefined where a line is none. */
function jsonLines(text: string): unknown[] | undefined {
  const lines = text.split('\n').filter((line) => line.trim() !== '');
  if (lines.length < 2 || !lines[0]!.trimEnd().endsWith('}')) return undefined;
  try {
    return lines.map(parseJson);
  } catch {
    return undefined;
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

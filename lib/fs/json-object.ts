/** Files with one JSON object, as other programs and people write them: config.json, tokenizer.json, settings. */
import { readFile } from 'node:fs/promises';
import { ApolloError, type ErrorCode } from '../errors.js';
import { isLfsPointer, lfsPointerMessage } from '../lfs-pointer.js';
import { inWords } from './error.js';
import { isUtf16, savedAsUtf16 } from './utf16.js';

/**
 * The object in the bytes of such a file. A byte order mark, which editors on Windows write, is dropped.
 * @throws ApolloError of `code` naming `path`: a Git LFS pointer, UTF-16, bytes that are not UTF-8, a text that is not JSON,
 * or JSON of something else than an object.
 */
export function jsonObject(bytes: Uint8Array, path: string, code: ErrorCode): Record<string, unknown> {
  const bad = (message: string, cause?: unknown) => new ApolloError(code, `${path} ${message}`, { cause });
  if (isLfsPointer(bytes)) throw bad(lfsPointerMessage);
  if (isUtf16(bytes)) throw bad(`${savedAsUtf16}.`);
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (error) {
    const { message } = error as Error;
    throw bad(error instanceof SyntaxError ? `is not JSON: ${message}.` : 'is not UTF-8, as JSON has to be.', error);
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  const what = value === null ? 'null' : Array.isArray(value) ? 'an array' : `a ${typeof value}`;
  throw bad(`should hold a JSON object, and holds ${what}.`);
}

/** The object in such a file. @throws ApolloError of `code` naming `path`: as `jsonObject`, or it cannot be read. */
export async function readJsonObject(path: string, code: ErrorCode): Promise<Record<string, unknown>> {
  const bytes = await readFile(path).catch((error: unknown) => {
    throw new ApolloError(code, `${path} cannot be read: ${inWords(error)}.`, { cause: error });
  });
  return jsonObject(bytes, path, code);
}

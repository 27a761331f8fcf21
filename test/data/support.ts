/** Shared code of the tests of lib/data: where fixtures and the optional shared data are, and two tokenizers. */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { loadTokenizer, type Tokenizer } from '../../lib/data/tokenizer/tokenizer.js';

export const fixture = (path: string): string => fileURLToPath(new URL(`../fixtures/${path}`, import.meta.url));

const sharedRoot = process.env['APOLLO_SHARED'] ?? fileURLToPath(new URL('../../../shared', import.meta.url));

/** A path below the shared data folder (not part of the repository), and the reason to skip where it is absent. */
export function shared(path: string): { path: string; skip: string | false } {
  const full = `${sharedRoot}/data/${path}`;
  return { path: full, skip: existsSync(full) ? false : `needs ${path} of the shared data folder (set APOLLO_SHARED)` };
}

let bertTokenizer: Tokenizer | undefined;
export const bert = (): Tokenizer =>
  (bertTokenizer ??= loadTokenizer(fixture('tokenizers/bert-base-uncased/vocab.txt')));

let gptTokenizer: Tokenizer | undefined;
export const gpt2 = (): Tokenizer => (gptTokenizer ??= loadTokenizer(fixture('tokenizers/gpt2/tokenizer.json.gz')));

/** The message of what a call throws, with its code: `BAD_CORPUS: ...`; '' when it throws nothing. */
export async function failure(call: () => unknown): Promise<string> {
  try {
    await call();
    return '';
  } catch (error) {
    const { code, message } = error as { code?: string; message: string };
    return `${code}: ${message}`;
  }
}

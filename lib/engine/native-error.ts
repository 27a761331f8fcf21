/** Turns errors of the native engine into ApolloErrors with the package's codes. */
import { ApolloError, type ErrorCode } from '../errors.js';

const codes: Readonly<Record<string, ErrorCode>> = {
  APOLLO_NO_KERNEL: 'NO_KERNEL',
  APOLLO_NO_DEVICE: 'NO_DEVICE',
  APOLLO_OUT_OF_MEMORY: 'OUT_OF_MEMORY',
  APOLLO_NO_GROUP: 'NO_GROUP',
  APOLLO_GROUP: 'GROUP_FAILED',
  APOLLO_CLOSED: 'CLOSED',
  APOLLO_ABORTED: 'ABORT_ERR',
  ABORT_ERR: 'ABORT_ERR',
  // From kernels, on data only they see: a token id outside the vocabulary, a label that is none.
  APOLLO_BAD_INDEX: 'BAD_ARGUMENT',
  APOLLO_NATIVE: 'INTERNAL',
  APOLLO_INTERNAL: 'INTERNAL',
};

/** `error` with its stable code; an ApolloError stays what it is. */
export function fromNative(error: unknown): ApolloError {
  if (error instanceof ApolloError) return error;
  const { code, message } = error as NodeJS.ErrnoException;
  return new ApolloError(codes[code ?? ''] ?? 'INTERNAL', message, { cause: error });
}

/** Runs `work`, sync or async, with its errors translated. */
export async function translated<T>(work: () => T | Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw fromNative(error);
  }
}

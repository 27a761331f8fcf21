/**
 * The one error class of the package. Every message states what was expected, what was given, and what to do; `code` is
 * stable for programs.
 */
export type ErrorCode =
  | 'BAD_ARGUMENT'
  | 'BAD_CONFIG'
  | 'BAD_SHAPE'
  | 'BAD_CORPUS'
  | 'BAD_TOKENIZER'
  | 'BAD_CHECKPOINT'
  | 'FILE_SYSTEM'
  | 'NO_ADDON'
  | 'NO_DEVICE'
  | 'NO_KERNEL'
  | 'NO_GROUP'
  | 'GROUP_FAILED'
  | 'RANK_FAILED'
  | 'OUT_OF_MEMORY'
  | 'NON_FINITE'
  | 'BUSY'
  | 'CLOSED'
  | 'ABORT_ERR'
  | 'INTERNAL';

export class ApolloError extends Error {
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'ApolloError';
    this.code = code;
  }
}

/** Throws BAD_ARGUMENT with `message` unless `condition` holds. */
export function check(condition: unknown, message: string): asserts condition {
  if (!condition) throw new ApolloError('BAD_ARGUMENT', message);
}

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

/**
 * Every error that a user can cause: `code` says which kind it is, `message` what was expected, what came and what to
 * do.
 * @example
 * try {
 *   preset('gpt-hugo');
 * } catch (error) {
 *   if (error instanceof ApolloError) console.log(error.code); // BAD_CONFIG
 * }
 */
export class ApolloError extends Error {
  /** What kind of error it is. Stable over versions, for programs to branch on. */
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

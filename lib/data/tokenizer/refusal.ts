/** Refusals of parts of a tokenizer.json, each by the name of the part. */
import { ApolloError } from '../../errors.js';

export function broken(name: string, reason: string): ApolloError {
  return new ApolloError('BAD_TOKENIZER', `${name} is not a usable tokenizer: ${reason}.`);
}

/** A part of a pipeline as it is in the file. */
export type Part = Readonly<Record<string, unknown>> & { readonly type?: unknown };

export type Refuse = (reason: string) => ApolloError;

/** The fields of each type of a part that are known to mean here what they mean in Python's `tokenizers`. */
export type KnownParts = Readonly<Record<string, readonly string[]>>;

/**
 * Checks that a part is of a known type and has only known fields.
 * @throws ApolloError BAD_TOKENIZER naming the type or the field otherwise.
 */
export function checkPart(kind: string, part: Part, known: KnownParts, refuse: Refuse): string {
  const type = part.type;
  if (typeof part !== 'object' || part === null || typeof type !== 'string' || !Object.hasOwn(known, type)) {
    throw refuse(
      `its ${kind} is of type ${JSON.stringify(type ?? null)}, which is not known to give the ids of Python's tokenizers. ` +
        `Known are ${Object.keys(known).join(', ')}`,
    );
  }
  for (const field of Object.keys(part)) {
    if (field !== 'type' && !known[type]!.includes(field)) {
      throw refuse(`its ${kind} ${type} has the field ${JSON.stringify(field)}, whose meaning is not known here`);
    }
  }
  return type;
}

export function isFlag(part: Part, field: string, fallback: boolean): boolean {
  const value = part[field];
  return typeof value === 'boolean' ? value : fallback;
}

/** @throws ApolloError BAD_TOKENIZER when the field is no text. */
export function textOf(part: Part, field: string, refuse: Refuse): string {
  const value = part[field];
  if (typeof value === 'string') return value;
  throw refuse(
    `its ${String(part.type)} has ${JSON.stringify(value ?? null)} as ${JSON.stringify(field)}, expected text`,
  );
}

/** @throws ApolloError BAD_TOKENIZER when the field is no list of parts. */
export function partsOf(part: Part, field: string, refuse: Refuse): Part[] {
  const value = part[field];
  if (Array.isArray(value) && value.every((item) => typeof item === 'object' && item !== null)) return value as Part[];
  throw refuse(`its ${String(part.type)} has no list of parts as ${JSON.stringify(field)}`);
}

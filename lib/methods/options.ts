/** Validation of settings: zod's findings as one ApolloError that names each key, what it must be and what it is. */
import { z } from 'zod';
import { describe } from '../arguments.js';
import { ApolloError } from '../errors.js';
import { renamedText } from '../renamed.js';
import { issueText } from '../setting-issue.js';
import { nearest } from '../suggest.js';

function valueAt(root: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>((value, key) => (value as Record<PropertyKey, unknown> | undefined)?.[key], root);
}

function nameOf(owner: string, path: readonly PropertyKey[]): string {
  return path.reduce<string>(
    (name, key) => (typeof key === 'number' ? `${name}[${key}]` : `${name}.${String(key)}`),
    owner,
  );
}

/** A value of a setting as JSON where that is short. */
function shown(value: unknown): string {
  if (value === undefined) return 'nothing';
  if (typeof value !== 'object' || value === null) return describe(value);
  try {
    const json = JSON.stringify(value);
    return json.length <= 200 ? json : describe(value);
  } catch {
    return describe(value);
  }
}

/**
 * `value` checked against `schema`, with its defaults filled in.
 * @throws ApolloError BAD_CONFIG, one line per problem: `train.batch: expected at least 1; got 0.`
 */
export function parseOptions<Schema extends z.ZodType>(
  owner: string,
  schema: Schema,
  value: unknown,
): z.output<Schema> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const lines = result.error.issues.map((issue) => {
    const name = nameOf(owner, issue.path);
    if (issue.code === 'unrecognized_keys') {
      const fields = schema instanceof z.ZodObject && issue.path.length === 0 ? Object.keys(schema.shape) : [];
      const now = issue.keys.flatMap((key) => renamedText(key, fields.length > 0 ? fields : undefined) ?? []);
      if (now.length > 0) return `${name}: ${now.join('; ')}.`;
      const known = fields.length > 0 ? ` Known: ${fields.join(', ')}.` : '';
      const [hint] = issue.keys.flatMap((key) => nearest(key, fields) ?? []);
      const advice = hint === undefined ? '.' : `; did you mean "${hint}"?`;
      return `${name}: there is no setting ${issue.keys.map(describe).join(', ')}${advice}${known}`;
    }
    return `${name}: ${issueText(issue)}; got ${shown(valueAt(value, issue.path))}.`;
  });
  throw new ApolloError('BAD_CONFIG', lines.join('\n'));
}

export const positiveInteger = z.int().min(1);

/** Settings every method has. */
export const commonOptions = {
  /** Number of layers of the finished model, at least 1. */
  layers: positiveInteger,
  /** Optimizer steps of the whole run, at least 1. */
  totalSteps: positiveInteger,
  /** Seed of the method's own draws, a safe integer. */
  seed: z.int(),
};

/**
 * The check of a public function's arguments: a name, what was expected, what was given. `argument` throws; the kinds say
 * what a value may be. A kind only looks at a value: it calls none of its methods, and no message prints a large value.
 */
import { ApolloError } from './errors.js';
import { renamedText } from './renamed.js';
import { nearest } from './suggest.js';

/** Where a value is wrong: `path` leads from the argument to the part, e.g. `.heads` or `[2]`. */
interface Problem {
  readonly path: string;
  readonly expected: string;
  readonly got: unknown;
  /** Replaces the sentence of expected and got. */
  readonly text?: string;
}

/** The set of values that an argument may have. */
export interface Kind {
  readonly expected: string;
  problem(value: unknown): Problem | undefined;
}

/**
 * Checks one argument of a public function.
 * @example argument('loadModel: device', device, device)
 * @throws {ApolloError} BAD_ARGUMENT `loadModel: device must be a Device (from openDevice); got undefined.`
 */
export function argument(name: string, value: unknown, kind: Kind): void {
  let problem: Problem | undefined;
  try {
    problem = kind.problem(value);
  } catch {
    // A proxy or a getter of the caller's threw: the value is not one that can be read.
    problem = { path: '', expected: kind.expected, got: value };
  }
  if (!problem) return;
  const { path, expected, got, text } = problem;
  throw new ApolloError(
    'BAD_ARGUMENT',
    `${name}${path}${text ?? ` must be ${expected}; got ${describe(got)}${hint(got)}`}.`,
  );
}

const shown = 40;

/** A value in a few words, for a message. Never runs code of the value. */
export function describe(value: unknown): string {
  try {
    return describeAny(value);
  } catch {
    return 'an object that cannot be read';
  }
}

function describeAny(value: unknown): string {
  if (typeof value === 'string') {
    return value.length <= shown
      ? JSON.stringify(value)
      : `${JSON.stringify(value.slice(0, shown))}… (a string of ${value.length} characters)`;
  }
  if (typeof value === 'number') return Object.is(value, -0) ? '-0' : String(value);
  if (typeof value === 'bigint') return 'a bigint';
  if (typeof value === 'symbol') return 'a symbol';
  if (typeof value === 'function') return 'a function';
  if (typeof value !== 'object' || value === null) return String(value);
  if (Array.isArray(value)) return value.length === 0 ? 'an empty array' : `an array of ${value.length}`;
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== null && prototype !== Object.prototype) {
    const maker: unknown = Object.getOwnPropertyDescriptor(prototype, 'constructor')?.value;
    const name: unknown = typeof maker === 'function' && Object.getOwnPropertyDescriptor(maker, 'name')?.value;
    if (typeof name === 'string' && name !== '' && name.length <= shown) {
      return ArrayBuffer.isView(value) ? `a ${name} of ${value.byteLength} bytes` : `an object of class ${name}`;
    }
  }
  const keys = Object.keys(value);
  if (keys.length === 0) return 'an object without keys';
  const first = keys.slice(0, 4).map((key) => key.slice(0, shown));
  return `an object with ${first.join(', ')}${keys.length > 4 ? ', …' : ''}`;
}

/** Advice, where the value suggests one. */
function hint(value: unknown): string {
  try {
    return value instanceof Promise ? ' (await it)' : '';
  } catch {
    return '';
  }
}

/** A kind from a predicate. */
export function kind(expected: string, test: (value: unknown) => boolean): Kind {
  return { expected, problem: (value) => (test(value) ? undefined : { path: '', expected, got: value }) };
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Whole number in [least, most]. */
export function whole(least: number, most = Number.MAX_SAFE_INTEGER): Kind {
  const range = most === Number.MAX_SAFE_INTEGER ? `>= ${least}` : `from ${least} to ${most}`;
  return kind(
    least === Number.MIN_SAFE_INTEGER ? 'a safe integer' : `a whole number ${range}`,
    (value) => Number.isSafeInteger(value) && (value as number) >= least && (value as number) <= most,
  );
}

/** A whole number >= 1. */
export const count = whole(1);
/** A whole number >= 0. */
export const index = whole(0);
/** Extents of arrays that are made at once: the elements of one typed array. */
export const extent = whole(1, 2 ** 32 - 1);
/** The most there may be of what is listed one by one, e.g. layers or stages. */
export const listedMost = 2 ** 20;
/** How many there are of it. */
export const listed = whole(1, listedMost);
/** Seeds may be negative. */
export const integer = whole(Number.MIN_SAFE_INTEGER);
export const number = kind('a number', (value) => typeof value === 'number' && !Number.isNaN(value));
/** Losses and metrics may be NaN. */
export const anyNumber = kind('a number (NaN is allowed)', (value) => typeof value === 'number');
export const finite = kind('a finite number', (value) => Number.isFinite(value));
export const positive = kind('a finite number > 0', (value) => Number.isFinite(value) && (value as number) > 0);
export const notNegative = kind('a finite number >= 0', (value) => Number.isFinite(value) && (value as number) >= 0);
export const probability = kind('a number in [0, 1]', (value) => typeof value === 'number' && value >= 0 && value <= 1);
export const string = kind('a string', (value) => typeof value === 'string');
/** A name, a key: not the empty string. */
export const name = kind('a non-empty string', (value) => typeof value === 'string' && value !== '');
/** No file system takes a NUL. */
export const path = kind(
  'a path (a non-empty string)',
  (value) => typeof value === 'string' && value !== '' && !value.includes('\0'),
);
export const boolean = kind('true or false', (value) => typeof value === 'boolean');
export const func = kind('a function', (value) => typeof value === 'function');
export const record = kind('an object', isObject);
/** Accepts any value. */
export const anything = kind('a value', () => true);
/** An array with any elements. */
export const array = kind('an array', Array.isArray);
export const float32 = kind('a Float32Array', (value) => value instanceof Float32Array);
/** Token ids and the like: an array or a typed array of numbers. Only its form is checked. */
export const numericArray = kind(
  'an array of numbers (a typed array, or numbers)',
  (value) =>
    (ArrayBuffer.isView(value) && !(value instanceof DataView)) ||
    (Array.isArray(value) && value.every((item) => typeof item === 'number')),
);
/** A signal of this process or of a compatible package; whether it has fired is not checked. */
export const signal = kind(
  'an AbortSignal',
  (value) => isObject(value) && 'aborted' in value && typeof value['addEventListener'] === 'function',
);
/** Texts, words: anything a `for await` takes, but not a string, whose characters it would give. */
export const iterable = kind(
  'an iterable or async iterable (not a string)',
  (value) => isIterable(value) && typeof value !== 'string',
);

function isIterable(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  const parts = value as Partial<Record<symbol, unknown>>;
  return typeof parts[Symbol.iterator] === 'function' || typeof parts[Symbol.asyncIterator] === 'function';
}

/** One of the values named. */
export function oneOf(...values: readonly unknown[]): Kind {
  return kind(`one of ${values.map(describe).join(', ')}`, (value) => values.includes(value));
}

/** May be left out. */
export function optional(inner: Kind): Kind {
  return {
    expected: inner.expected,
    problem: (value) => (value === undefined ? undefined : inner.problem(value)),
  };
}

/** One kind or another. Of an object's parts, the problem is the last kind's. */
export function either(...kinds: readonly Kind[]): Kind {
  const expected = kinds.map((one) => one.expected).join(' or ');
  return {
    expected,
    problem(value) {
      let last: Problem | undefined;
      for (const one of kinds) {
        const problem = one.problem(value);
        if (!problem) return undefined;
        if (problem.path !== '' || problem.text) last = problem;
      }
      return last ?? { path: '', expected, got: value };
    },
  };
}

/** An array whose every element is of one kind. */
export function list(element: Kind, { least = 0 }: { readonly least?: number } = {}): Kind {
  const expected = `an array${least > 0 ? ` of at least ${least}` : ''}, each element ${element.expected}`;
  return {
    expected,
    problem(value) {
      if (!Array.isArray(value) || value.length < least) return { path: '', expected, got: value };
      for (let at = 0; at < value.length; at++) {
        const problem = element.problem(value[at]);
        if (problem) return { ...problem, path: `[${at}]${problem.path}` };
      }
      return undefined;
    },
  };
}

/** An array of exactly as many numbers. */
export function tuple(length: number): Kind {
  return kind(
    `an array of ${length} numbers`,
    (value) => Array.isArray(value) && value.length === length && value.every((item) => Number.isFinite(item)),
  );
}

type Fields = Readonly<Record<string, Kind>>;

function fieldProblem(value: Record<string, unknown>, fields: readonly (readonly [string, Kind])[]) {
  for (const [key, field] of fields) {
    const problem = field.problem(value[key]);
    if (!problem) continue;
    const now =
      value[key] === undefined &&
      Object.keys(value)
        .map((other) => renamedText(other, [key]))
        .find(Boolean);
    return now ? { ...problem, path: '', text: `: ${now}` } : { ...problem, path: `.${key}${problem.path}` };
  }
  return undefined;
}

/** An object with these fields; it may have others. */
export function object(expected: string, fields: Fields): Kind {
  const entries = Object.entries(fields);
  return {
    expected,
    problem: (value) => (isObject(value) ? fieldProblem(value, entries) : { path: '', expected, got: value }),
  };
}

/** Options: an object with no other fields than these, so that a misspelt one is not ignored. */
export function options(fields: Fields): Kind {
  const entries = Object.entries(fields);
  const known = Object.keys(fields);
  const expected = `an object of options (${known.join(', ')})`;
  return {
    expected,
    problem(value) {
      if (!isObject(value)) return { path: '', expected, got: value };
      for (const key of Object.keys(value)) {
        if (Object.hasOwn(fields, key)) continue;
        const now = renamedText(key, known);
        if (now) return { path: '', expected, got: value, text: `: ${now}` };
        const near = nearest(key.slice(0, shown), known);
        const advice = near ? `; did you mean "${near}"?` : '.';
        const text = ` has no option ${describe(key)}${advice} Known: ${known.join(', ')}`;
        return { path: '', expected, got: value, text };
      }
      return fieldProblem(value, entries);
    },
  };
}

/** An object with these methods: an instance of a class of this package, or one that stands for it. */
export function having(expected: string, methods: readonly string[]): Kind {
  return kind(
    expected,
    (value) =>
      typeof value === 'object' &&
      value !== null &&
      methods.every((method) => typeof (value as Record<string, unknown>)[method] === 'function'),
  );
}

/**
 * The check of one function's arguments, in the order of its parameters.
 * ```ts
 * const takesSizes = takes('interpolate', { trainedLayers: is.count, depth: is.count });
 * takesSizes(trainedLayers, depth);
 * ```
 */
export function takes(owner: string, kinds: Fields): (...values: readonly unknown[]) => void {
  const names = Object.keys(kinds).map((key) => `${owner}: ${key}`);
  const each = Object.values(kinds);
  return (...values) => {
    for (let at = 0; at < each.length; at++) argument(names[at] as string, values[at], each[at] as Kind);
  };
}

/**
 * Values that the test of all public functions passes: wrong values of every type, and for each argument a valid value with
 * the wrong ones among them that it does take.
 */

/** A value of every type, by label. */
export const wrongValues = {
  undefined: undefined,
  null: null,
  fraction: 3.5,
  NaN: Number.NaN,
  negative: -1,
  large: 1e21,
  string: 'no such thing',
  long: 'x'.repeat(100_000),
  empty: '',
  boolean: true,
  array: [],
  nested: [[undefined], null, {}],
  object: {},
  function: () => undefined,
  symbol: Symbol('wrong'),
} as const;
export type Label = keyof typeof wrongValues;

export interface Domain {
  /** A valid value, made for each call. */
  readonly make: () => unknown;
  /** The wrong values that this argument takes. Such a call may succeed, or end in an error of any code. */
  readonly takes: readonly Label[];
  /** The values that it takes whose work would take too long here, or whose errors are the caller's own. */
  readonly skips?: readonly Label[];
  /** The fields of an object, each of which is checked. */
  readonly fields?: Readonly<Record<string, Domain>>;
  /** Whether other fields are refused. */
  readonly closed?: boolean;
  /** BAD_CONFIG where fields are settings, which may come from a file. */
  readonly code?: 'BAD_CONFIG';
}

const domain =
  (...takes: Label[]) =>
  (value: unknown): Domain => ({ make: () => value, takes });

/** A value that no wrong value is like: an instance, one of several words. */
export const only = domain();
export const made = (make: () => unknown, ...takes: Label[]): Domain => ({ make, takes });
export const whole = domain();
export const integer = domain('negative');
export const number = domain('fraction', 'negative', 'large');
export const anyNumber = domain('fraction', 'negative', 'large', 'NaN');
export const notNegative = domain('fraction', 'large');
export const text = domain('string', 'long', 'empty');
export const name = domain('string', 'long');
export const boolean = domain('boolean');
export const func = domain('function');
export const record = domain('object');
export const list = domain('array');

export const maybe = (inner: Domain): Domain => ({ ...inner, takes: [...inner.takes, 'undefined'] });

/** `inner`, which takes more of the wrong values. */
export const also = (inner: Domain, ...takes: Label[]): Domain => ({ ...inner, takes: [...inner.takes, ...takes] });

/** `inner`, of which these are not tried. */
export const without = (inner: Domain, ...skips: Label[]): Domain => ({ ...inner, skips });
/** May be left out; what is done then would take too long here. */
export const defaulted = (inner: Domain): Domain => without(maybe(inner), 'undefined');

const objectOf = (fields: Readonly<Record<string, Domain>>, closed: boolean): Domain => ({
  make: () => Object.fromEntries(Object.entries(fields).map(([key, field]) => [key, field.make()])),
  takes: Object.values(fields).every(({ takes }) => takes.includes('undefined')) ? ['object'] : [],
  fields,
  closed,
});
/** Options: no other fields. */
export const options = (fields: Readonly<Record<string, Domain>>) => objectOf(fields, true);
/** The same, and they may be left out. */
export const maybeOptions = (fields: Readonly<Record<string, Domain>>) => maybe(objectOf(fields, true));
/** An object that may have more fields. */
export const object = (fields: Readonly<Record<string, Domain>>) => objectOf(fields, false);
/** Settings: the object is an argument, its fields are a configuration. */
export const settings = (fields: Readonly<Record<string, Domain>>): Domain => ({
  ...objectOf(fields, true),
  takes: ['object'],
  code: 'BAD_CONFIG',
});

/** The arguments of a function in their order; names beginning with `this` are not of it. */
export type Arguments = Readonly<Record<string, Domain>>;

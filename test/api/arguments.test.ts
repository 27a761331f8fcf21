/** Every export of the package with missing and wrong arguments: each is refused by name, and nothing else happens. */
import t from 'tap';
import { ApolloError } from '../../lib/errors.js';
import * as apollo from '../../lib/index.js';
import { rooms } from '../rooms.js';
import { type Arguments, type Domain, type Label, wrongValues } from './domains.js';
import { classes, constants, device, enter, internal, objects, table, teardown } from './table.js';

type Callable = (...values: unknown[]) => unknown;

/** The functions of the package by name: exports, constructors, static and own methods of exported classes. */
const functions = new Map<string, { readonly call: Callable; readonly isClass?: boolean }>();
const values = new Set<string>();

function collect(space: object, prefix: string): void {
  for (const [key, value] of Object.entries(space)) {
    const name = prefix + key;
    if (Object.prototype.toString.call(value) === '[object Module]') collect(value as object, `${name}.`);
    else if (typeof value !== 'function') values.add(name);
    else if (!/^class\b/.test(Function.prototype.toString.call(value))) functions.set(name, { call: value });
    else collectClass(value, name);
  }
}

function collectClass(made: Callable & { prototype: object }, name: string): void {
  const construct = made as unknown as new (...values: unknown[]) => unknown;
  functions.set(name, { call: (...given) => new construct(...given), isClass: true });
  for (const key of Object.getOwnPropertyNames(made)) {
    const method = (made as unknown as Record<string, unknown>)[key];
    if (typeof method === 'function') functions.set(`${name}.${key}`, { call: method.bind(made) as Callable });
  }
  for (
    let own = made.prototype;
    own !== Object.prototype && own !== Error.prototype;
    own = Object.getPrototypeOf(own)
  ) {
    for (const [key, { value }] of Object.entries(Object.getOwnPropertyDescriptors(own))) {
      if (typeof value !== 'function' || key === 'constructor') continue;
      functions.set(`${name}#${key}`, { call: (self, ...given) => value.apply(self, given) });
    }
  }
}
for (const [room, space] of Object.entries(rooms)) collect(space, `${room}.`);
for (const [name, made] of Object.entries(classes))
  collectClass(made as unknown as Callable & { prototype: object }, name);
collectClass(ApolloError as unknown as Callable & { prototype: object }, 'ApolloError');
for (const [name, one] of Object.entries(objects)) {
  for (const [key, method] of Object.entries(one)) {
    if (typeof method === 'function') functions.set(`${name}:${key}`, { call: method.bind(one) as Callable });
  }
}

/** Outcome of a call: an error or nothing. Generators are called, not iterated: their arguments are checked then. */
async function outcome(call: Callable, given: readonly unknown[]): Promise<unknown> {
  try {
    const result = call(...given);
    const made = (await result) as { close?: () => unknown } | undefined;
    if (made !== device && typeof made?.close === 'function') await made.close();
    return undefined;
  } catch (error) {
    return error;
  }
}

let calls = 0;
const wrong: string[] = [];

/** One call; `takes` says that the value may be right. */
async function probe(
  owner: string,
  given: readonly unknown[],
  about: string,
  key: string,
  expected: { readonly takes: boolean; readonly code?: string },
): Promise<void> {
  const entry = functions.get(owner)!;
  calls++;
  const error = await outcome(entry.call, given);
  const { takes, code = 'BAD_ARGUMENT' } = expected;
  const refused = error instanceof ApolloError;
  if (takes && (error === undefined || refused)) return;
  if (!takes && refused && error.code === code && error.message.includes(key) && error.message.length < 2000) return;
  const came = refused ? error.code : error === undefined ? 'no error' : (error as Error)?.name;
  wrong.push(`${owner}, ${about}: ${came}: ${String((error as Error)?.message).slice(0, 160)}`);
}

async function probeFields(owner: string, { fields = {}, closed, code, make }: Domain, at: number, all: Domain[]) {
  const call = (value: unknown, about: string, key: string, takes: boolean) => {
    const given = all.map((one) => one.make());
    given[at] = value;
    return probe(owner, given, about, key, { takes, ...(code && { code }) });
  };
  for (const [key, field] of Object.entries(fields)) {
    const skips: readonly string[] = field.skips ?? [];
    for (const [label, value] of Object.entries(wrongValues)) {
      if (skips.includes(label)) continue;
      const changed = { ...(make() as object), [key]: value };
      await call(changed, `option ${key}: ${label}`, key, field.takes.includes(label as Label));
    }
  }
  if (closed) await call({ ...(make() as object), zzMisspelt: 1 }, 'an option that there is not', 'zzMisspelt', false);
}

async function probeFunction(owner: string, args: Arguments): Promise<void> {
  const names = Object.keys(args);
  const all = Object.values(args);
  for (const [at, one] of all.entries()) {
    const name = names[at]!;
    if (name.startsWith('this')) continue;
    const before = all.slice(0, at).map(({ make }) => make());
    const skips: readonly string[] = one.skips ?? [];
    if (!skips.includes('undefined'))
      await probe(owner, before, `without ${name}`, name, { takes: one.takes.includes('undefined') });
    for (const [label, value] of Object.entries(wrongValues)) {
      if (skips.includes(label)) continue;
      const given = all.map(({ make }) => make());
      given[at] = value;
      await probe(owner, given, `${name}: ${label}`, name, { takes: one.takes.includes(label as Label) });
    }
    await probeFields(owner, one, at, all);
  }
}

enter();
t.teardown(teardown);

t.test('every export is in the table, and nothing else is', async (t) => {
  const known = new Set([...Object.keys(table), ...constants, ...internal]);
  t.same(
    [...functions.keys(), ...values].filter((name) => !known.has(name)),
    [],
    'exports without an entry: add each to test/api/table.ts with what its arguments take',
  );
  t.same(
    [...known].filter((name) => !functions.has(name) && !values.has(name)),
    [],
    'entries without an export',
  );
  const all = new Set<unknown>(Object.values(rooms).flatMap((space) => Object.values(space)));
  const own = Object.entries(apollo).filter(([, value]) => !all.has(value));
  t.same(
    own.map(([name]) => name),
    ['ApolloError'],
    'what the package exports by name is exported by its rooms',
  );
});

t.test('wrong arguments end in BAD_ARGUMENT naming the argument', { timeout: 200_000 }, async (t) => {
  for (const [owner, args] of Object.entries(table)) if (functions.has(owner)) await probeFunction(owner, args);
  t.comment(`${functions.size} functions and ${values.size} constants; ${calls} calls`);
  t.same(wrong, []);
});

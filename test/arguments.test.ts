import t from 'tap';
import { argument, describe, takes } from '../lib/arguments.js';
import * as is from '../lib/is.js';

const message = (run: () => void): string => {
  try {
    run();
  } catch (error) {
    return `${(error as { code: string }).code}: ${(error as Error).message}`;
  }
  return 'no error';
};

const hostile = new Proxy(
  {},
  {
    get: () => {
      throw new Error('trap');
    },
    ownKeys: () => {
      throw new Error('trap');
    },
    getPrototypeOf: () => {
      throw new Error('trap');
    },
  },
);
const { proxy: revoked, revoke } = Proxy.revocable([], {});
revoke();

t.test('a message says the name, what was expected and what came', async (t) => {
  const check = takes('loadModel', { device: is.device, path: is.path });
  t.equal(
    message(() => check('runs/a')),
    'BAD_ARGUMENT: loadModel: device must be a Device (from openDevice); got "runs/a".',
  );
  t.equal(
    message(() => check({ compile() {}, createBuffer() {}, info() {} }, 'a\0b')),
    'BAD_ARGUMENT: loadModel: path must be a path (a non-empty string); got "a\\u0000b".',
  );
  t.equal(
    message(() => argument('f: device', Promise.resolve(), is.device)),
    'BAD_ARGUMENT: f: device must be a Device (from openDevice); got an object of class Promise (await it).',
  );
});

t.test('a part of an argument is named by its path', async (t) => {
  const rows = is.object('rows', { rows: is.list(is.list(is.count)) });
  t.equal(
    message(() => argument('f: x', { rows: [[1], [2, 0]] }, rows)),
    'BAD_ARGUMENT: f: x.rows[1][1] must be a whole number >= 1; got 0.',
  );
  const one = is.either(is.object('{ a }', { a: is.number }), is.object('{ b }', { b: is.number }));
  t.equal(
    message(() => argument('f: x', { b: 'no' }, one)),
    'BAD_ARGUMENT: f: x.b must be a number; got "no".',
  );
  t.equal(
    message(() => argument('f: x', 3, one)),
    'BAD_ARGUMENT: f: x must be { a } or { b }; got 3.',
  );
});

t.test('an option that there is not is named, with the nearest one', async (t) => {
  const kind = is.options({ heldOut: is.optional(is.number), workers: is.optional(is.number) });
  t.equal(
    message(() => argument('f: options', { heldout: 0.1 }, kind)),
    'BAD_ARGUMENT: f: options has no option "heldout"; did you mean "heldOut"? Known: heldOut, workers.',
  );
  t.equal(
    message(() => argument('f: options', { zzz: 0.1 }, kind)),
    'BAD_ARGUMENT: f: options has no option "zzz". Known: heldOut, workers.',
  );
  t.equal(
    message(() => argument('f: options', { heldOut: undefined }, kind)),
    'no error',
  );
});

t.test('values are described shortly, and none of their code runs', async (t) => {
  const cases: [unknown, string][] = [
    [undefined, 'undefined'],
    [null, 'null'],
    [-0, '-0'],
    [1e21, '1e+21'],
    [10n, 'a bigint'],
    [Symbol('s'), 'a symbol'],
    ['x'.repeat(1e6), `"${'x'.repeat(40)}"… (a string of 1000000 characters)`],
    [new Float32Array(1e6), 'a Float32Array of 4000000 bytes'],
    [new Array(1e6), 'an array of 1000000'],
    [[], 'an empty array'],
    [{}, 'an object without keys'],
    [Object.create(null), 'an object without keys'],
    [{ a: 1, b: 2, c: 3, d: 4, e: 5 }, 'an object with a, b, c, d, …'],
    [new Date(), 'an object of class Date'],
    [() => 1, 'a function'],
    [hostile, 'an object that cannot be read'],
    [revoked, 'an object that cannot be read'],
  ];
  for (const [value, words] of cases) t.equal(describe(value), words);
  t.equal(
    describe({
      toString() {
        throw new Error('called');
      },
    }),
    'an object with toString',
  );
});

t.test('an unreadable value is wrong for every expectation', async (t) => {
  for (const kind of [is.device, is.tensor, is.modelConfig, is.list(is.number), is.options({ a: is.number })]) {
    for (const value of [hostile, revoked]) {
      t.match(
        message(() => argument('f: x', value, kind)),
        /^BAD_ARGUMENT: f: x must be .*; got an object that cannot/,
      );
    }
  }
});

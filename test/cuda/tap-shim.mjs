// As much of tap as the tests that run on GPU machines use, for machines that have Node but not tap. scripts/test-cuda.mjs
// puts it where the compiled tests look for tap. Prints what failed, and the counts as its last line in JSON.
import assert from 'node:assert';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const counts = { passed: 0, failed: 0, skipped: 0 };
const folders = [];

/** A pattern of t.match: what it names must be there; regular expressions and constructors match by their kind. */
function matches(actual, pattern) {
  if (pattern instanceof RegExp)
    return typeof actual === 'string' ? pattern.test(actual) : pattern.test(String(actual));
  if (typeof pattern === 'function') return actual instanceof pattern || typeof actual === pattern.name.toLowerCase();
  if (typeof pattern === 'string' && typeof actual === 'string') return actual.includes(pattern);
  if (pattern === null || typeof pattern !== 'object') return Object.is(actual, pattern);
  if (actual === null || typeof actual !== 'object') return false;
  return Object.entries(pattern).every(([key, value]) => matches(actual[key], value));
}

function equalTo(compare, actual, expected) {
  try {
    compare(actual, expected);
    return true;
  } catch {
    return false;
  }
}

/** Files by name from text or bytes, folders from objects. */
function fill(folder, contents) {
  for (const [name, content] of Object.entries(contents)) {
    const path = join(folder, name);
    if (typeof content === 'string' || content instanceof Uint8Array) writeFileSync(path, content);
    else {
      mkdirSync(path);
      fill(path, content);
    }
  }
}

class Test {
  #path;
  #queue = Promise.resolve();
  #teardowns = [];

  constructor(path) {
    this.#path = path;
  }

  /** Runs its tests, then what was to be done at the end. */
  async finish() {
    for (let last; last !== this.#queue; ) {
      last = this.#queue;
      await last;
    }
    for (const teardown of this.#teardowns.reverse()) await teardown();
  }

  test(name, ...rest) {
    const options = rest.length > 1 ? rest[0] : {};
    const body = rest.at(-1);
    const run = async () => {
      const path = [...this.#path, name];
      if (options.skip) {
        counts.skipped++;
        console.log(`skipped: ${path.join(' > ')} (${options.skip})`);
        return;
      }
      const test = new Test(path);
      try {
        if (body.length > 0 && body.constructor.name !== 'AsyncFunction') {
          let end;
          const ended = new Promise((done) => {
            end = done;
          });
          test.end = () => end();
          await Promise.race([Promise.resolve(body(test)), ended]);
        } else {
          await body(test);
        }
        await test.finish();
      } catch (error) {
        test.#fail(error.stack ?? String(error));
      }
    };
    this.#queue = this.#queue.then(run);
    return this.#queue;
  }

  #report(success, message, details) {
    if (success) counts.passed++;
    else this.#fail(`${message ?? 'a check'}${details === undefined ? '' : `: ${details}`}`);
    return success;
  }
  #fail(message) {
    counts.failed++;
    console.log(`FAILED: ${[...this.#path, message].join(' > ')}`);
  }

  end() {}
  comment(text) {
    console.log(`# ${text}`);
  }
  teardown(body) {
    this.#teardowns.push(body);
  }
  before(body) {
    this.#queue = this.#queue.then(body);
  }
  testdir(contents = {}) {
    const folder = mkdtempSync(join(tmpdir(), 'apollo-test-'));
    folders.push(folder);
    fill(folder, contents);
    return folder;
  }
  ok(value, message) {
    return this.#report(Boolean(value), message);
  }
  notOk(value, message) {
    return this.#report(!value, message);
  }
  equal(actual, expected, message) {
    return this.#report(Object.is(actual, expected), message, `got ${actual}, expected ${expected}`);
  }
  not(actual, unexpected, message) {
    return this.#report(!Object.is(actual, unexpected), message, `got ${actual}`);
  }
  same(actual, expected, message) {
    return this.#report(equalTo(assert.deepEqual, actual, expected), message, 'values differ');
  }
  strictSame(actual, expected, message) {
    return this.#report(equalTo(assert.deepStrictEqual, actual, expected), message, 'values differ');
  }
  match(actual, pattern, message) {
    return this.#report(matches(actual, pattern), message, `got ${JSON.stringify(actual)?.slice(0, 300)}`);
  }
  notMatch(actual, pattern, message) {
    return this.#report(!matches(actual, pattern), message, `got ${JSON.stringify(actual)?.slice(0, 300)}`);
  }
  type(actual, kind, message) {
    const right = typeof kind === 'string' ? typeof actual === kind : actual instanceof kind;
    return this.#report(right, message, `got a ${typeof actual}`);
  }
  throws(body, expected, message) {
    try {
      body();
    } catch (error) {
      return this.#report(expected === undefined || matches(error, expected), message, `threw ${error}`);
    }
    return this.#report(false, message, 'nothing was thrown');
  }
  async rejects(promise, expected, message) {
    try {
      await (typeof promise === 'function' ? promise() : promise);
    } catch (error) {
      return this.#report(expected === undefined || matches(error, expected), message, `rejected with ${error}`);
    }
    return this.#report(false, message, 'nothing was rejected');
  }
  async resolves(promise, message) {
    try {
      await (typeof promise === 'function' ? promise() : promise);
    } catch (error) {
      return this.#report(false, message, `rejected with ${error}`);
    }
    return this.#report(true, message);
  }
}

const t = new Test([]);
export default t;

process.on('beforeExit', async () => {
  await t.finish();
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
  console.log(JSON.stringify(counts));
  process.exit(counts.failed > 0 ? 1 : 0);
});

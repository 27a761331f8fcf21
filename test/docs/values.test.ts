/** Docstrings that state a value, as an example `f(1) // [2]` or as "`f(1)` is [2]", state the one that comes out. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import * as engine from '../../lib/engine/public.js';
import * as growth from '../../lib/growth/index.js';
import * as all from '../../lib/index.js';
import * as methods from '../../lib/methods/public.js';
import * as report from '../../lib/report/index.js';
import { root } from './pages.js';

const scope: Readonly<Record<string, unknown>> = { ...engine, ...growth, ...methods, ...report, ...all };

/** A number, or numbers in brackets; of arrays of another type, with its name before them. */
const value = String.raw`(?:Float32Array |Uint16Array )?(\[[-\d., xa-f]*\]|-?\d[\d.e-]*)`;
const forms = [
  new RegExp(String.raw`^ \* (?:@example )?(\w.*\)\S*) // ${value}$`),
  new RegExp(String.raw`^ \*.*\`(\w[^\`]*\))\` is ${value}`),
];

interface Claim {
  readonly place: string;
  readonly expression: string;
  readonly stated: string;
}

function claimsOf(file: string): Claim[] {
  return readFileSync(join(root, 'lib', file), 'utf8')
    .split('\n')
    .flatMap((line, i) => {
      const match = forms.map((form) => form.exec(line)).find((found) => found !== null);
      const [, expression, stated] = match ?? [];
      const [name] = /^\w+/.exec(expression ?? '') ?? [];
      if (name === undefined || !Object.hasOwn(scope, name)) return []; // internal, or more than an expression
      return [{ place: `lib/${file}:${i + 1}`, expression: expression!, stated: stated!.replace(/\.$/, '') }];
    });
}

const plain = (result: unknown): unknown => (typeof result === 'number' ? result : [...(result as Iterable<unknown>)]);

t.test('values in docstrings', (t) => {
  const files = readdirSync(join(root, 'lib'), { recursive: true, encoding: 'utf8' }).filter((name) =>
    name.endsWith('.ts'),
  );
  const claims = files.sort().flatMap(claimsOf);
  t.ok(claims.length >= 20, `they are found: ${claims.length}`);
  for (const { place, expression, stated } of claims) {
    const result: unknown = new Function(...Object.keys(scope), `return ${expression}`)(...Object.values(scope));
    const expected: unknown = new Function(`return ${stated}`)();
    t.same(plain(result), expected, `${place}: ${expression} is ${stated}`);
  }
  t.end();
});

/** What is wrong with settings, in the words of the user: the key as it was written, what was expected, what came. */
import type * as z from 'zod';
import { knownMethods } from '../../methods/index.js';
import { renamedText } from '../../renamed.js';
import { issueText } from '../../setting-issue.js';
import { nearest, unknownName } from '../../suggest.js';
import { inputObject, isObject, nestedNames, nestedSettings, settingNames } from './schema.js';

type Issue = z.core.$ZodIssue;

/** Fields that have a flag of their own on the command line. */
const ownFlags: Readonly<Record<string, string>> = {
  '--decay.share': '--decay',
  '--decay.shape': '--decay-shape',
  '--optimizer.name': '--optimizer',
};

/** A setting as the user wrote it: `--set optimizer.beta1` for a field without a flag of its own. */
function asGiven(path: string): string {
  return ownFlags[path] ?? path.replace(/^--(?:method-options\.|(?=\w+\.))/, '--set ');
}

/** Why nothing takes the settings given for `name`, and what takes them. */
function unknownOwner(name: string, { variants }: Record<string, unknown>): string {
  const variant = isObject(variants) ? variants[name] : undefined;
  if (isObject(variant)) {
    const method = String(variant['method']);
    return (
      `this is a variant of "${method}", and its settings are in variants of the configuration file. Change them there, or ` +
      `give those of the method to all its variants: --set ${method}.KEY=VALUE.`
    );
  }
  return `there is no method, and no setting with fields, ${unknownName(name, ['model', ...nestedNames, ...knownMethods()])}`;
}

/** One line for each problem: `run.json: stpes: there is no such setting; did you mean "steps"?`. */
export function issueLines(issue: Issue, values: Record<string, unknown>, where: (key: string) => string): string {
  const [first, ...rest] = issue.path;
  if (issue.code === 'unrecognized_keys') {
    const inner = nestedSettings[first as keyof typeof nestedSettings] ?? nestedSettings.optimizer;
    const known = first === undefined ? settingNames : Object.keys((first === 'data' ? inputObject : inner).shape);
    return issue.keys
      .map((key) => {
        const path = first === undefined ? where(key) : asGiven(`${where(String(first))}.${key}`);
        if (first === undefined && knownMethods().includes(key)) {
          return `${path}: there is no such setting; settings of a method belong in methodOptions: { "${key}": { … } }`;
        }
        const now = renamedText(key, known);
        if (now) return `${path}: ${now}`;
        const hint = nearest(key, known);
        return `${path}: there is no such setting${hint ? `; did you mean "${hint}"?` : `. Known: ${known.join(', ')}`}`;
      })
      .join('\n');
  }
  const base = where(String(first));
  if (issue.code === 'invalid_key' && first === 'methodOptions') {
    return `${asGiven(`${base}.${String(rest[0])}`)}: ${unknownOwner(String(rest[0]), values)}`;
  }
  const inside = rest.map((key) => (typeof key === 'number' ? `[${key}]` : `.${String(key)}`)).join('');
  const path = asGiven(base + inside);
  const value = issue.path.reduce<unknown>(
    (at, key) => (at as Record<PropertyKey, unknown> | undefined)?.[key],
    values,
  );
  return `${path}: ${issueText(issue)}; got ${JSON.stringify(value)}`;
}

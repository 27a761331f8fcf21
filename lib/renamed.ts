/**
 * Settings, options and recorded fields that had another name before. A user who gives an old name gets an error with the
 * new one; files that an earlier version wrote are read with current names.
 */

/** Current names of each old one; `units` were a list of the layers of all stages, or those of one. */
const renamed = {
  accumulate: ['accumulation'],
  microBatches: ['accumulation'],
  lr: ['learningRate'],
  operatorRate: ['operatorLearningRate'],
  evalEvery: ['evaluateEvery'],
  evalBatches: ['evaluationBatches'],
  heldOutBatches: ['evaluationBatches'],
  maxBatches: ['evaluationBatches'],
  vocab: ['vocabSize'],
  units: ['stageLayers', 'trainedLayers'],
} as const satisfies Readonly<Record<string, readonly [string, ...string[]]>>;

/** The old names. */
export const oldNames = Object.keys(renamed) as (keyof typeof renamed)[];

const isOld = (name: string): name is keyof typeof renamed => Object.hasOwn(renamed, name);

/** "setting 'lr' is now 'learningRate'" for an old name; with `known`, only where that has the new name. */
export function renamedText(name: string, known?: readonly string[]): string | undefined {
  if (!isOld(name)) return undefined;
  const current = renamed[name].filter((each) => known === undefined || known.includes(each));
  return current.length === 0
    ? undefined
    : `setting '${name}' is now ${current.map((each) => `'${each}'`).join(' or ')}`;
}

/** The same for a flag: "option '--lr' is now '--learning-rate'". `toFlag` makes the flag of a name. */
export function renamedFlagText(argument: string, toFlag: (name: string) => string): string | undefined {
  const flag = argument.split('=', 1)[0] as string;
  const old = oldNames.find((name) => toFlag(name) === flag);
  return old && `option '${flag}' is now '${toFlag(renamed[old][0])}'`;
}

/** Data of a file of this package, with the keys that an earlier version wrote under their current names. */
export function withCurrentNames(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withCurrentNames);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).map(([key, inner]) => [currentName(key, inner), withCurrentNames(inner)]);
  return Object.fromEntries(entries);
}

function currentName(key: string, value: unknown): string {
  if (key === 'units') return Array.isArray(value) ? 'stageLayers' : 'trainedLayers';
  return isOld(key) ? renamed[key][0] : key;
}

/**
 * Modules that a run asks for (`--import ./family.mjs`, `--method ./mine.mjs`): loaded before settings are read, so that the
 * methods and families that they add have their names by then.
 */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { ApolloError } from '../../errors.js';
import { jsonObject } from '../../fs/json-object.js';
import { knownMethods, type MethodDefinition, registerMethod } from '../../methods/index.js';
import { familyKinds, type ModelFamily, registerFamily } from '../../models/index.js';

/** What each module that was loaded has added, by its path. */
interface Added {
  readonly methods: readonly string[];
  readonly families: readonly string[];
}
const loaded = new Map<string, Added>();

/** Whether a method is named by the file that adds it. */
const isModule = (label: unknown): label is string => typeof label === 'string' && /[\\/]|\.[cm]?[jt]s$/.test(label);

const placeOf = (path: string, base: string): string =>
  path.startsWith('file:') ? fileURLToPath(path) : resolve(base, path);

/** The settings of one layer with modules in place of what they add: methods by their names, paths from `base`. */
export function withModules(values: Readonly<Record<string, unknown>>, base = '.'): Record<string, unknown> {
  const found = modulesOf(values, base);
  if (found.length === 0) return { ...values };
  const named = (label: unknown) => (isModule(label) ? methodOf(label, placeOf(label, base)) : label);
  const { method, methods } = values;
  return {
    ...values,
    ...(method !== undefined && { method: named(method) }),
    ...(Array.isArray(methods) && { methods: methods.map(named) }),
    import: [...new Set(found.map(({ path }) => path))],
  };
}

interface Named {
  /** As it was given, with its option. */
  readonly label: string;
  readonly path: string;
}

/** The modules that a layer of settings names. */
function modulesOf(values: Readonly<Record<string, unknown>>, base: string): Named[] {
  const { import: imported, method, methods } = values;
  const list = (value: unknown): unknown[] => (Array.isArray(value) ? value : value === undefined ? [] : [value]);
  const named = (option: string, paths: readonly unknown[]) =>
    paths
      .filter((path) => typeof path === 'string')
      .map((path) => ({ label: `${option} ${path}`, path: placeOf(path, base) }));
  return [
    ...named('--import', list(imported)),
    ...named('--method', list(method).filter(isModule)),
    ...named('--methods', list(methods).filter(isModule)),
  ];
}

/** The one method that a module adds. @throws ApolloError BAD_CONFIG where it adds none, or several. */
function methodOf(label: string, path: string): string {
  const { methods = [] } = loaded.get(path) ?? {};
  if (methods.length === 1) return methods[0] as string;
  throw new ApolloError(
    'BAD_CONFIG',
    methods.length === 0
      ? `--method ${label}: the module adds no training method. Export one as default, { name, create }, or call registerMethod of the apollo-lm that this command belongs to.`
      : `--method ${label}: the module adds several methods. Name one: --import ${label} --method ${methods[0]} (it has ${methods.join(', ')}).`,
  );
}

export interface ModuleSources {
  /** The command line's layer. */
  readonly flags: Readonly<Record<string, unknown>>;
  /** A file of settings. */
  readonly config?: string | undefined;
  /** Folder of a run that is resumed or branched off: its modules are in its settings. */
  readonly run?: string | undefined;
}

/**
 * Loads the modules that a command's settings name, each once.
 * @throws ApolloError BAD_CONFIG for a file that is not there, one that fails when it is loaded, and a name that is taken.
 */
export async function loadModules({ flags, config, run }: ModuleSources): Promise<void> {
  const given = modulesOf(flags, '.');
  const ofFile = config === undefined ? [] : modulesOf(readLeniently(config), dirname(config));
  for (const { label, path } of [...given, ...ofFile]) await load(label, path);
  if (run === undefined || config !== undefined) return;
  for (const { path } of modulesOf(readLeniently(join(run, 'settings.json')), run)) {
    if (existsSync(path)) await load(`--resume: ${path}`, path);
    else if (given.length === 0) {
      throw new ApolloError(
        'BAD_CONFIG',
        `--resume: the run in ${run} uses the module ${path}, which is not there any more. Give its new place: --import PATH`,
      );
    }
  }
}

/** A file of settings; what is wrong with it is said where settings are read. */
function readLeniently(path: string): Record<string, unknown> {
  try {
    return jsonObject(readFileSync(path), path, 'BAD_CONFIG');
  } catch {
    return {};
  }
}

async function load(label: string, path: string): Promise<void> {
  if (loaded.has(path)) return;
  if (!existsSync(path)) throw new ApolloError('BAD_CONFIG', `${label}: there is no file ${path}.`);
  const [methods, families] = [knownMethods(), familyKinds()];
  let module: { readonly default?: unknown };
  try {
    module = (await import(pathToFileURL(path).href)) as typeof module;
  } catch (error) {
    throw failed(label, error);
  }
  for (const definition of [module.default].flat()) register(label, definition);
  loaded.set(path, {
    methods: knownMethods().filter((name) => !methods.includes(name)),
    families: familyKinds().filter((kind) => !families.includes(kind)),
  });
}

/** Adds a method or a family that a module exports as default. @throws ApolloError BAD_CONFIG for a name that is taken. */
function register(label: string, definition: unknown): void {
  if (typeof definition !== 'object' || definition === null || !('create' in definition)) return;
  try {
    if ('name' in definition) registerMethod(definition as MethodDefinition);
    else if ('kind' in definition) registerFamily(definition as unknown as ModelFamily);
  } catch (error) {
    throw failed(label, error);
  }
}

/** An error of a module, with the place in it where one is known. */
function failed(label: string, error: unknown): ApolloError {
  if (error instanceof ApolloError)
    return new ApolloError('BAD_CONFIG', `${label}: ${error.message.replace(/\.$/, '')}.`, { cause: error });
  const { message, stack = '' } = error instanceof Error ? error : new Error(String(error));
  const place = /\(?(file:\/\/[^\s()]+:\d+):\d+\)?|^(file:\/\/\S+:\d+)$/m.exec(stack);
  const where = place?.[1] ?? place?.[2];
  return new ApolloError(
    'BAD_CONFIG',
    `${label}: the module cannot be loaded: ${message}${where ? ` (at ${fileURLToPath(where.replace(/:\d+$/, ''))}:${/\d+$/.exec(where)?.[0]})` : ''}.`,
    { cause: error },
  );
}

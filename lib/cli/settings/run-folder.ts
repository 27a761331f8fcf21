/**
 * The life of a run's folder: which one it is, the settings kept in it so that `--resume --out FOLDER` is enough, the lock that
 * keeps a second process out, and what is removed when a start fails.
 */
import { existsSync } from 'node:fs';
import { readdir, readFile, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { endOfTextNames } from '../../data/index.js';
import { ApolloError } from '../../errors.js';
import { fileError, isSystemError } from '../../fs/error.js';
import { type HeldFolder, holdFolder } from '../../fs/hold-folder.js';
import { describeHolder, lockHolder } from '../../fs/lock.js';
import { writeWholeFile } from '../../fs/whole-file.js';
import { newestCheckpoint } from '../../train/checkpoint/checkpoint-folder.js';
import { metricsFile } from '../watch/metrics.js';
import { loadSettings, placePaths, type SettingSources } from './config.js';
import { quoted } from './quoted.js';
import { methodNameOf, seedsOf } from './resolve.js';
import type { Settings } from './schema.js';

const settingsFile = 'settings.json';

/** Files that a run writes into its folder before its training starts: removed again if the start fails. */
const startFiles = [settingsFile, 'tokenizer.json', ...endOfTextNames, 'dashboard.json'];

export interface RunFolder {
  readonly settings: Settings;
  /** Exists, is locked, and holds the settings. */
  readonly path: string;
  /** Whether the run in it is resumed. */
  readonly resume: boolean;
  /** Messages to show before it starts. */
  readonly notes: readonly string[];
  /** Whether training has started: from then on everything is kept, even after an error. */
  begun: boolean;
  readonly held: HeldFolder;
  /** Takes back what a resume has added to the settings in the folder. */
  readonly takeBack?: () => Promise<void>;
}

/**
 * Settings and folder of a run of `command`, as it is called: "npx apollo-lm train". A resumed run takes the settings kept in its folder, with the command line's over
 * them. A new run in a folder that was named must find it free; else the next free one of `fallback`, `fallback-2`, … is taken.
 * @throws ApolloError BAD_CONFIG for a folder that holds another run, or one that is no run's; BAD_CHECKPOINT for a run that has
 * nothing to resume from; BUSY when another process works in it; FILE_SYSTEM. Nothing is changed then.
 */
export async function openRunFolder(
  sources: SettingSources,
  fallback: string,
  command: string,
  /** The command that starts such a run, for a message. */
  starts = command,
): Promise<RunFolder> {
  return sources.flags['resume'] === true ? openResumed(sources, command, starts) : openNew(sources, fallback, command);
}

/** The settings of such a run, without looking at its folder but for those that a resumed run has kept there. */
export function runSettings(sources: SettingSources): Settings {
  return sources.flags['resume'] === true ? resumedSettings(sources).settings : loadSettings(sources);
}

function resumedSettings(sources: SettingSources): { path: string; settings: Settings } {
  const { flags } = sources;
  const path = typeof flags['out'] === 'string' ? flags['out'] : loadSettings(sources).out;
  if (!path) throw new ApolloError('BAD_CONFIG', '--resume requires --out, the folder of the run to resume.');
  const kept = join(path, settingsFile);
  if (!existsSync(kept)) {
    throw new ApolloError(
      'BAD_CONFIG',
      `${path} is not the folder of an earlier run (there is no ${settingsFile} in it).`,
    );
  }
  return {
    path,
    settings: loadSettings(sources.config === undefined ? { ...sources, config: kept, keptByRun: true } : sources),
  };
}

async function openResumed(sources: SettingSources, command: string, starts: string): Promise<RunFolder> {
  const { path, settings } = resumedSettings(sources);
  checkMadeBy(path, starts);
  const held = await holdFolder(path, command);
  try {
    const notes = await checkResumable(path, starts);
    const takeBack = starts.endsWith(' compare') ? await keepAdded(sources, path, settings) : undefined;
    return { settings, path, resume: true, notes, begun: false, held, ...(takeBack && { takeBack }) };
  } catch (error) {
    await held.release();
    throw error;
  }
}

/**
 * Methods and seeds that a resumed comparison adds are kept, so that resuming it again needs no flags. Returns what takes them
 * back, if there are any.
 */
async function keepAdded(
  sources: SettingSources,
  path: string,
  settings: Settings,
): Promise<(() => Promise<void>) | undefined> {
  const file = join(path, settingsFile);
  const kept = loadSettings({ ...sources, config: file, keptByRun: true, flags: {} });
  const methods = settings.methods.filter((name) => !kept.methods.includes(name));
  const seeds = seedsOf(settings).filter((seed) => !seedsOf(kept).includes(seed));
  if (methods.length === 0 && seeds.length === 0) return undefined;
  const before = await readFile(file, 'utf8');
  const known = new Set(kept.methods.map((name) => methodNameOf(kept, name)));
  const added = {
    ...JSON.parse(before),
    methods: [...kept.methods, ...methods],
    seeds: seeds.length > 0 ? [...seedsOf(kept), ...seeds] : kept.seeds,
    variants: { ...settings.variants, ...kept.variants },
    methodOptions: {
      ...kept.methodOptions,
      ...Object.fromEntries(Object.entries(settings.methodOptions).filter(([name]) => !known.has(name))),
    },
  };
  await writeSettings(path, added);
  return () => writeWholeFile(file, before, 'The settings');
}

const writeSettings = (path: string, settings: object): Promise<void> =>
  writeWholeFile(join(path, settingsFile), `${JSON.stringify(settings, undefined, 2)}\n`, 'The settings');

/** @throws ApolloError BAD_CONFIG for a comparison that `train` is to resume, and the other way round. */
function checkMadeBy(path: string, starts: string): void {
  const has = (name: string) => existsSync(join(path, name));
  const [trained, compared] = [has(metricsFile), has('results.json')];
  const [program, own] = [starts.slice(0, starts.lastIndexOf(' ')), starts.slice(starts.lastIndexOf(' ') + 1)];
  const maker = trained === compared ? own : compared ? 'compare' : 'train';
  if (maker === own) return;
  throw new ApolloError(
    'BAD_CONFIG',
    `${path} is the folder of "${maker}", not of "${own}". Nothing was changed. Resume it with: ${program} ${maker} --resume --out ${quoted(path)}`,
  );
}

async function openNew(sources: SettingSources, fallback: string, command: string): Promise<RunFolder> {
  const settings = loadSettings(sources);
  const named = sources.flags['out'];
  const { path, held } =
    typeof named === 'string' ? await holdNamed(named, command) : await holdNextFree(settings.out ?? fallback, command);
  const { resume, out, ...kept } = settings;
  const absolute = placePaths(kept, (_, path) => resolve(path));
  try {
    await writeSettings(path, absolute);
  } catch (error) {
    await held.undo(startFiles);
    await held.release();
    throw error;
  }
  return { settings: { ...settings, out: path }, path, resume: false, notes: [], begun: false, held };
}

async function holdNamed(path: string, command: string) {
  await refuseUsed(path);
  const held = await holdFolder(path, command);
  try {
    await refuseUsed(path, { mine: true });
    return { path, held };
  } catch (error) {
    await held.undo([]);
    await held.release();
    throw error;
  }
}

/** @throws ApolloError BAD_CONFIG when a folder holds a run; BUSY when it is being made. */
async function refuseUsed(path: string, { mine = false } = {}): Promise<void> {
  const holder = mine ? undefined : await lockHolder(path);
  if (holder) {
    throw new ApolloError(
      'BUSY',
      `--out: ${path} is in use by ${describeHolder(holder)}. Nothing was changed. Wait until it has ended, stop it, or name another folder.`,
    );
  }
  if (!inUse(path)) return;
  throw new ApolloError(
    'BAD_CONFIG',
    `--out: ${path} holds an earlier run. Add --resume to resume it, or name another folder.`,
  );
}

async function holdNextFree(path: string, command: string) {
  for (let number = 1; ; number++) {
    const candidate = number === 1 ? path : `${path}-${number}`;
    if (inUse(candidate) || (await lockHolder(candidate))) continue;
    try {
      return await holdNamed(candidate, command);
    } catch (error) {
      // Another process was quicker.
      if (!(error instanceof ApolloError && ['BUSY', 'BAD_CONFIG'].includes(error.code))) throw error;
    }
  }
}

/**
 * Does a command's work in the folder of its run. A new run that fails before its training starts gives its folder free, so
 * that the command can be given again: files that it has made are removed, and nothing else. A resumed one that fails then takes
 * back the methods and seeds that it has added, with which each further resume would fail. One that is stopped keeps its
 * settings, for `--resume`.
 */
export async function inRunFolder<T>(folder: RunFolder, command: string, work: () => Promise<T>): Promise<T> {
  const { path, held } = folder;
  try {
    return await work();
  } catch (error) {
    const failed = isSystemError(error) || (error instanceof ApolloError && error.code !== 'ABORT_ERR');
    if (failed && !folder.begun) await (folder.resume ? folder.takeBack?.() : held.undo(startFiles));
    throw folder.begun ? await withResume(error, path, command) : error;
  } finally {
    await held.release();
  }
}

/** An error of the file system, with the command that resumes the run where it left a checkpoint. */
async function withResume(error: unknown, path: string, command: string): Promise<unknown> {
  const known = fileError(error, 'A file of the run', (error as NodeJS.ErrnoException).path ?? path);
  if (!(known instanceof ApolloError && known.code === 'FILE_SYSTEM')) return error;
  const left = (await newestStep(path)) === undefined ? '' : ` Then resume: ${command} --resume --out ${quoted(path)}`;
  return left === '' ? known : new ApolloError(known.code, known.message + left, { cause: error });
}

/**
 * Message for a run that was stopped before its training started and so has nothing to lose.
 * @throws ApolloError BAD_CHECKPOINT when it has trained and left no checkpoint.
 */
async function checkResumable(path: string, command: string): Promise<string[]> {
  if ((await newestStep(path)) !== undefined) return [];
  const started: string[] = [];
  for (const folder of await runFoldersIn(path)) {
    const size = await stat(join(folder, metricsFile)).then(
      (found) => found.size,
      () => 0,
    );
    if (size > 0) started.push(join(folder, metricsFile));
  }
  if (started.length === 0) return [`There is no checkpoint in ${path} to resume from yet: the run starts at step 0.`];
  throw new ApolloError(
    'BAD_CHECKPOINT',
    `--resume: there is nothing to resume from in ${path}: the run ended before its first checkpoint. Nothing was changed; ` +
      `what it did is in ${started.join(', ')}. To start it again with the same settings, name another folder: ` +
      `${command} --config ${quoted(join(path, settingsFile))} --out ${quoted(`${path}-2`)}`,
  );
}

/** Step of the newest checkpoint of any run in the folder. */
async function newestStep(path: string): Promise<number | undefined> {
  const steps: number[] = [];
  for (const folder of await runFoldersIn(path)) {
    const newest = await newestCheckpoint(folder);
    if (newest) steps.push(newest.step);
  }
  return steps.length === 0 ? undefined : Math.max(...steps);
}

/** The folder and those in it: a run's checkpoints, the runs of a comparison. */
async function runFoldersIn(path: string): Promise<string[]> {
  const entries = await readdir(path, { withFileTypes: true });
  return [path, ...entries.filter((entry) => entry.isDirectory()).map(({ name }) => join(path, name))];
}

function inUse(path: string): boolean {
  return existsSync(join(path, settingsFile));
}

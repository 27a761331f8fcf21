/** The folder of a run: which one it is, and the settings kept in it so that `--resume --out FOLDER` is enough. */
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { ApolloError } from '../errors.js';
import { loadSettings, placeInputs, type SettingSources, type Settings } from './config.js';
import { metricsFile } from './metrics.js';

const settingsFile = 'settings.json';

export interface RunFolder {
  readonly settings: Settings;
  /** Exists, and holds the settings. */
  readonly path: string;
  /** Whether what is in it is to be gone on with. */
  readonly resume: boolean;
  /** Whether it was made for this run. */
  readonly created: boolean;
}

/**
 * Settings and folder of a run. A resumed run takes the settings kept in its folder, with the command line's over them.
 * A new run in a folder that was named must find it free; else the next free one of `fallback`, `fallback-2`, … is taken.
 * @throws ApolloError BAD_CONFIG for a folder that is in use, or one that holds nothing to resume.
 */
export function openRunFolder(sources: SettingSources, fallback: string): RunFolder {
  const { flags } = sources;
  if (flags['resume'] === true) {
    const path = typeof flags['out'] === 'string' ? flags['out'] : loadSettings(sources).out;
    if (!path) throw new ApolloError('BAD_CONFIG', '--resume needs --out, the folder of the run to go on with.');
    const kept = join(path, settingsFile);
    if (!existsSync(kept)) {
      throw new ApolloError(
        'BAD_CONFIG',
        `--resume: ${path} is not the folder of an earlier run (there is no ${settingsFile} in it).`,
      );
    }
    return {
      settings: loadSettings({ ...sources, config: sources.config ?? kept }),
      path,
      resume: true,
      created: false,
    };
  }
  const settings = loadSettings(sources);
  const named = typeof flags['out'] === 'string';
  const path = named ? (flags['out'] as string) : nextFree(settings.out ?? fallback);
  if (inUse(path)) {
    throw new ApolloError(
      'BAD_CONFIG',
      `--out: ${path} holds an earlier run. Add --resume to go on with it, or name another folder.`,
    );
  }
  const created = mkdirSync(path, { recursive: true }) !== undefined;
  const { resume, out, ...kept } = settings;
  const absolute = {
    ...kept,
    ...(kept.data && { data: placeInputs(kept.data, (path) => resolve(path)) }),
    ...(kept.init && { init: resolve(kept.init) }),
    ...(typeof kept.tensorboard === 'string' && { tensorboard: resolve(kept.tensorboard) }),
  };
  writeFileSync(join(path, settingsFile), `${JSON.stringify(absolute, undefined, 2)}\n`);
  return { settings: { ...settings, out: path }, path, resume: false, created };
}

/**
 * Does a command's work in the folder of its run. A new run that fails before its training begins gives its folder
 * up, so that the command can be given again; one that is stopped keeps its settings, for `--resume`.
 */
export async function inRunFolder<T>(folder: RunFolder, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const failed = error instanceof ApolloError && error.code !== 'ABORT_ERR';
    if (failed && !folder.resume && !began(folder.path)) release(folder);
    throw error;
  }
}

function began(path: string): boolean {
  return readdirSync(path, { recursive: true, encoding: 'utf8' }).some((name) => basename(name) === metricsFile);
}

function release({ path, created }: RunFolder): void {
  rmSync(created ? path : join(path, settingsFile), { recursive: true });
}

function inUse(path: string): boolean {
  return existsSync(join(path, settingsFile));
}

function nextFree(path: string): string {
  for (let number = 1; ; number++) {
    const candidate = number === 1 ? path : `${path}-${number}`;
    if (!inUse(candidate)) return candidate;
  }
}

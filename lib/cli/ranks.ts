/** A command that several ranks run together (docs/distributed.md): how they start and end, and which of them prints. */
import { setTimeout as delay } from 'node:timers/promises';
import {
  alone,
  type EndedRank,
  type Environment,
  fromFirst,
  type Group,
  openGroup,
  type RankPlace,
  type RankWatch,
  rankOf,
  watchRanks,
} from '../dist/index.js';
import type { Device } from '../engine/index.js';
import { ApolloError } from '../errors.js';
import { openDeviceOf } from './device.js';
import type { CommandIo, Output } from './io.js';
import { quoted } from './settings/quoted.js';
import { inRunFolder, type RunFolder } from './settings/run-folder.js';
import type { Settings } from './settings/schema.js';

/** Context of a rank. */
export interface Seat {
  readonly device: Device;
  readonly group: Group;
  /** Output for the messages of a rank that is silent otherwise. */
  readonly stderr: Output;
  /** The command that resumes what the ranks do, as soon as its folder is known. */
  resumeWith?: string;
}

/** Milliseconds that a rank leaves to the one that reports the failure, whose end makes the launcher end all others. */
const patienceMs = { ofOthers: 3000, ofRanksWithoutReason: 10_000, ofGroupsThatFail: 1000 };

/** A rank may take this many times as long as another one to start. */
const unevenStart = 4;

/**
 * Waits until the first rank will have reported an error that all have. It may still be starting: the slower this process did, the
 * longer the wait. Time in which this process does not run, on a machine with other work, is none in which the first one could.
 */
async function leaveToFirst({ startMs = 0 }: CommandIo): Promise<void> {
  const pieceMs = 50;
  const pieces = Math.max(patienceMs.ofOthers, unevenStart * startMs) / pieceMs;
  for (let piece = 0; piece < pieces; piece++) await delay(pieceMs);
}

/** Errors since the ranks began to meet, so that all have started: the first waits `ofRanksWithoutReason` for others' messages. */
const afterStart = new WeakSet<object>();

function markedAfterStart(error: unknown): unknown {
  if (typeof error === 'object' && error !== null) afterStart.add(error);
  return error;
}

/** Before a signal counts: where a launcher sends it because a rank has died, that rank is known by then. */
const signalMs = 100;

const silence: Output = { write: () => undefined };

/**
 * Does a command's work, on each rank where a launcher has started several: with a device and a group that the ranks leave
 * together, and without output on all but the first. After an error the group is left as it is: the other ranks may be
 * waiting in it, and the end of this process ends them. The same where a rank dies.
 */
export async function asRanks(
  io: CommandIo,
  settings: () => Pick<Settings, 'device' | 'threads' | 'tf32'>,
  work: (io: CommandIo, seat?: Seat) => Promise<number>,
): Promise<number> {
  const place = rankOf(io.env);
  if (place.size === 1) return work(io);
  const device = await openDeviceOf(settings(), place);
  const group = await openGroup(device, io.env).catch((error) => {
    throw markedAfterStart(error);
  });
  const seat: Seat = { device, group, stderr: io.stderr };
  const watch = await watchRanks(group, (ended) => endWith(ended, seat, io));
  if (group.rank === 0 && watch.unwatched.length > 0) {
    io.stderr.write(
      `warning: no connection to the ranks ${watch.unwatched.join(', ')}: if they die, only the launcher notices.\n`,
    );
  }
  const own = ofRank(io, group.rank, watch);
  try {
    const code = await work(own, seat);
    await watch.done();
    await group.close();
    await device.close();
    return code;
  } catch (error) {
    if ((error as { code?: unknown }).code === 'GROUP_FAILED') await delay(patienceMs.ofGroupsThatFail); // a rank may have died
    await watch.failed();
    throw markedAfterStart(error);
  }
}

/**
 * Opens the folder of a run, on the first rank, and does the work in it: `lead` on that rank, which reports and writes, and
 * `follow` on the others, which get its path and their own settings. Both have the number of ranks in their settings.
 */
export async function inFolderOfRanks(
  called: string,
  seat: Seat | undefined,
  site: {
    readonly open: () => Promise<RunFolder>;
    readonly settings: () => Settings;
    readonly lead: (folder: RunFolder) => Promise<number>;
    readonly follow: (settings: Settings, path: string, seat: Seat) => Promise<number>;
  },
): Promise<number> {
  let folder: RunFolder | undefined;
  const path = await fromFirst(seat?.group ?? alone, async () => {
    folder = await site.open();
    return folder.path;
  });
  if (seat) seat.resumeWith = `${called} --resume --out ${quoted(path)}`;
  if (!folder) return site.follow(ofRanks(site.settings(), seat!), path, seat!);
  const own = seat ? { ...folder, settings: ofRanks(folder.settings, seat) } : folder;
  return inRunFolder(own, called, () => site.lead(own));
}

/** The settings of a run, with the number of its ranks. */
const ofRanks = (settings: Settings, { group }: Seat): Settings => ({ ...settings, ranks: group.size });

function ofRank(io: CommandIo, rank: number, watch: RankWatch): CommandIo {
  return {
    ...io,
    ...(rank > 0 && { stdout: silence, stderr: silence }),
    onInterrupt: (callback) => io.onInterrupt((signal) => setTimeout(callback, signalMs, signal)),
    exit: (code) => {
      watch.failed();
      io.exit(code);
    },
  };
}

/** Ends this process because another rank has ended; where that one could not report why, the first remaining rank does. */
function endWith({ rank, host, pid, how }: EndedRank, { group, resumeWith }: Seat, io: CommandIo): void {
  const speaks = how === 'lost' && group.rank === (rank === 0 ? 1 : 0);
  if (!speaks) {
    setTimeout(() => io.exit(1), patienceMs.ofRanksWithoutReason);
    return;
  }
  const next = resumeWith
    ? `Start the same number of ranks again to resume from the newest checkpoint: ${resumeWith}`
    : 'Nothing was trained yet: start the ranks again.';
  io.stderr.write(
    `apollo-lm: ${speaker(group)}Rank ${rank} on ${host} (process ${pid}) has ended without a message: it was killed, for lack of ` +
      `memory or by a signal, or its machine is unreachable. All ranks end. ${next}\n`,
  );
  Promise.resolve(io.stderr.flush?.()).then(() => io.exit(1));
}

const speaker = ({ rank, size }: Pick<RankPlace, 'rank' | 'size'>): string =>
  `rank ${rank} of ${size} on ${alone.host}: `;

/** Commands that train and do not know of ranks: every rank would train a model of its own. */
const forOneRank = ['anneal', 'finetune'];

/** @throws ApolloError BAD_CONFIG for a command that several ranks cannot run together. */
export function checkRanks(command: string, env: Environment): void {
  if (!forOneRank.includes(command) || rankOf(env).size === 1) return;
  throw new ApolloError(
    'BAD_CONFIG',
    `${command} runs on one rank; the environment defines ${rankOf(env).size}. Only train and compare run on several ranks.`,
  );
}

function placeOf(env: Environment): RankPlace {
  try {
    return rankOf(env);
  } catch {
    return alone; // the error is being printed
  }
}

/** Output of the command line's parser: the same on all ranks, so the first prints it, and the others only if they outlive it. */
export function parserOutput(io: CommandIo) {
  const isFirst = placeOf(io.env).rank === 0;
  let held = '';
  return {
    writeOut: (text: string) => isFirst && io.stdout.write(text),
    writeErr: (text: string) => {
      if (isFirst) io.stderr.write(text);
      else held += text;
    },
    async end(): Promise<void> {
      if (held === '') return;
      await leaveToFirst(io);
      io.stderr.write(held);
    },
  };
}

/**
 * Prints why a command failed and returns the exit code. An error that all ranks have is printed by the first, whose end ends the others
 * while they wait here; one of a single rank by that rank. Ranks that fail end at once, even while they wait for something.
 */
export async function tellOnce(error: unknown, io: CommandIo, tell: (who: string) => number): Promise<number> {
  const { rank, size } = placeOf(io.env);
  if (size === 1) return tell('');
  if ((error as { code?: unknown }).code === 'RANK_FAILED') await delay(patienceMs.ofRanksWithoutReason);
  else if (rank > 0 && afterStart.has(error as object)) await delay(patienceMs.ofOthers);
  else if (rank > 0) await leaveToFirst(io);
  const code = tell(speaker({ rank, size }));
  await io.stderr.flush?.();
  io.exit(code);
  return code;
}

/** A command that several ranks run together (docs/distributed.md): how they begin and end, and which of them speaks. */
import { setTimeout as delay } from 'node:timers/promises';
import { alone, type Environment, type Group, openGroup, type RankPlace, rankOf } from '../dist/index.js';
import type { Device } from '../engine/index.js';
import { ApolloError } from '../errors.js';
import { openDeviceOf } from './device.js';
import type { CommandIo, Output } from './io.js';
import type { Settings } from './settings/config.js';

/** What a rank works with. */
export interface Seat {
  readonly device: Device;
  readonly group: Group;
}

/** Milliseconds that a rank leaves to the one that says what has failed, whose end makes the launcher end all others. */
const patienceMs = { ofOthers: 3000, ofRanksWithoutReason: 10_000 };

const silence: Output = { write: () => undefined };

/**
 * Does a command's work, on each rank where a launcher has started several: with a device and a group that the ranks leave
 * together, and without output on all but the first. After an error the group is left as it is: the other ranks may be
 * waiting in it, and the end of this process ends them.
 */
export async function asRanks(
  io: CommandIo,
  settings: () => Pick<Settings, 'device' | 'threads' | 'tf32'>,
  work: (io: CommandIo, seat?: Seat) => Promise<number>,
): Promise<number> {
  const place = rankOf(io.env);
  if (place.size === 1) return work(io);
  const device = await openDeviceOf(settings(), place);
  const group = await openGroup(device, io.env);
  const code = await work(group.rank === 0 ? io : { ...io, stdout: silence, stderr: silence }, { device, group });
  await group.close();
  await device.close();
  return code;
}

/** Commands that train and do not know of ranks: every rank would train a model of its own. */
const forOneRank = ['anneal', 'compare', 'finetune'];

/** @throws ApolloError BAD_CONFIG for a command that several ranks cannot run together. */
export function checkRanks(command: string, env: Environment): void {
  if (!forOneRank.includes(command) || rankOf(env).size === 1) return;
  throw new ApolloError(
    'BAD_CONFIG',
    `${command} runs on one rank; the environment says that there are ${rankOf(env).size}. Only train runs on several so far.`,
  );
}

function placeOf(env: Environment): RankPlace {
  try {
    return rankOf(env);
  } catch {
    return alone; // what is wrong is being told
  }
}

/**
 * Prints why a command failed and returns the exit code. An error that all ranks have is printed by the first, whose end ends the others
 * while they wait here; one of a single rank by that rank. Ranks that fail end at once, whatever they still wait for.
 */
export async function tellOnce(error: unknown, io: CommandIo, tell: (who: string) => number): Promise<number> {
  const { rank, size } = placeOf(io.env);
  if (size === 1) return tell('');
  if ((error as { code?: unknown }).code === 'RANK_FAILED') await delay(patienceMs.ofRanksWithoutReason);
  else if (rank > 0) await delay(patienceMs.ofOthers);
  const code = tell(`rank ${rank} of ${size} on ${alone.host}: `);
  await io.stderr.flush?.();
  io.exit(code);
  return code;
}

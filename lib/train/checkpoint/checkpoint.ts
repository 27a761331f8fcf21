/**
 * Contents of a checkpoint folder: model.safetensors (f32 weights), optimizer.safetensors (optimizer state of each weight)
 * and state.json (settings, position, totals, step counts, checksums). Everything else of a run is a function of
 * (settings, step).
 */
import { createReadStream, existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { z } from 'zod';
import type { ParameterStore } from '../../engine/parameters.js';
import { ApolloError } from '../../errors.js';
import { type Checksum, writeSynced } from '../../fs/durable.js';
import { fileError, isSystemError } from '../../fs/error.js';
import { SafetensorsReader, type TensorToWrite, writeSafetensors } from '../../interop/safetensors.js';
import * as is from '../../is.js';
import { methodNames } from '../../methods/index.js';
import {
  declareSpecs,
  headFlops,
  type ModelConfig,
  ownKinds,
  type ParameterSpec,
  withShape,
} from '../../models/index.js';
import { withCurrentNames } from '../../renamed.js';
import { type Kept, newestCheckpoint, writeFolder } from './checkpoint-folder.js';
import { checkpointOfRank } from './rank-folder.js';
import type { StoreView } from './staged-store.js';

export const formatVersion = 1;
export const weightsFile = 'model.safetensors';
const momentsFile = 'optimizer.safetensors';
export const stateFile = 'state.json';

/** Layers were once counted with the head of the finished model, although that of earlier stages was narrower. */
const atLeastZero = (flops: number): number => Math.max(0, flops);

const count = z.int().min(0);
const total = z.number().min(0);
const totalsSchema = z.object({
  tokens: total,
  flopsModel: total,
  /** The same without the head; older checkpoints have none, see flopsLayersOf. */
  flopsLayers: total.optional(),
  flopsExecuted: total,
  trainMs: total,
  /** Bytes of gradients and weights that ranks have sent, where there are several. */
  bytesSent: total.optional(),
});

const stateSchema = z.object({
  formatVersion: z.literal(formatVersion),
  /** Updates done (left-out ones included). */
  step: count,
  /** Stage and trained layers of the weights; a switch due at `step` may already be done. */
  stage: z.object({
    index: count,
    trainedLayers: z.int().min(1),
    /** Widths, where they are not those of the finished model. */
    shape: z.object({ hidden: z.int().min(1), heads: z.int().min(1), ffn: z.int().min(1) }).optional(),
    /** Whether the weights are expressions of what is stored. */
    reparameterised: z.boolean().optional(),
  }),
  /** Layer map that runs these weights at full depth. */
  layerMap: z.array(count),
  /** Gates of the trained layers in an evaluation here, where there are some. */
  gates: z
    .object({
      branchScales: z.array(z.number()).readonly().optional(),
      blockGates: z.array(z.number()).readonly().optional(),
    })
    .optional(),
  /** The settings the run's bits depend on. */
  identity: z.record(z.string(), z.unknown()),
  totals: totalsSchema,
  /** Training cost of the run's initial model. */
  source: totalsSchema.extend({ flopsLayers: z.number().transform(atLeastZero) }).optional(),
  /** Consecutive steps so far whose loss or gradients were not finite. */
  nonFiniteSteps: count,
  /** Training losses that an adaptive method has seen. */
  seen: z.object({ means: z.array(z.number().nullable()), steps: count, sum: z.number(), count: count }).optional(),
  /** Whether the evaluation due at `step` is done. */
  evaluated: z.boolean(),
  /** `ranks`: where there were several. */
  device: z.object({ kind: z.string(), threads: count, ranks: count.optional() }),
  /** For a run with `syncEvery`: its ranks, each with its own checkpoint, and the parameters changed since the last outer step. */
  local: z.object({ ranks: z.int().min(1), changed: z.array(z.string()) }).optional(),
  /** Step count of each parameter. */
  counts: z.record(z.string(), count),
  files: z.record(z.string(), z.object({ bytes: count, crc32: count })),
});

/** The contents of state.json. */
export type CheckpointState = z.output<typeof stateSchema>;
/** State that the writer of a checkpoint passes; counts and checksums are filled in. */
export type StateToWrite = Omit<CheckpointState, 'formatVersion' | 'counts' | 'files'>;

/** Errors that a checkpoint is damaged: an older one may be intact. */
const damages = new WeakSet<Error>();

function damaged(folder: string, what: string, cause?: unknown): ApolloError {
  const advice =
    'Use an older checkpoint in the same folder, if there is one, or start a new run. See docs/troubleshooting.md#damaged-checkpoint.';
  const message = `The checkpoint ${folder} is damaged: ${what} ${advice}`;
  const error = new ApolloError('BAD_CHECKPOINT', message, { cause });
  damages.add(error);
  return error;
}

/** Errors of the system that come from what is on the disk. Others, such as too many open files, say nothing about it. */
const damageCodes = ['ENOENT', 'ENOTDIR', 'EISDIR', 'EIO'];

/** The error for a file of a checkpoint that could not be read: damage, or one of the file system. */
function unreadable(folder: string, file: string, error: unknown): unknown {
  if (isSystemError(error) && !damageCodes.includes(error.code))
    return fileError(error, 'The checkpoint', join(folder, file), 'be read');
  return damaged(folder, `${file} cannot be read (${(error as Error).message}).`, error);
}

/** The error for a folder without a checkpoint; of one that holds several, with the newest. */
async function noCheckpoint(folder: string, cause: unknown): Promise<ApolloError> {
  const inside = (await newestBelow(folder))?.path;
  const advice = inside
    ? `The newest below it is ${inside}.`
    : 'Give the folder of a checkpoint, as step-00001000 in the checkpoints of a run. See docs/troubleshooting.md#no-checkpoint.';
  const error = new ApolloError('BAD_CHECKPOINT', `There is no checkpoint in ${folder}. ${advice}`, { cause });
  damages.add(error); // in a folder of a run's checkpoints: an older one may be whole
  return error;
}

/** The newest checkpoint of a folder of checkpoints, or of the folder of a run. */
async function newestBelow(folder: string) {
  const of = (directory: string) => newestCheckpoint(directory).catch(() => undefined);
  return (await of(folder)) ?? (await of(join(folder, 'checkpoints')));
}

/** Whether an error means that a checkpoint is damaged, and not that it is another run's or another version's. */
export const isDamage = (error: unknown): error is ApolloError => error instanceof ApolloError && damages.has(error);

/**
 * Describes the damage of a checkpoint; undefined if none was found. That is also so where it could not be looked for, because
 * the checkpoint is of another version or the system refuses to read a file (no permission, too many open files): it may
 * be whole, must not be set aside, and whoever loads it gets that error.
 */
export async function damageOf(folder: string): Promise<ApolloError | undefined> {
  try {
    const state = await readWhole(folder);
    for (let rank = 1; rank < (state.local?.ranks ?? 1); rank++) await verifyRank(folder, rank, state);
    return undefined;
  } catch (error) {
    return isDamage(error) ? error : undefined;
  }
}

/** The state of a checkpoint of which every file is whole. @throws ApolloError as readCheckpointState, BAD_CHECKPOINT. */
async function readWhole(folder: string): Promise<CheckpointState> {
  const state = await readCheckpointState(folder);
  for (const file of Object.keys(state.files)) await verifyFile(folder, file, state);
  return state;
}

/** @throws ApolloError BAD_CHECKPOINT unless what `rank` has written next to the first rank's checkpoint is whole. */
async function verifyRank(folder: string, rank: number, { local, step }: CheckpointState): Promise<void> {
  const own = checkpointOfRank(folder, rank);
  try {
    const state = await readWhole(own);
    if (state.step === step && JSON.stringify(state.local) === JSON.stringify(local)) return;
  } catch (error) {
    if (!isDamage(error)) throw error;
    throw damaged(folder, `the part of rank ${rank}, ${own}, is missing or damaged.`, error);
  }
  throw damaged(folder, `the part of rank ${rank}, ${own}, belongs to another run.`);
}

/** Checksum of a file, read in pieces. */
async function checksum(path: string): Promise<Checksum> {
  let bytes = 0;
  let sum = 0;
  for await (const piece of createReadStream(path, { highWaterMark: 1 << 20 }) as AsyncIterable<Buffer>) {
    bytes += piece.length;
    sum = crc32(piece, sum);
  }
  return { bytes, crc32: sum };
}

/** The optimizer's state of all parameters as `NAME.SLOT`, read from the store once per parameter. */
function momentTensors(store: StoreView): TensorToWrite[] {
  let held: { name: string; moments: ReturnType<StoreView['moments']> } | undefined;
  const read = (name: string) => {
    if (held?.name !== name) held = { name, moments: store.moments(name) };
    return held.moments;
  };
  return store.names().flatMap((name) => {
    const { shape } = store.spec(name);
    return store.slots(name).map((slot, i) => ({
      name: `${name}.${slot.name}`,
      dtype: 'F32' as const,
      shape,
      data: async () => (await read(name)).slots[i]!.values,
    }));
  });
}

/**
 * Writes a checkpoint of the store and `state` into `directory` and returns its folder. Until it is complete the
 * previous one is kept; then all are removed but the `keep` newest and those of the steps `keepAt`.
 */
export async function saveCheckpoint(
  directory: string,
  store: StoreView,
  state: StateToWrite,
  kept: Kept = { keep: 1 },
): Promise<string> {
  return writeFolder(directory, state.step, kept, async (folder) => {
    const weights = store.names().map((name) => ({
      name,
      dtype: 'F32' as const,
      shape: store.spec(name).shape,
      data: () => store.read(name),
    }));
    const files = {
      [weightsFile]: await writeSynced(join(folder, weightsFile), (file) => writeSafetensors(file, weights)),
      [momentsFile]: await writeSynced(join(folder, momentsFile), (file) =>
        writeSafetensors(file, momentTensors(store)),
      ),
    };
    const complete: CheckpointState = {
      formatVersion,
      ...state,
      counts: Object.fromEntries(
        store
          .names()
          .sort()
          .map((name) => [name, store.count(name)]),
      ),
      files,
    };
    await writeSynced(join(folder, stateFile), (file) => file.append(`${JSON.stringify(complete, null, 2)}\n`));
  });
}

const takesReadCheckpointState = is.takes('readCheckpointState', { folder: is.path });

/**
 * The state.json of a checkpoint folder.
 * @example
 * const { step, totals } = await readCheckpointState('runs/gpt/checkpoints/step-00001000');
 * @throws ApolloError BAD_CHECKPOINT when it is missing, not what this version writes, or of another format version.
 */
export async function readCheckpointState(folder: string): Promise<CheckpointState> {
  takesReadCheckpointState(folder);
  let value: unknown;
  try {
    value = withNamesOfNow(JSON.parse(await readFile(join(folder, stateFile), 'utf8')));
  } catch (error) {
    const isMissing = isSystemError(error) && error.code === 'ENOENT';
    if (isMissing && !existsSync(join(folder, weightsFile))) throw await noCheckpoint(folder, error);
    throw unreadable(folder, stateFile, error);
  }
  const version = (value as { formatVersion?: unknown } | null)?.formatVersion;
  if (typeof version === 'number' && version !== formatVersion) {
    throw new ApolloError(
      'BAD_CHECKPOINT',
      `The checkpoint ${folder} has format version ${version}; this version of the package reads ${formatVersion}. Use the version that wrote it.`,
    );
  }
  const result = stateSchema.safeParse(value);
  if (!result.success) {
    const problems = result.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`).join('; ');
    throw damaged(folder, `${stateFile} is not complete (${problems}).`);
  }
  return result.data;
}

/**
 * A state.json with the names that settings of this package have now. Names of weights, and settings of methods and families
 * from outside of the package, are theirs.
 */
function withNamesOfNow(value: unknown): unknown {
  const state = withCurrentNames(value) as { counts?: unknown; identity?: Record<string, unknown> } | null;
  const { counts, identity } = (value ?? {}) as {
    counts?: unknown;
    identity?: Record<string, Record<string, unknown>>;
  };
  if (!state || typeof state !== 'object' || !identity) return state;
  const { method, model } = identity;
  const isForeign = method && !(methodNames as readonly unknown[]).includes(method['name']);
  const isOfForeignFamily = model && !ownKinds.includes(model['kind'] as string);
  return {
    ...state,
    ...(counts !== undefined && { counts }),
    identity: { ...state.identity, ...(isForeign && { method }), ...(isOfForeignFamily && { model }) },
  };
}

/** The model that a checkpoint holds: the finished one, in the widths of the checkpoint's stage. */
export function modelConfigOf(state: CheckpointState): ModelConfig {
  const model = state.identity['model'] as ModelConfig;
  return state.stage.shape ? withShape(model, state.stage.shape) : model;
}

/** Training FLOPs of a run without the head; where they were not counted, with the head that its model has now. */
export function flopsLayersOf(state: CheckpointState): number {
  const { flopsLayers, flopsModel, tokens } = state.totals;
  return flopsLayers ?? atLeastZero(flopsModel - 3 * headFlops(modelConfigOf(state)) * tokens);
}

/** @throws ApolloError BAD_CHECKPOINT unless `file` is as it was written. */
export async function verifyFile(folder: string, file: string, state: CheckpointState): Promise<void> {
  const expected = state.files[file];
  if (!expected) throw damaged(folder, `${stateFile} does not list ${file}.`);
  const found = await checksum(join(folder, file)).catch((error) => {
    throw unreadable(folder, file, error);
  });
  if (found.bytes !== expected.bytes) {
    throw damaged(folder, `${file} has ${found.bytes} bytes, ${expected.bytes} were written.`);
  }
  if (found.crc32 !== expected.crc32) throw damaged(folder, `the contents of ${file} do not match their checksum.`);
}

async function withReader<Value>(path: string, use: (reader: SafetensorsReader) => Promise<Value>): Promise<Value> {
  const reader = await SafetensorsReader.open(path);
  try {
    return await use(reader);
  } finally {
    await reader.close();
  }
}

/**
 * Declares `specs`, what the checkpoint's stage holds, in `store` and loads weights and the state of the optimizer that works
 * on it, which is the one that wrote it.
 * @throws ApolloError BAD_CHECKPOINT when a file is damaged or a tensor does not fit.
 */
export async function loadCheckpoint(
  folder: string,
  store: ParameterStore,
  specs: readonly ParameterSpec[],
): Promise<CheckpointState> {
  const state = await readCheckpointState(folder);
  await verifyFile(folder, weightsFile, state);
  declareSpecs(store, specs);
  await withReader(join(folder, weightsFile), async (reader) => {
    for (const { name, shape } of specs) await store.write(name, await reader.readFloat32(name, shape));
  });
  await verifyFile(folder, momentsFile, state);
  await withReader(join(folder, momentsFile), async (reader) => {
    for (const { name, shape } of specs) {
      const step = state.counts[name];
      if (step === undefined) throw damaged(folder, `${stateFile} has no step count for "${name}".`);
      const slots = [];
      for (const slot of store.slots(name)) {
        slots.push({ ...slot, values: await reader.readFloat32(`${name}.${slot.name}`, shape) });
      }
      await store.writeMoments(name, { slots, count: step });
    }
  });
  return state;
}

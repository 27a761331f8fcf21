/** A trained model that a run begins with: the checkpoint of an earlier run, read tensor by tensor. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { ApolloError } from '../errors.js';
import { SafetensorsReader } from '../interop/safetensors.js';
import type { WeightSource } from '../methods/method.js';
import { createModel, headFlops, type ModelConfig } from '../models/index.js';
import { modelConfigOf, readCheckpointState, stateFile, verifyFile, weightsFile } from './checkpoint.js';
import { latestCheckpoint } from './checkpoint-folder.js';

/** What training the source has cost, as its checkpoint counts it. */
export interface SourceCosts {
  readonly tokens: number;
  readonly flopsModel: number;
  readonly flopsLayers: number;
  readonly flopsExecuted: number;
  readonly trainMs: number;
}

export interface OpenSource extends WeightSource {
  readonly folder: string;
  readonly costs: SourceCosts;
  close(): Promise<void>;
}

/** The checkpoint that `path` is or holds the newest of. @throws ApolloError BAD_CONFIG when there is none. */
async function checkpointAt(path: string): Promise<string> {
  if (existsSync(join(path, stateFile))) return path;
  const latest = await latestCheckpoint(path);
  if (latest) return latest.path;
  throw new ApolloError(
    'BAD_CONFIG',
    `source: there is no checkpoint in ${path}. Train the smaller model first and give the folder of its checkpoints.`,
  );
}

/**
 * Opens the model trained in `path`. Its file is checked as a whole, then read as needed.
 * @throws ApolloError BAD_CONFIG when there is no checkpoint or its run was not at its full depth, BAD_CHECKPOINT when
 * it is damaged.
 */
export async function openSource(path: string): Promise<OpenSource> {
  const folder = await checkpointAt(path);
  const state = await readCheckpointState(folder);
  const config: ModelConfig = modelConfigOf(state);
  const layers = state.stage.units;
  if (state.layerMap.length !== layers || state.stage.reparameterised) {
    throw new ApolloError(
      'BAD_CONFIG',
      `source: ${folder} holds a model that was still growing (${layers} of ${config.layers} layers). Train it to its end.`,
    );
  }
  await verifyFile(folder, weightsFile, state);
  const { flopsModel, tokens } = state.totals;
  const reader = await SafetensorsReader.open(join(folder, weightsFile));
  const shapes = new Map(
    createModel(config)
      .parameters(layers)
      .map(({ name, shape }) => [name, shape]),
  );
  return {
    folder,
    config,
    layers,
    costs: { ...state.totals, flopsLayers: flopsModel - 3 * headFlops(config) * tokens },
    read(name) {
      const shape = shapes.get(name);
      if (!shape) throw new ApolloError('BAD_ARGUMENT', `source: the model in ${folder} has no parameter "${name}".`);
      return reader.readFloat32(name, shape);
    },
    close: () => reader.close(),
  };
}

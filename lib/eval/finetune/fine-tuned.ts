/**
 * A fine-tuned model as it is kept in a folder: model.safetensors (f32, this package's names), finetuned.json (task, head, structure,
 * length, scores) and tokenizer.json. It appears whole or not at all.
 */
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { z } from 'zod';
import { endOfTextFiles, type Tokenizer } from '../../data/index.js';
import type { ParameterStore } from '../../engine/parameters.js';
import { ApolloError } from '../../errors.js';
import { writeSynced } from '../../fs/durable.js';
import { waitingPath, writeWholeFolder } from '../../fs/whole-folder.js';
import { writeSafetensors } from '../../interop/safetensors.js';
import * as is from '../../is.js';
import { withCurrentNames } from '../../renamed.js';
import { fineTunedFile } from '../../train/checkpoint/model-folder.js';

export const weightsFile = 'model.safetensors';
export const tokenizerFile = 'tokenizer.json';

const schema = z.object({
  formatVersion: z.literal(1),
  task: z.string(),
  head: z.string(),
  model: z.record(z.string(), z.unknown()),
  layerMap: z.array(z.int().min(0)).min(1),
  maxLength: z.int().min(1),
  seed: z.int(),
  epoch: z.int().min(1),
  /** Scores by split and metric; null where a metric was not defined. */
  metrics: z.record(z.string(), z.record(z.string(), z.number().nullable())),
});

/** What a fine-tuned model's folder says of it, as plain data. */
export type FineTunedDescription = Omit<z.output<typeof schema>, 'formatVersion'>;

const takesIsFineTuned = is.takes('isFineTuned', { folder: is.path });

/**
 * Whether `folder` holds a fine-tuned model.
 * @example
 * if (isFineTuned('runs/sst2/pre-trained/seed-42/model')) console.log('tuned');
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function isFineTuned(folder: string): boolean {
  takesIsFineTuned(folder);
  return existsSync(join(standing(folder), fineTunedFile));
}

/** Where the model of `folder` is: there, or next to it in the moment in which it is replaced. */
export function standing(folder: string): string {
  const waiting = waitingPath(resolve(folder));
  return existsSync(join(folder, fineTunedFile)) || !existsSync(join(waiting, fineTunedFile)) ? folder : waiting;
}

const takesSaveFineTuned = is.takes('saveFineTuned', {
  folder: is.path,
  store: is.store,
  tokenizer: is.tokenizer,
  description: is.object('a FineTunedDescription', {
    head: is.string,
    maxLength: is.count,
    task: is.string,
    model: is.record,
    layerMap: is.layerMap,
    seed: is.integer,
    epoch: is.index,
    metrics: is.record,
  }),
});

/**
 * Writes the model in `store` to `folder`, over one that is there.
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export async function saveFineTuned(
  folder: string,
  store: ParameterStore,
  tokenizer: Tokenizer,
  description: FineTunedDescription,
): Promise<void> {
  takesSaveFineTuned(folder, store, tokenizer, description);

  const tensors = store.names().map((name) => ({
    name,
    dtype: 'F32' as const,
    shape: store.spec(name).shape,
    data: () => store.read(name),
  }));
  const text = `${JSON.stringify({ formatVersion: 1, ...description }, undefined, 2)}\n`;
  await writeWholeFolder(folder, 'The fine-tuned model', async (inside) => {
    const write = (name: string, content: string) => writeSynced(join(inside, name), (file) => file.append(content));
    await writeSynced(join(inside, weightsFile), (file) => writeSafetensors(file, tensors));
    await write(tokenizerFile, JSON.stringify(tokenizer.definition));
    for (const { name, content } of endOfTextFiles(tokenizer)) if (content) await write(name, content);
    await write(fineTunedFile, text);
  });
}

const takesReadFineTuned = is.takes('readFineTuned', { folder: is.path });

/**
 * The content of finetuned.json. @throws ApolloError BAD_CHECKPOINT when there is none or it is damaged.
 * @example
 * const { task, epoch, metrics } = await readFineTuned('runs/sst2/pre-trained/seed-42/model');
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export async function readFineTuned(folder: string): Promise<FineTunedDescription> {
  takesReadFineTuned(folder);

  if (!isFineTuned(folder)) {
    throw new ApolloError(
      'BAD_CHECKPOINT',
      `There is no fine-tuned model in ${folder} (no ${fineTunedFile}). Make one with finetune; it is in ` +
        "OUT/pre-trained/seed-N/model. For a model that Hugging Face's library saved, name the task (--task).",
    );
  }
  const result = schema.safeParse(await readJson(join(standing(folder), fineTunedFile)));
  if (result.success) return result.data;
  const problems = result.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`).join('; ');
  throw new ApolloError('BAD_CHECKPOINT', `${join(folder, fineTunedFile)} is not complete (${problems}).`);
}

export async function readJson(path: string): Promise<unknown> {
  try {
    return withCurrentNames(JSON.parse(await readFile(path, 'utf8')));
  } catch (error) {
    throw new ApolloError('BAD_CHECKPOINT', `${path} cannot be read (${(error as Error).message}).`, { cause: error });
  }
}

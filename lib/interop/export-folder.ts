/** The folder of an exported model: which one may be written or replaced, and which of its files are the export's. */
import { readdir, stat } from 'node:fs/promises';
import { ApolloError } from '../errors.js';
import { fileError } from '../fs/error.js';
import { configFile, indexFile, weightsFile } from './hugging-face-folder.js';

const textFiles =
  /^(config|generation_config|special_tokens_map|tokenizer(_config)?|vocab)\.json$|^(vocab|merges)\.txt$/;
const shardName = /^model-\d{5}-of-\d{5}\.safetensors$/;

/** Whether a file of an exported model is written by an export: all others are the user's and stay when it is replaced. */
export function isExported(entry: string): boolean {
  return textFiles.test(entry) || shardName.test(entry) || entry === weightsFile || entry === indexFile;
}

/**
 * Checks that a model may be exported to a folder, before work is put into it: there is none, it is empty, or it holds a
 * model as this package or Hugging Face writes it and `force` is set.
 * @throws ApolloError BAD_ARGUMENT when it is a file, or holds something and may not be replaced; FILE_SYSTEM.
 */
export async function checkExportFolder(path: string, force = false): Promise<void> {
  const refuse = (message: string): never => {
    throw new ApolloError('BAD_ARGUMENT', message);
  };
  if (path === '') refuse('The name of the folder to write is empty. Name a folder.');
  const found = await stat(path).catch(() => undefined);
  if (!found) return;
  if (!found.isDirectory()) refuse(`${path} is a file; name a folder.`);
  const entries = await readdir(path).catch((error: unknown) => {
    throw fileError(error, 'The exported model', path);
  });
  if (entries.length === 0) return;
  const isModel = entries.includes(configFile) && (entries.includes(weightsFile) || entries.includes(indexFile));
  if (!isModel) {
    refuse(`${path} is not empty and does not hold an exported model, so it is not replaced. Name another folder.`);
  }
  if (!force)
    refuse(`${path} holds an exported model already. Name another folder, or replace it with --force (force: true).`);
}

/**
 * The token at which a text ends, as the files next to a tokenizer name it: `eos_token` of tokenizer_config.json or
 * special_tokens_map.json, else `eos_token_id` of generation_config.json or config.json, in the order in which transformers
 * goes by them. Who separates documents or stops generating asks here.
 */
import { existsSync, readFileSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { jsonObject } from '../../fs/json-object.js';
import type { Tokenizer } from './tokenizer.js';

type Json = Readonly<Record<string, unknown>>;

/** The object in a file of a folder, empty where there is no such file. @throws ApolloError BAD_TOKENIZER. */
function objectIn(folder: string, file: string): Json {
  const path = join(folder, file);
  return existsSync(path) ? jsonObject(readFileSync(path), path, 'BAD_TOKENIZER') : {};
}

/** A special token as text, however it is written down: as text, or as an object with its content. */
function contentOf(token: unknown): string | undefined {
  const content = typeof token === 'object' && token !== null ? (token as Json)['content'] : token;
  return typeof content === 'string' ? content : undefined;
}

/**
 * Ids at which a text may end, as Tokenizer.endIds. `path`: a tokenizer's file or folder.
 * @throws ApolloError BAD_TOKENIZER naming a file beside it that is damaged.
 */
function endsOfText(tokenizer: Pick<Tokenizer, 'kind' | 'vocabSize' | 'specials' | 'idOf'>, path: string): number[] {
  const folder = statSync(path, { throwIfNoEntry: false })?.isDirectory() ? path : dirname(path);
  // BERT's configurations name ids that its texts do not have: [SEP] ends them.
  const ids = tokenizer.kind === 'wordpiece' ? [] : idsIn(folder, tokenizer.vocabSize);
  const named = ['tokenizer_config.json', 'special_tokens_map.json']
    .map((file) => contentOf(objectIn(folder, file)['eos_token']))
    .map((content) => (content === undefined ? undefined : tokenizer.idOf(content)))
    .find((id) => id !== undefined);
  const first = named ?? tokenizer.specials.eot;
  return first === undefined ? ids : [...new Set([first, ...ids])];
}

function idsIn(folder: string, vocabSize: number): number[] {
  for (const file of ['generation_config.json', 'config.json']) {
    const ids = [objectIn(folder, file)['eos_token_id']].flat().filter((id) => Number.isInteger(id)) as number[];
    const known = ids.filter((id) => id >= 0 && id < vocabSize);
    if (known.length > 0) return known;
  }
  return [];
}

/** The tokenizer with the ends of text that the files next to it name. */
export function withEndOfText(tokenizer: Tokenizer, path: string): Tokenizer {
  const endIds = endsOfText(tokenizer, path);
  const [eot] = endIds;
  if (eot === undefined || eot === tokenizer.specials.eot) return { ...tokenizer, endIds };
  const specialIds = [...new Set([...tokenizer.specialIds, eot])].sort((a, b) => a - b);
  return { ...tokenizer, specials: { ...tokenizer.specials, eot }, specialIds, endIds };
}

/** Names of the files of `endOfTextFiles`. */
export const endOfTextNames = ['special_tokens_map.json', 'generation_config.json'] as const;

/**
 * Files that keep the ends of text next to a tokenizer.json: the first end, where the content of tokenizer.json does not
 * define it (by `special_roles`, or as `<|endoftext|>`, which is known by its name before any other), and all of them, where
 * there are several. One that is not needed has no content.
 */
export function endOfTextFiles({
  specials,
  endIds,
  tokenOf,
  definition,
}: Pick<Tokenizer, 'specials' | 'endIds' | 'tokenOf' | 'definition'>): { name: string; content: string | undefined }[] {
  const token = specials.eot === undefined ? undefined : tokenOf(specials.eot);
  const isDefined = token === undefined || token === '<|endoftext|>' || token === definition.special_roles?.eot;
  const text = (content: object) => `${JSON.stringify(content, null, 2)}\n`;
  const [first, all] = endOfTextNames;
  return [
    { name: first, content: isDefined ? undefined : text({ eos_token: token }) },
    { name: all, content: endIds.length > 1 ? text({ eos_token_id: endIds }) : undefined },
  ];
}

/** Message where texts have no end. */
export const noEndOfText =
  'the tokenizer names no end of text: tokenizer_config.json and special_tokens_map.json have no eos_token that is in its ' +
  'vocabulary, config.json and generation_config.json no eos_token_id, and there is no <|endoftext|>.';

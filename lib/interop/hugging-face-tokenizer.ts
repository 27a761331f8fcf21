/**
 * Writes a tokenizer as Hugging Face's libraries expect it in a model's folder: tokenizer.json, tokenizer_config.json,
 * special_tokens_map.json, and the older files that say the same (vocab.txt, or vocab.json with merges.txt).
 * Reading is lib/data/tokenizer/tokenizer.ts' task.
 */
import { join } from 'node:path';
import { beginOf } from '../data/tokenizer/framing.js';
import { withSettings } from '../data/tokenizer/settings.js';
import type { Tokenizer } from '../data/tokenizer/tokenizer.js';
import type { TokenizerDefinition } from '../data/tokenizer/tokenizer-files.js';
import { writeWholeFiles } from '../fs/whole-file.js';
import * as is from '../is.js';

/** A file of a tokenizer, from {@link tokenizerFiles}. */
export interface TokenizerFile {
  /** Name of the file, as 'tokenizer.json'. */
  readonly name: string;
  /** UTF-8 text. */
  readonly content: string;
}

/** Options of {@link tokenizerFiles} and {@link saveTokenizer}. */
export interface TokenizerFilesOptions {
  /** Positions of the model the tokenizer goes with: `model_max_length`, to which Python truncates when asked to. */
  readonly maxLength?: number;
}

const takesTokenizerFiles = is.takes('tokenizerFiles', {
  tokenizer: is.savedTokenizer,
  options: is.options({ maxLength: is.optional(is.count) }),
});

/**
 * The files of a tokenizer, as `{ name, content }`. Python's `AutoTokenizer`, `BertTokenizerFast`,
 * `GPT2TokenizerFast` and `tokenizers.Tokenizer.from_file` load them and give the same ids. The older files are left out
 * where they could not say the same: vocab.txt when a token holds a line end, vocab.json and merges.txt when the words are
 * those of no class that reads them (Llama 3, SmolLM).
 *
 * ```ts
 * for (const { name, content } of tokenizerFiles(loadTokenizer('run/tokenizer.json'))) console.log(name, content.length);
 * ```
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function tokenizerFiles(
  tokenizer: Pick<Tokenizer, 'kind' | 'definition' | 'specials'>,
  options: TokenizerFilesOptions = {},
): TokenizerFile[] {
  takesTokenizerFiles(tokenizer, options);

  const { kind, definition } = tokenizer;
  const roles = rolesOf(tokenizer);
  const whole = completed(tokenizer);
  const config = configOf(tokenizer, whole, roles, options);
  const files: TokenizerFile[] = [
    { name: 'tokenizer.json', content: json(whole) },
    { name: 'tokenizer_config.json', content: json(config) },
    {
      name: 'special_tokens_map.json',
      content: json(Object.fromEntries(Object.entries(roles).filter(([, token]) => token !== null))),
    },
  ];
  if (kind === 'wordpiece') {
    const entries = entriesById(definition);
    const tokens = entries.map(([token]) => token);
    // A line's place is its token's id, and white space at its end is lost.
    if (entries.every(([token, id], line) => id === line && !/[\r\n]|\p{White_Space}$/u.test(token)))
      files.push({ name: 'vocab.txt', content: `${tokens.join('\n')}\n` });
  }
  if (kind === 'bpe' && config['tokenizer_class'] !== anyClass) {
    const merges = (definition.model.merges ?? []).map((merge) =>
      typeof merge === 'string' ? merge : merge.join(' '),
    );
    const vocabulary = Object.fromEntries(entriesById(definition));
    files.push({ name: 'vocab.json', content: json(vocabulary) });
    files.push({ name: 'merges.txt', content: `${['#version: 0.2', ...merges].join('\n')}\n` });
  }
  return files;
}

const takesSaveTokenizer = is.takes('saveTokenizer', {
  folder: is.path,
  tokenizer: is.savedTokenizer,
  options: is.options({ maxLength: is.optional(is.count) }),
});

/**
 * Writes the files of a tokenizer into a folder, which is made if need be. Each file takes its place whole.
 * @example
 * await saveTokenizer('runs/gpt', tokenizer);
 * @throws ApolloError FILE_SYSTEM when the folder cannot be written.
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export async function saveTokenizer(
  folder: string,
  tokenizer: Pick<Tokenizer, 'kind' | 'definition' | 'specials'>,
  options: TokenizerFilesOptions = {},
): Promise<void> {
  takesSaveTokenizer(folder, tokenizer, options);

  const files = tokenizerFiles(tokenizer, options).map(({ name, content }) => ({ path: join(folder, name), content }));
  await writeWholeFiles(files, 'The tokenizer');
}

type Roles = Record<string, string | null>;

/** The role of each special token; null where the vocabulary has none and Python would otherwise add one of its own. */
function rolesOf({ kind, definition, specials }: Pick<Tokenizer, 'kind' | 'definition' | 'specials'>): Roles {
  const contents = new Map(entriesById(definition).map(([token, id]) => [id, token]));
  // A token that is only in the vocabulary is text where it is written in one; a role would make it special.
  const special = new Set((definition.added_tokens ?? []).filter((token) => token.special).map(({ id }) => id));
  const token = (id: number | undefined): string | null =>
    id !== undefined && special.has(id) ? (contents.get(id) ?? null) : null;
  const end = token(specials.eot);
  const begin = definition.special_roles?.bos ?? token(beginOf(definition));
  if (kind === 'bpe') {
    const { cls, unk, sep, pad, mask } = specials;
    const others = { sep_token: token(sep), pad_token: token(pad), cls_token: token(cls), mask_token: token(mask) };
    return {
      bos_token: begin ?? token(cls) ?? end,
      eos_token: end,
      unk_token: token(unk) ?? end,
      ...Object.fromEntries(Object.entries(others).filter(([, content]) => content !== null)),
    };
  }
  const roles: Roles = {
    unk_token: token(specials.unk),
    sep_token: token(specials.sep),
    pad_token: token(specials.pad),
    cls_token: token(specials.cls),
    mask_token: token(specials.mask),
  };
  const isOfText = kind === 'other' && definition.model.type === 'BPE'; // other models call the first token [CLS]
  return {
    ...roles,
    ...(isOfText && begin !== null && { bos_token: begin }),
    ...(end !== null && { eos_token: end }),
  };
}

/** The class that takes the pipeline from tokenizer.json as it is. */
const anyClass = 'PreTrainedTokenizerFast';

/** Classes that may stand for a kind, the usual one first. */
const classes = {
  wordpiece: ['BertTokenizer', anyClass],
  bpe: ['GPT2Tokenizer', 'Qwen2Tokenizer', 'RobertaTokenizer', anyClass],
  other: [anyClass],
} as const;

/** The settings under the first class that makes the same tokenizer of them. */
function configOf(
  tokenizer: Pick<Tokenizer, 'kind' | 'definition'>,
  whole: TokenizerDefinition,
  roles: Roles,
  options: TokenizerFilesOptions,
): Record<string, unknown> {
  const configs = classes[tokenizer.kind].map((name) => configAs(name, tokenizer, roles, options));
  const isSame = (config: Record<string, unknown>): boolean => {
    if (config['tokenizer_class'] === 'BertTokenizer' && roles['unk_token'] === null) return false; // it needs one
    const beside = { config, specialTokensMap: undefined, addedTokens: undefined, model: undefined };
    const read = withSettings({ kind: 'file', definition: whole }, beside, 'tokenizer.json');
    const { special_roles: _, split_special_tokens: __, ...parts } = read;
    return JSON.stringify(parts) === JSON.stringify(whole);
  };
  return configs.find(isSame) ?? configs.at(-1)!;
}

function configAs(
  className: string,
  { kind, definition }: Pick<Tokenizer, 'kind' | 'definition'>,
  roles: Roles,
  options: TokenizerFilesOptions,
): Record<string, unknown> {
  const added = Object.fromEntries((definition.added_tokens ?? []).map(({ id, ...token }) => [id, token]));
  const { normalizer } = definition;
  const ofBert = {
    do_lower_case: normalizer?.lowercase !== false,
    strip_accents: normalizer?.strip_accents ?? null,
    tokenize_chinese_chars: normalizer?.handle_chinese_chars !== false,
    clean_up_tokenization_spaces: true,
  };
  const ofBytes = {
    add_prefix_space: definition.pre_tokenizer?.add_prefix_space === true,
    clean_up_tokenization_spaces: false,
  };
  const byClass: Record<string, object> = {
    BertTokenizer: ofBert,
    GPT2Tokenizer: ofBytes,
    Qwen2Tokenizer: ofBytes,
    RobertaTokenizer: ofBytes,
  };
  return {
    tokenizer_class: className,
    ...(byClass[className] ?? { clean_up_tokenization_spaces: kind === 'wordpiece' }),
    ...roles,
    ...(definition.split_special_tokens === true && { split_special_tokens: true }),
    ...(options.maxLength !== undefined && { model_max_length: options.maxLength }),
    added_tokens_decoder: added,
  };
}

/** The definition with every part that Python's reader wants, and without truncation and padding. */
function completed({ kind, definition }: Pick<Tokenizer, 'kind' | 'definition'>): TokenizerDefinition {
  const type = { wordpiece: 'WordPiece', bpe: 'BPE', other: undefined }[kind];
  const { special_roles: _, split_special_tokens: __, ...parts } = definition; // in tokenizer_config.json
  return {
    version: '1.0',
    added_tokens: [],
    normalizer: null,
    pre_tokenizer: null,
    post_processor: null,
    decoder: null,
    ...parts,
    truncation: null,
    padding: null,
    model: { ...(type !== undefined && { type }), ...definition.model },
  };
}

/** All tokens with their ids, those added next to the model's vocabulary too, in the order of the ids. */
function entriesById({ model, added_tokens: added = [] }: TokenizerDefinition): [string, number][] {
  const entries: [string, number][] = Array.isArray(model.vocab)
    ? model.vocab.map(([token], id) => [token, id])
    : Object.entries(model.vocab ?? {});
  const all = new Map(entries);
  for (const { content, id } of added) all.set(content, id);
  return [...all].sort(([, a], [, b]) => a - b);
}

function json(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}

/**
 * Writes a tokenizer as Hugging Face's libraries expect it in a model's folder: tokenizer.json, tokenizer_config.json,
 * special_tokens_map.json, and the older files that say the same (vocab.txt, or vocab.json with merges.txt).
 * Reading is lib/data/tokenizer.ts' task.
 */
import { join } from 'node:path';
import type { Tokenizer } from '../data/tokenizer.js';
import type { TokenizerDefinition } from '../data/tokenizer-files.js';
import { writeWholeFiles } from '../fs/whole-file.js';

export interface TokenizerFile {
  readonly name: string;
  /** UTF-8 text. */
  readonly content: string;
}

export interface TokenizerFilesOptions {
  /** Positions of the model the tokenizer goes with: `model_max_length`, to which Python truncates when asked to. */
  readonly maxLength?: number;
}

/**
 * The files of a tokenizer, as `{ name, content }`. Python's `AutoTokenizer`, `BertTokenizerFast`,
 * `GPT2TokenizerFast` and `tokenizers.Tokenizer.from_file` load them and give the same ids. vocab.txt is left out
 * where it could not say the same, because a token holds a line end.
 *
 * ```ts
 * for (const { name, content } of tokenizerFiles(loadTokenizer('run/tokenizer.json'))) console.log(name, content.length);
 * ```
 */
export function tokenizerFiles(
  tokenizer: Pick<Tokenizer, 'kind' | 'definition' | 'specials'>,
  options: TokenizerFilesOptions = {},
): TokenizerFile[] {
  const { kind, definition } = tokenizer;
  const roles = rolesOf(tokenizer);
  const files: TokenizerFile[] = [
    { name: 'tokenizer.json', content: json(completed(tokenizer)) },
    { name: 'tokenizer_config.json', content: json(configOf(tokenizer, roles, options)) },
    {
      name: 'special_tokens_map.json',
      content: json(Object.fromEntries(Object.entries(roles).filter(([, token]) => token !== null))),
    },
  ];
  if (kind === 'wordpiece') {
    const tokens = entriesById(definition).map(([token]) => token); // their ids have no gap: createTokenizer checks
    if (!tokens.some((token) => /[\r\n]/.test(token)))
      files.push({ name: 'vocab.txt', content: `${tokens.join('\n')}\n` });
  }
  if (kind === 'bpe') {
    const merges = (definition.model.merges ?? []).map((merge) =>
      typeof merge === 'string' ? merge : merge.join(' '),
    );
    const vocabulary = Object.fromEntries(entriesById(definition));
    files.push({ name: 'vocab.json', content: json(vocabulary) });
    files.push({ name: 'merges.txt', content: `${['#version: 0.2', ...merges].join('\n')}\n` });
  }
  return files;
}

/**
 * Writes the files of a tokenizer into a folder, which is made if need be. Each file takes its place whole.
 * @throws ApolloError FILE_SYSTEM when the folder cannot be written.
 */
export async function saveTokenizer(
  folder: string,
  tokenizer: Pick<Tokenizer, 'kind' | 'definition' | 'specials'>,
  options: TokenizerFilesOptions = {},
): Promise<void> {
  const files = tokenizerFiles(tokenizer, options).map(({ name, content }) => ({ path: join(folder, name), content }));
  await writeWholeFiles(files, 'The tokenizer');
}

type Roles = Record<string, string | null>;

/** The role of each special token; null where the vocabulary has none and Python would otherwise add one of its own. */
function rolesOf({ kind, definition, specials }: Pick<Tokenizer, 'kind' | 'definition' | 'specials'>): Roles {
  const contents = new Map(entriesById(definition).map(([token, id]) => [id, token]));
  const token = (id: number | undefined): string | null => (id === undefined ? null : (contents.get(id) ?? null));
  const end = token(specials.eot);
  if (kind === 'bpe') return { bos_token: end, eos_token: end, unk_token: end };
  const roles: Roles = {
    unk_token: token(specials.unk),
    sep_token: token(specials.sep),
    pad_token: token(specials.pad),
    cls_token: token(specials.cls),
    mask_token: token(specials.mask),
  };
  return end === null ? roles : { ...roles, eos_token: end };
}

function configOf(
  { kind, definition }: Pick<Tokenizer, 'kind' | 'definition'>,
  roles: Roles,
  options: TokenizerFilesOptions,
) {
  const added = Object.fromEntries((definition.added_tokens ?? []).map(({ id, ...token }) => [id, token]));
  const { normalizer } = definition;
  const byKind = {
    wordpiece: {
      tokenizer_class: 'BertTokenizer',
      do_lower_case: normalizer?.lowercase !== false,
      strip_accents: normalizer?.strip_accents ?? null,
      tokenize_chinese_chars: normalizer?.handle_chinese_chars !== false,
      clean_up_tokenization_spaces: true,
    },
    bpe: { tokenizer_class: 'GPT2Tokenizer', add_prefix_space: false, clean_up_tokenization_spaces: false },
    other: { tokenizer_class: 'PreTrainedTokenizerFast', clean_up_tokenization_spaces: false },
  };
  return {
    ...byKind[kind],
    ...roles,
    ...(options.maxLength !== undefined && { model_max_length: options.maxLength }),
    added_tokens_decoder: added,
  };
}

/** The definition with every part that Python's reader wants, and without truncation and padding. */
function completed({ kind, definition }: Pick<Tokenizer, 'kind' | 'definition'>): TokenizerDefinition {
  const type = { wordpiece: 'WordPiece', bpe: 'BPE', other: undefined }[kind];
  return {
    version: '1.0',
    added_tokens: [],
    normalizer: null,
    pre_tokenizer: null,
    post_processor: null,
    decoder: null,
    ...definition,
    truncation: null,
    padding: null,
    model: { ...(type !== undefined && { type }), ...definition.model },
  };
}

/** All tokens with their ids, those added beside the model's vocabulary too, in the order of the ids. */
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

/**
 * Files next to a vocabulary that change its ids: tokenizer_config.json, special_tokens_map.json,
 * added_tokens.json and the class that they or config.json name. Read as transformers' AutoTokenizer (5.18) reads it.
 */
import { ApolloError } from '../../errors.js';
import type { AddedToken } from './added-tokens.js';
import {
  bertDefinition,
  clipDefinition,
  gptDefinition,
  llamaDefinition,
  qwen2Definition,
  type Role,
  robertaFrame,
  type TokenizerDefinition,
  usualTokens,
} from './definitions.js';
import { classNameOf, type Family, familyOf } from './families.js';

type Json = Readonly<Record<string, unknown>>;

/** The files next to a vocabulary; undefined for those that are not there. */
export interface Beside {
  readonly config: Json | undefined; // tokenizer_config.json
  readonly specialTokensMap: Json | undefined;
  readonly addedTokens: Json | undefined;
  readonly model: Json | undefined; // config.json
}

/** The source of a vocabulary before its settings: the content of a tokenizer.json, or of older files. */
export type Source =
  | { readonly kind: 'file'; readonly definition: TokenizerDefinition }
  | { readonly kind: 'words'; readonly vocab: Record<string, number> }
  | { readonly kind: 'pair'; readonly vocab: Record<string, number>; readonly merges: [string, string][] };

const named = ['bos', 'eos', 'unk', 'sep', 'pad', 'cls', 'mask'] as const;
type Named = (typeof named)[number];

/** The names that a class gives its tokens where no file does. */
const usualNames: Readonly<Record<Family, Partial<Record<Named, string>>>> = {
  bert: { unk: '[UNK]', sep: '[SEP]', pad: '[PAD]', cls: '[CLS]', mask: '[MASK]' },
  gpt2: { bos: '<|endoftext|>', eos: '<|endoftext|>', unk: '<|endoftext|>' },
  qwen2: { eos: '<|endoftext|>', unk: '<|endoftext|>', pad: '<|endoftext|>' },
  llama: { bos: '<s>', eos: '</s>', unk: '<unk>' },
  roberta: { bos: '<s>', eos: '</s>', unk: '<unk>', sep: '</s>', pad: '<pad>', cls: '<s>', mask: '<mask>' },
  clip: { bos: '<|startoftext|>', eos: '<|endoftext|>', unk: '<|endoftext|>', pad: '<|endoftext|>' },
  file: {},
};

/**
 * The definition that a vocabulary and the files next to it make.
 * @throws ApolloError BAD_TOKENIZER for a class that cannot be read as one of those known, and for settings of a wrong type.
 */
export function withSettings(source: Source, beside: Beside, path: string): TokenizerDefinition {
  const { config = {}, model = {} } = beside;
  const isFile = source.kind === 'file';
  const className = classOf(config, model, isFile);
  const family = className === undefined ? undefined : familyOf(className, isFile);
  if (className !== undefined && (family === undefined || !fits(source, family))) throw refusedClass(className, path);
  if (family === undefined && isFile && !Object.values(beside).some(Boolean)) return source.definition;
  const reader = new SettingsReader(beside, path);
  return reader.definition(source, family);
}

function classOf(config: Json, model: Json, hasPipeline: boolean): string | undefined {
  const name = [config['tokenizer_class'], model['tokenizer_class']].find((value) => typeof value === 'string');
  return classNameOf((name as string | undefined)?.replace(/Fast$/, ''), model['model_type'], hasPipeline);
}

function fits(source: Source, family: Family): boolean {
  if (source.kind === 'words') return family === 'bert';
  if (source.kind === 'pair') return family !== 'bert' && family !== 'llama';
  const type = source.definition.model?.type;
  return family === 'file' || type === undefined || type === (family === 'bert' ? 'WordPiece' : 'BPE');
}

function refusedClass(className: string, path: string): ApolloError {
  return new ApolloError(
    'BAD_TOKENIZER',
    `${path} is a vocabulary of the class ${className}, whose way of splitting text is not in these files and is not ` +
      'known here. Known are the classes of BERT, GPT-2, Qwen 2, Llama, RoBERTa and CLIP, and others by a tokenizer.json: ' +
      'AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER) in Python writes one where the class has it.',
  );
}

class SettingsReader {
  readonly #beside: Beside;
  readonly #path: string;
  /** The content of tokenizer_config.json, and of special_tokens_map.json where that is still read. */
  readonly #values: Record<string, unknown>;
  /** Tokens with a role of the model's own: `image_token`, or a name in extra_special_tokens. */
  readonly #ownRoles: AddedEntry[] = [];
  /** Special tokens without a role. */
  readonly #extras: AddedEntry[] = [];
  /** Condition for a token of added_tokens.json to be special: transformers compares texts there, and some are objects still. */
  readonly #toldSpecial: ReadonlySet<string>;

  constructor(beside: Beside, path: string) {
    this.#beside = beside;
    this.#path = path;
    const { config = {} } = beside;
    const map = config['added_tokens_decoder'] === undefined ? (beside.specialTokensMap ?? {}) : {};
    // An object of special_tokens_map.json is always special.
    const special = Object.entries(map).map(([key, value]) => {
      const isToken = isObject(value) && !Array.isArray(value) && key !== 'extra_special_tokens';
      return [key, isToken ? { ...value, special: true } : value];
    });
    this.#values = { ...config, ...Object.fromEntries(special) };
    for (const [key, value] of Object.entries(this.#values)) {
      const isRole = key.endsWith('_token') && !named.some((role) => key === `${role}_token`);
      const isToken = typeof value === 'string' || (value as Json | null)?.['__type'] === 'AddedToken';
      if (isRole && (isToken || isObject(map[key]))) this.#ownRoles.push(this.#entry(value, key));
    }
    const { extra_special_tokens: extra, additional_special_tokens: older } = config;
    const told = hasEntries(extra) ? extra : (older ?? extra);
    const isByName = isObject(told) && !Array.isArray(told);
    (isByName ? this.#ownRoles : this.#extras).push(...this.#list(told));
    const inMap = this.#list(map['extra_special_tokens']).map((entry) => ({ ...entry, special: true }));
    this.#extras.push(...inMap);
    const toldTexts = [told, ...named.map((role) => config[`${role}_token`])].flat();
    const mapTexts = [...inMap, ...this.#list(named.map((role) => map[`${role}_token`]).filter((value) => value))];
    const texts = [
      ...toldTexts.filter((value) => typeof value === 'string'),
      ...mapTexts.map(({ content }) => content),
    ];
    this.#toldSpecial = new Set(texts);
    // The older name in special_tokens_map.json counts only where nothing else names such tokens.
    const isTold = (told !== undefined && !isByName) || map['extra_special_tokens'] !== undefined;
    if (!isTold) this.#extras.push(...this.#list(map['additional_special_tokens']));
  }

  definition(source: Source, family: Family | undefined): TokenizerDefinition {
    const fallback = { file: 'file', words: 'bert', pair: 'gpt2' } as const;
    const known = family ?? fallback[source.kind];
    const names = this.#names(known, source, family !== undefined);
    const built = this.#built(source, known, family !== undefined, names);
    const added = this.#added(source, built, known, names);
    const idOf = new Map(Object.entries(vocabOf(built)));
    for (const token of added) idOf.set(token.content, token.id);
    const framed = this.#framed(source, built, known, names, idOf);
    const roles = rolesOf(names, idOf);
    return {
      ...framed,
      ...(!isEqual(framed.added_tokens ?? [], added) && { added_tokens: added }),
      ...(this.#flag('split_special_tokens', false) && { split_special_tokens: true }),
      ...(roles !== undefined && { special_roles: { ...framed.special_roles, ...roles } }),
    };
  }

  /** The token of each role; undefined where there is none. */
  #names(family: Family, source: Source, isTold: boolean): Names {
    const names: Names = {};
    for (const role of named) {
      const value = this.#values[`${role}_token`];
      const usual = usualNames[family][role];
      if (value === null) continue;
      if (value !== undefined) names[role] = this.#entry(value, `${role}_token`);
      // Without a class the usual names hold where the vocabulary has them.
      else if (usual !== undefined && (isTold || Object.hasOwn(vocabOfSource(source), usual)))
        names[role] = { content: usual, isUsual: true };
    }
    return names;
  }

  #built(source: Source, family: Family, isTold: boolean, names: Names): TokenizerDefinition {
    const vocab = vocabOfSource(source);
    const merges = source.kind === 'pair' ? source.merges : mergesOfSource(source);
    if (family === 'file') {
      const { definition } = source as Extract<Source, { kind: 'file' }>;
      return isTold ? definition : this.#patched(definition);
    }
    if (family === 'bert') {
      const lowercase = this.#flag('do_lower_case', isTold || source.kind === 'file' || !hasCapitals(vocab));
      const fresh = bertDefinition(vocab, lowercase);
      const stripAccents = this.#values['strip_accents'] ?? null;
      if (stripAccents !== null) this.#flag('strip_accents', false);
      const made: TokenizerDefinition = {
        ...fresh,
        normalizer: {
          ...fresh.normalizer!,
          handle_chinese_chars: this.#flag('tokenize_chinese_chars', true),
          strip_accents: stripAccents as boolean | null,
        },
        model: { ...fresh.model, unk_token: names.unk?.content ?? '[UNK]' },
      };
      return source.kind === 'file' ? adopted(source.definition, made) : made;
    }
    if (family === 'clip') return clipDefinition(vocab, merges, names.unk?.content ?? '<|endoftext|>');
    const made = this.#ofBpe(family, vocab, merges);
    return source.kind === 'file' ? adopted(source.definition, made) : made;
  }

  #ofBpe(family: Family, vocab: Record<string, number>, merges: [string, string][]): TokenizerDefinition {
    if (family === 'qwen2') return qwen2Definition(vocab, merges, this.#flag('add_prefix_space', false));
    if (family === 'llama') {
      const scheme = this.#flag('legacy', false) ? 'always' : 'first';
      return llamaDefinition(vocab, merges, this.#flag('add_prefix_space', true) ? scheme : 'never');
    }
    const made = gptDefinition(vocab, merges);
    return {
      ...made,
      pre_tokenizer: { ...made.pre_tokenizer!, add_prefix_space: this.#flag('add_prefix_space', false) },
    };
  }

  /** A pipeline whose class is not named: only the settings are put into it. */
  #patched(definition: TokenizerDefinition): TokenizerDefinition {
    const { normalizer, pre_tokenizer: split } = definition;
    const patched = { ...definition };
    if (normalizer?.type === 'BertNormalizer') {
      patched.normalizer = {
        ...normalizer,
        ...(this.#values['do_lower_case'] !== undefined && { lowercase: this.#flag('do_lower_case', true) }),
        ...(this.#values['strip_accents'] !== undefined && {
          strip_accents: this.#values['strip_accents'] as boolean | null,
        }),
        ...(this.#values['tokenize_chinese_chars'] !== undefined && {
          handle_chinese_chars: this.#flag('tokenize_chinese_chars', true),
        }),
      };
    }
    if (split?.type === 'ByteLevel' && this.#values['add_prefix_space'] !== undefined)
      patched.pre_tokenizer = { ...split, add_prefix_space: this.#flag('add_prefix_space', false) };
    return patched;
  }

  /** All added tokens with their ids, in the order and with the numbers that transformers gives them. */
  #added(source: Source, built: TokenizerDefinition, family: Family, names: Names): AddedToken[] {
    const { byId, byContent } = this.#decoder(source);
    const roleTokens = named.flatMap((role) => names[role] ?? []).map((entry) => byContent.get(entry.content) ?? entry);
    const withRoles: AddedEntry[] = [...roleTokens, ...this.#ownRoles];
    const isNamed = new Set(withRoles.map(({ content }) => content));
    const ofFile = family === 'file' ? (built.added_tokens ?? []) : [];
    const has = new Set(ofFile.map((token) => flagged(token)));
    // A role makes a token special.
    const added = ofFile.map((token) =>
      isNamed.has(token.content) && !token.special ? { ...token, special: true } : token,
    );
    const wanted: AddedEntry[] = [...byId].sort(([a], [b]) => a - b).map(([, token]) => token);
    const missing = wanted.filter((token) => !has.has(flagged(token)));
    const contents = new Set([...added, ...missing].map(({ content }) => content));
    // A token that is in several places in different ways is added each time: its flags are the last ones.
    const met = new Set<string>();
    for (const entry of [...withRoles, ...this.#extras]) {
      const way = entry.isObject ? flagged(entry) : entry.content;
      if (contents.has(entry.content) || met.has(way)) continue;
      met.add(way);
      missing.push(entry.isObject ? entry : { ...entry, special: true });
    }

    const ids = new Map(Object.entries(vocabOf(built)));
    const size = Array.isArray(built.model.vocab) ? built.model.vocab.length : ids.size;
    let next = size;
    for (const { id, content } of added) {
      ids.set(content, id);
      next = Math.max(next, id + 1);
    }
    if (missing.length === 0) return added;
    const wasSpecial = new Set(added.filter(({ special }) => special).map(({ content }) => content));
    const splits = this.#flag('split_special_tokens', false);
    const isToldByFile = new Set(named.map((role) => (names[role]?.isUsual ? undefined : names[role]?.content)));
    const room = this.#beside.model?.['vocab_size'];
    for (const entry of missing) {
      if (entry.content === '') continue;
      // A token that no file names, but the class alone, is left out where the model has no row for it.
      const isOfClass = entry.isUsual && !isToldByFile.has(entry.content);
      if (isOfClass && !ids.has(entry.content) && typeof room === 'number' && next >= room) continue;
      const id = ids.get(entry.content) ?? next++;
      ids.set(entry.content, id);
      const special = entry.special === true || isNamed.has(entry.content);
      if (special) wasSpecial.add(entry.content);
      const made = whole({ ...entry, special }, id);
      // Python splits a token that was special once, even if its last flags say otherwise.
      const token = splits && wasSpecial.has(entry.content) ? { ...made, special: true } : made;
      const place = added.findIndex((other) => other.id === id);
      if (place >= 0) added[place] = token;
      else added.push(token);
    }
    return numbered(added, new Set(Object.keys(vocabOf(built))));
  }

  /** added_tokens_decoder, or its equivalent in older files: by id, and by text, where none displaces another. */
  #decoder(source: Source): { byId: Map<number, AddedEntry>; byContent: Map<string, AddedEntry> } {
    const byId = new Map<number, AddedEntry>();
    const byContent = new Map<string, AddedEntry>();
    const set = (id: number, token: AddedEntry): void => {
      byId.set(id, token);
      byContent.set(token.content, token);
    };
    const told = this.#beside.config?.['added_tokens_decoder'];
    if (told !== undefined) {
      if (typeof told !== 'object' || told === null) throw this.#wrong('added_tokens_decoder', told, 'tokens by id');
      for (const [id, token] of Object.entries(told)) set(Number(id), this.#entry(token, 'added_tokens_decoder'));
      return { byId, byContent };
    }
    const special = this.#toldSpecial;
    for (const [content, id] of Object.entries(this.#beside.addedTokens ?? {})) {
      if (!Number.isInteger(id)) throw this.#wrong(`added_tokens.json: ${content}`, id, 'an id');
      set(id as number, { content, normalized: !special.has(content), special: special.has(content) });
    }
    if (source.kind === 'file') for (const token of source.definition.added_tokens ?? []) set(token.id, token);
    return { byId, byContent };
  }

  /** The tokens around a text, where they follow from the settings. */
  #framed(
    source: Source,
    built: TokenizerDefinition,
    family: Family,
    names: Names,
    idOf: ReadonlyMap<string, number>,
  ): TokenizerDefinition {
    const marker = (role: Named): [string, number] | undefined => {
      const content = names[role]?.content;
      const id = content === undefined ? undefined : idOf.get(content);
      return id === undefined ? undefined : [content!, id];
    };
    if (family === 'bert') {
      const [cls, sep] = [marker('cls'), marker('sep')];
      const made = cls && sep ? bertFrame(cls, sep) : null;
      return isEqual(built.post_processor ?? null, made) ? built : { ...built, post_processor: made };
    }
    if (family === 'roberta' || family === 'clip') {
      const [cls, sep] = family === 'clip' ? [marker('bos'), marker('eos')] : [marker('cls'), marker('sep')];
      const made = cls && sep ? robertaFrame(cls, sep, family === 'roberta' && this.#flag('trim_offsets', true)) : null;
      return isEqual(built.post_processor ?? null, made) ? built : { ...built, post_processor: made };
    }
    const [bos, eos] = [marker('bos'), marker('eos')];
    const [begins, ends] = [this.#flag('add_bos_token', false), this.#flag('add_eos_token', false)];
    // transformers takes these from tokenizer.json alone where there is one.
    if (source.kind === 'file' || !((begins && bos) || (ends && eos))) return built;
    return { ...built, post_processor: openFrame(begins ? bos : undefined, ends ? eos : undefined) };
  }

  #flag(key: string, fallback: boolean): boolean {
    const value = this.#values[key];
    if (value === undefined || value === null) return fallback;
    if (typeof value === 'boolean') return value;
    throw this.#wrong(key, value, 'true or false');
  }

  #list(value: unknown): AddedEntry[] {
    if (value === undefined || value === null) return [];
    if (typeof value !== 'object') throw this.#wrong('additional special tokens', value, 'a list of tokens');
    return Object.values(value).map((entry: unknown) => this.#entry(entry, 'a special token'));
  }

  /** A token by its text, or as an object with its flags. */
  #entry(value: unknown, what: string): AddedEntry {
    if (typeof value === 'string') return { content: value };
    const token = value as Partial<AddedEntry> | null;
    if (typeof token !== 'object' || typeof token?.content !== 'string') throw this.#wrong(what, value, 'a token');
    const flags = ['single_word', 'lstrip', 'rstrip', 'normalized', 'special'] as const;
    const { content } = token;
    return {
      content,
      ...Object.fromEntries(flags.map((flag) => [flag, token[flag]]).filter(([, on]) => on !== undefined)),
      isObject: true,
    };
  }

  #wrong(what: string, value: unknown, expected: string): ApolloError {
    return new ApolloError(
      'BAD_TOKENIZER',
      `The settings beside ${this.#path} have ${JSON.stringify(value)?.slice(0, 80)} as ${what}, expected ${expected}.`,
    );
  }
}

type AddedEntry = Partial<AddedToken> & {
  readonly content: string;
  readonly isObject?: boolean;
  readonly isUsual?: boolean;
};
type Names = Partial<Record<Named, AddedEntry>>;

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}

function hasEntries(value: unknown): boolean {
  return isObject(value) && Object.keys(value).length > 0;
}

/** A token with all its flags. One that is given by its text alone is special, and then not normalised. */
function whole(entry: AddedEntry, id: number): AddedToken {
  const { content, single_word = false, lstrip = false, rstrip = false, isObject = false } = entry;
  const special = entry.special ?? !isObject;
  const normalized = entry.normalized ?? (isObject ? !special : false);
  return { id, content, single_word, lstrip, rstrip, normalized, special };
}

function flagged(entry: AddedEntry): string {
  const { content, single_word, lstrip, rstrip, normalized, special } = whole(entry, 0);
  return JSON.stringify([content, single_word, lstrip, rstrip, normalized, special]);
}

/** In the order of their ids, those that are not in the vocabulary numbered on from its end. */
function numbered(added: readonly AddedToken[], vocabulary: ReadonlySet<string>): AddedToken[] {
  const inside = added.filter(({ content }) => vocabulary.has(content)).sort((a, b) => a.id - b.id);
  const outside = added.filter(({ content }) => !vocabulary.has(content)).sort((a, b) => a.id - b.id);
  return [...inside, ...outside];
}

/** Roles whose tokens have other names than are looked for anyway. */
function rolesOf(names: Names, idOf: ReadonlyMap<string, number>): Partial<Record<Role, string>> | undefined {
  const roles: Partial<Record<Role, string>> = {};
  for (const role of Object.keys(usualTokens) as Role[]) {
    const content = names[role === 'eot' ? 'eos' : role]?.content;
    const found = usualTokens[role].find((name) => idOf.has(name));
    // GPT-2's unknown token is its end of text, which no text ever becomes; its begin of text is the end too.
    const isIdle = (role === 'unk' || role === 'bos') && content === names.eos?.content;
    if (content !== undefined && content !== found && idOf.has(content) && !isIdle) roles[role] = content;
  }
  return Object.keys(roles).length > 0 ? roles : undefined;
}

function vocabOfSource(source: Source): Record<string, number> {
  return source.kind === 'file' ? vocabOf(source.definition) : source.vocab;
}

function vocabOf({ model }: TokenizerDefinition): Record<string, number> {
  const vocab = model?.vocab ?? {};
  return Array.isArray(vocab) ? Object.fromEntries(vocab.map((entry, id) => [String(entry?.[0]), id])) : vocab;
}

function mergesOfSource(source: Source): [string, string][] {
  const merges = source.kind === 'file' ? source.definition.model.merges : [];
  return (merges ?? []) as [string, string][];
}

/** The pipeline of a class over the vocabulary of a file; equivalent parts stay as they are in the file. */
function adopted(file: TokenizerDefinition, made: TokenizerDefinition): TokenizerDefinition {
  const { vocab: _, merges: __, type: ___, ...settings } = made.model;
  const own = Object.fromEntries(Object.keys(settings).map((key) => [key, file.model[key as keyof typeof settings]]));
  const part = <K extends 'normalizer' | 'pre_tokenizer' | 'decoder'>(key: K): TokenizerDefinition[K] =>
    isEqual(meaning(file[key]), meaning(made[key])) ? file[key] : made[key];
  const isSameModel = isEqual(meaning(own), meaning(settings));
  return {
    ...file,
    normalizer: part('normalizer') ?? null,
    pre_tokenizer: part('pre_tokenizer') ?? null,
    decoder: part('decoder'),
    model: isSameModel ? file.model : { ...file.model, ...settings },
  };
}

/** A part without what is left at its usual value. */
function meaning(part: unknown): unknown {
  const usual: Record<string, unknown> = {
    clean_text: true,
    handle_chinese_chars: true,
    lowercase: true,
    use_regex: true,
    trim_offsets: true,
    cleanup: true,
    prefix: '##',
    unk_token: null,
    continuing_subword_prefix: '##',
    max_input_chars_per_word: 100,
  };
  const entries = Object.entries((part ?? {}) as object).filter(
    ([key, value]) => value !== undefined && value !== null && value !== '' && value !== false && value !== usual[key],
  );
  const offs = Object.entries((part ?? {}) as object).filter(([key, value]) => value === false && usual[key] === true);
  // strip_accents false is not the same as null
  const kept = Object.entries((part ?? {}) as object).filter(
    ([key, value]) => key === 'strip_accents' && value === false,
  );
  return Object.fromEntries([...entries, ...offs, ...kept].sort(([a], [b]) => (a < b ? -1 : 1)));
}

function isEqual(a: unknown, b: unknown): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

/** A vocabulary with capital letters outside of [UNK] and its like is cased. */
export function hasCapitals(vocab: Record<string, number>): boolean {
  return Object.keys(vocab).some((token) => /[A-Z]/.test(token) && !/^\[.*\]$/.test(token));
}

const sequence = (id: string, type_id: number) => ({ Sequence: { id, type_id } });
const special = (id: string, type_id: number) => ({ SpecialToken: { id, type_id } });
const ids = (...tokens: [string, number][]) =>
  Object.fromEntries(tokens.map(([id, number]) => [id, { id, ids: [number], tokens: [id] }]));

function bertFrame(cls: [string, number], sep: [string, number]) {
  const single = [special(cls[0], 0), sequence('A', 0), special(sep[0], 0)];
  return {
    type: 'TemplateProcessing',
    single,
    pair: [...single, sequence('B', 1), special(sep[0], 1)],
    special_tokens: ids(cls, sep),
  };
}

/** A token before each text, one after it, or both. */
function openFrame(bos: [string, number] | undefined, eos: [string, number] | undefined) {
  const around = (id: string, type: number) => [
    ...(bos ? [special(bos[0], type)] : []),
    sequence(id, type),
    ...(eos ? [special(eos[0], type)] : []),
  ];
  const tokens = [bos, eos].filter((token) => token !== undefined);
  return {
    type: 'TemplateProcessing',
    single: around('A', 0),
    pair: [...around('A', 0), ...around('B', 1)],
    special_tokens: ids(...tokens),
  };
}

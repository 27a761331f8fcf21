/** The models of a tokenizer.json: the ids of one piece of text. */

import { bpeModel } from './bpe.js';
import { checkPart, type KnownParts, type Part, type Refuse } from './refusal.js';
import { unigramModel } from './unigram.js';
import { WordCache } from './word-cache.js';
import { pieces } from './wordpiece.js';

/** Compared with Python's in test/data/tokenizer/pipelines.test.ts. */
export const knownModels: KnownParts = {
  BPE: [
    'vocab',
    'merges',
    'dropout',
    'unk_token',
    'continuing_subword_prefix',
    'end_of_word_suffix',
    'fuse_unk',
    'byte_fallback',
    'ignore_merges',
  ],
  Unigram: ['vocab', 'unk_id', 'byte_fallback'],
  WordLevel: ['vocab', 'unk_token'],
  WordPiece: ['vocab', 'unk_token', 'continuing_subword_prefix', 'max_input_chars_per_word'],
};

export type Model = (piece: string) => readonly number[];

/** The tokens of the model alone, without those added next to it. */
export type ModelVocabulary = ReadonlyMap<string, number>;

/** Older files leave the type out. */
export function modelTypeOf(model: Part): string | undefined {
  if (typeof model.type === 'string') return model.type;
  if (model['merges'] !== undefined) return 'BPE';
  if (Array.isArray(model['vocab'])) return 'Unigram';
  if (model['continuing_subword_prefix'] !== undefined || model['max_input_chars_per_word'] !== undefined)
    return 'WordPiece';
  return undefined;
}

/** @throws ApolloError BAD_TOKENIZER naming what is not known, or when the parts do not fit together. */
export function modelOf(part: Part, vocabulary: ModelVocabulary, refuse: Refuse): Model {
  const type = checkPart('model', { ...part, type: modelTypeOf(part) }, knownModels, refuse);
  const model = { BPE: bpeModel, Unigram: unigramModel, WordLevel: wordLevel, WordPiece: wordPiece }[type]!;
  const ids = model(part, vocabulary, refuse);
  const known = new WordCache();
  return (piece) => {
    let found = known.get(piece);
    if (found === undefined) {
      found = ids(piece);
      known.set(piece, found);
    }
    return found;
  };
}

function unknownId(part: Part, fallback: string, vocabulary: ModelVocabulary, refuse: Refuse): number {
  const token = part['unk_token'] ?? fallback;
  const id = vocabulary.get(token as string);
  if (id !== undefined) return id;
  throw refuse(`its unknown token ${JSON.stringify(token)} is not in the vocabulary. Add it there`);
}

function wordLevel(part: Part, vocabulary: ModelVocabulary, refuse: Refuse): Model {
  const unknown = [unknownId(part, '<unk>', vocabulary, refuse)];
  return (piece) => {
    const id = vocabulary.get(piece);
    return id === undefined ? unknown : [id];
  };
}

function wordPiece(part: Part, vocabulary: ModelVocabulary, refuse: Refuse): Model {
  let longest = 0;
  for (const token of vocabulary.keys()) longest = Math.max(longest, token.length);
  const model = {
    vocabulary,
    unknownId: unknownId(part, '[UNK]', vocabulary, refuse),
    continuation: (part['continuing_subword_prefix'] ?? '##') as string,
    maxCharacters: (part['max_input_chars_per_word'] ?? 100) as number,
  };
  return (piece) => pieces(piece, model, longest);
}

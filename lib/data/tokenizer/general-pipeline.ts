/**
 * Runs any pipeline of a tokenizer.json whose parts are known to give the ids of Python's `tokenizers`: added tokens,
 * normalizer, pre-tokenizer, model, decoder. What is not known is refused by name.
 */

import { type AddedToken, finderOf } from './added-tokens.js';
import { decoderOf } from './decoders.js';
import type { TokenizerDefinition } from './definitions.js';
import type { IdBuffer } from './id-buffer.js';
import { knownModels, type Model, modelOf, modelTypeOf } from './models.js';
import { knownNormalizers, type Normalizer, normalizerOf } from './normalizers.js';
import { knownPreTokenizers, type Piece, type PreTokenizer, preTokenizerOf } from './pre-tokenizers.js';
import { broken, checkPart, type KnownParts, type Part, partsOf, type Refuse } from './refusal.js';

/** Parts that put tokens around a text; framing.ts runs them. */
export const knownPostProcessors: KnownParts = {
  BertProcessing: ['sep', 'cls'],
  ByteLevel: ['add_prefix_space', 'trim_offsets', 'use_regex'],
  RobertaProcessing: ['sep', 'cls', 'trim_offsets', 'add_prefix_space'],
  Sequence: ['processors'],
  TemplateProcessing: ['single', 'pair', 'special_tokens'],
};

const addedTokenFields = ['id', 'content', 'single_word', 'lstrip', 'rstrip', 'normalized', 'special'];

const loneSurrogate = /\p{Cs}/gu;

export interface GeneralPipeline {
  encode(text: string, out: IdBuffer): void;
  /** Text of tokens. */
  decode(tokens: readonly string[]): string;
}

/** @throws ApolloError BAD_TOKENIZER naming a part that is not known, or when the parts do not fit together. */
export function generalPipeline(
  definition: TokenizerDefinition,
  modelVocabulary: ReadonlyMap<string, number>,
  name: string,
): GeneralPipeline {
  const refuse: Refuse = (reason) => broken(name, reason);
  const part = (value: unknown): Part | undefined => (value ? (value as Part) : undefined);
  const normalizerPart = part(definition.normalizer);
  const splitPart = part(definition.pre_tokenizer);
  const normalize: Normalizer = normalizerPart ? normalizerOf(normalizerPart, refuse) : (text) => text;
  const split: PreTokenizer = splitPart ? preTokenizerOf(splitPart, refuse) : (pieces) => [...pieces];
  const model: Model = modelOf(definition.model as unknown as Part, modelVocabulary, refuse);
  checkPostProcessor(definition, name);

  const added = searchedTokens(definition, name);
  const raw = finderOf(added.filter((token) => !token.normalized));
  const spelled = finderOf(
    added.filter((token) => token.normalized).map((token) => ({ ...token, spelling: normalize(token.content) })),
  );
  const decode = decoderOf(definition.decoder as Part | null | undefined, refuse);
  const spellings = new Map<string, string>();
  for (const { content, normalized } of added) if (normalized) spellings.set(content, normalize(content));
  // Only Metaspace asks whether a piece starts with the text's first character.
  const tracksStart = JSON.stringify(splitPart ?? null).includes('"first"');

  /** The pieces of a text without added tokens of the first kind. */
  const encodePlain = (text: string, isStart: boolean, out: IdBuffer): void => {
    const normal = normalize(text);
    const first = text.length === 0 ? 0 : text.codePointAt(0)! > 0xffff ? 2 : 1;
    const initial = isStart && tracksStart ? normalize(text.slice(0, first)).length : 0;
    for (const { id, start, end } of spelled?.(normal) ?? [{ id: undefined, start: 0, end: normal.length }]) {
      if (id !== undefined) {
        out.push(id);
        continue;
      }
      if (end === start) continue;
      const piece: Piece = { text: normal.slice(start, end), initial: Math.max(0, Math.min(initial, end) - start) };
      for (const { text: word } of split([piece])) {
        if (word === '') continue;
        const ids = model(word);
        for (let i = 0; i < ids.length; i++) out.push(ids[i]!);
      }
    }
  };
  return {
    encode(given, out) {
      const text = given.replace(loneSurrogate, '\ufffd'); // as in UTF-8, the only text that Python has
      for (const { id, start, end } of raw?.(text) ?? [{ id: undefined, start: 0, end: text.length }]) {
        if (id !== undefined) out.push(id);
        else encodePlain(text.slice(start, end), start === 0, out);
      }
    },
    // An added token that is normalised comes back in its normalised spelling, as in Python.
    decode: (tokens) => decode(tokens.map((token) => spellings.get(token) ?? token)),
  };
}

/**
 * The added tokens that are looked for in texts.
 * @throws ApolloError BAD_TOKENIZER for one with a field that is not known.
 */
export function searchedTokens(definition: TokenizerDefinition, name: string): AddedToken[] {
  for (const token of definition.added_tokens ?? []) {
    const unknown = Object.keys(token).find((field) => !addedTokenFields.includes(field));
    if (unknown !== undefined)
      throw broken(
        name,
        `its added token ${JSON.stringify(token.content)} has the field ${JSON.stringify(unknown)}, whose meaning is not known here`,
      );
  }
  // With split_special_tokens a special token that is spelled out in a text is text.
  return (definition.added_tokens ?? []).filter((token) => !(definition.split_special_tokens && token.special));
}

/**
 * Checks the parts that are known by their names alone: what is put around texts, and the parts of BERT's and GPT-2's
 * own pipelines.
 * @throws ApolloError BAD_TOKENIZER naming a part or a field that is not known.
 */
export function checkParts(definition: TokenizerDefinition, name: string): void {
  checkPostProcessor(definition, name);
  const refuse: Refuse = (reason) => broken(name, reason);
  const { normalizer, pre_tokenizer: split, model } = definition;
  if (normalizer) checkPart('normalizer', normalizer as unknown as Part, knownNormalizers, refuse);
  if (split) checkPart('pre_tokenizer', split as unknown as Part, knownPreTokenizers, refuse);
  const part = model as unknown as Part;
  checkPart('model', { ...part, type: modelTypeOf(part) }, knownModels, refuse);
}

function checkPostProcessor({ post_processor: top }: TokenizerDefinition, name: string): void {
  const refuse: Refuse = (reason) => broken(name, reason);
  const check = (part: Part): void => {
    if (checkPart('post_processor', part, knownPostProcessors, refuse) === 'Sequence')
      for (const step of partsOf(part, 'processors', refuse)) check(step);
  };
  if (top) check(top as Part);
}

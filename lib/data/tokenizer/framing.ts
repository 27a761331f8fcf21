/** Puts special tokens around a text or a pair of texts, as a tokenizer's post-processor says, and cuts to a length. */
import { ApolloError } from '../../errors.js';
import type { TokenizerDefinition } from './tokenizer-files.js';

type Part =
  | { readonly ids: readonly number[]; readonly type: number }
  | { readonly sequence: 0 | 1; readonly type: number };

/** The order in which special tokens and texts follow one another, for one text and for two. */
export interface Frame {
  readonly single: readonly Part[];
  readonly pair: readonly Part[];
}

const bare: Frame = {
  single: [{ sequence: 0, type: 0 }],
  pair: [
    { sequence: 0, type: 0 },
    { sequence: 1, type: 1 },
  ],
};

/** Ids with their special tokens. */
export interface FramedTokens {
  /** Token ids, special tokens included, in the order in which a model reads them. */
  readonly ids: Int32Array;
  /** Segment of each token: BERT's token types. */
  readonly types: Int32Array;
  /** Which text each token is from, 0 or 1; -1 for a special token. */
  readonly sequences: Int8Array;
  /** Index of each token among those of its text before framing; -1 for a special token. */
  readonly indices: Int32Array;
}

interface PostProcessor {
  type?: string;
  single?: unknown[];
  pair?: unknown[];
  special_tokens?: Record<string, { ids: number[] }>;
  cls?: [string, number];
  sep?: [string, number];
  processors?: PostProcessor[];
}

/** The frame that a definition's post-processor describes; texts one after the other where it adds nothing. */
export function frameOf(definition: TokenizerDefinition): Frame {
  const top = definition.post_processor as PostProcessor | null | undefined;
  for (const processor of [top, ...(top?.processors ?? [])]) {
    const { cls, sep } = processor ?? {};
    if (processor?.type === 'TemplateProcessing') {
      const parts = (template: unknown[] = []): Part[] => template.map((item) => templatePart(item, processor));
      return { single: parts(processor.single), pair: parts(processor.pair) };
    }
    if ((processor?.type === 'BertProcessing' || processor?.type === 'RobertaProcessing') && cls && sep) {
      const isBert = processor.type === 'BertProcessing';
      const secondType = isBert ? 1 : 0;
      const marker = (token: [string, number], type = 0): Part => ({ ids: [token[1]], type });
      const single = [marker(cls), { sequence: 0, type: 0 } as const, marker(sep)];
      const between = isBert ? [] : [marker(sep)];
      const second = [{ sequence: 1, type: secondType } as const, marker(sep, secondType)];
      return { single, pair: [...single, ...between, ...second] };
    }
  }
  return bare;
}

/** The token in front of a single text; undefined if the first item of its frame is the text. */
export function beginOf(definition: TokenizerDefinition): number | undefined {
  const [first] = frameOf(definition).single;
  return first !== undefined && 'ids' in first ? first.ids[0] : undefined;
}

/**
 * The token that every text starts with where nothing comes behind it: Llama's `<|begin_of_text|>`, which documents of causal
 * models start with. Not BERT's [CLS], which opens a row that [SEP] closes.
 */
export function openingOf(definition: TokenizerDefinition): number | undefined {
  const { single } = frameOf(definition);
  return single.length === 2 && 'sequence' in single[1]! ? beginOf(definition) : undefined;
}

/**
 * The definition whose frame is one token before, between and after the texts, in place of the special tokens that it had.
 * Other processors, which concern offsets, stay.
 */
export function withMarks(definition: TokenizerDefinition, token: string, id: number): TokenizerDefinition {
  const top = definition.post_processor as PostProcessor | null | undefined;
  const others = (top?.processors ?? (top ? [top] : [])).filter(
    ({ type }) => type !== 'TemplateProcessing' && type !== 'BertProcessing' && type !== 'RobertaProcessing',
  );
  const mark = { SpecialToken: { id: token, type_id: 0 } };
  const single = [mark, { Sequence: { id: 'A', type_id: 0 } }, mark];
  const template = {
    type: 'TemplateProcessing',
    single,
    pair: [...single, { Sequence: { id: 'B', type_id: 0 } }, mark],
    special_tokens: { [token]: { id: token, ids: [id], tokens: [token] } },
  };
  const processor = others.length === 0 ? template : { type: 'Sequence', processors: [...others, template] };
  return { ...definition, post_processor: processor };
}

function templatePart(item: unknown, processor: PostProcessor): Part {
  const { SpecialToken: special, Sequence: sequence } = item as {
    SpecialToken?: { id: string; type_id: number };
    Sequence?: { id: string; type_id: number };
  };
  if (sequence !== undefined) return { sequence: sequence.id === 'B' ? 1 : 0, type: sequence.type_id };
  return { ids: processor.special_tokens?.[special!.id]?.ids ?? [], type: special!.type_id };
}

/**
 * Frames the ids of one text or two. Above `maxLength` the longer text loses its end, token by token, as in Python's
 * `longest_first`. Where both are cut and the room is odd, the longer one keeps one more; Python does not count a text
 * to its end and may give that token to the other.
 * @throws ApolloError BAD_ARGUMENT when maxLength has no room for the special tokens.
 */
export function framed(
  frame: Frame,
  first: ArrayLike<number>,
  second: ArrayLike<number> | undefined,
  maxLength = Number.POSITIVE_INFINITY,
): FramedTokens {
  const parts = second === undefined ? frame.single : frame.pair;
  const special = parts.reduce((sum, part) => sum + ('ids' in part ? part.ids.length : 0), 0);
  if (!(maxLength >= special)) {
    throw new ApolloError(
      'BAD_ARGUMENT',
      `maxLength must be at least ${special}, the number of special tokens around the text; got ${maxLength}.`,
    );
  }
  const lengths = longestFirst(first.length, second?.length ?? 0, maxLength - special);
  const total = special + lengths[0] + lengths[1];
  const ids = new Int32Array(total);
  const types = new Int32Array(total);
  const sequences = new Int8Array(total).fill(-1);
  const indices = new Int32Array(total).fill(-1);
  let at = 0;
  for (const part of parts) {
    const start = at;
    if ('ids' in part) {
      ids.set(part.ids, at);
      at += part.ids.length;
    } else {
      const source = part.sequence === 0 ? first : second!;
      for (let i = 0; i < lengths[part.sequence]; i++, at++) {
        ids[at] = source[i]!;
        indices[at] = i;
      }
      sequences.fill(part.sequence, start, at);
    }
    types.fill(part.type, start, at);
  }
  return { ids, types, sequences, indices };
}

/** How many tokens of each text stay when both may have `room`: the longer one is cut to the shorter, then both to half. */
export function longestFirst(first: number, second: number, room: number): [number, number] {
  if (first + second <= room) return [first, second];
  let [shorter, longer] = first > second ? [second, first] : [first, second];
  longer = shorter > room ? shorter : Math.max(shorter, room - shorter);
  if (shorter + longer > room) {
    shorter = Math.floor(room / 2);
    longer = shorter + (room % 2);
  }
  return first > second ? [longer, shorter] : [shorter, longer];
}

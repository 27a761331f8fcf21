/** BERT's masks for one row, from counters: a function of (seed, epoch, block, position) and of the ids alone. */

import { ApolloError } from '../../errors.js';
import * as is from '../../is.js';
import { philox4x32, seedWords } from '../../random/philox.js';
import { families } from '../../random/streams.js';
import type { Tokenizer } from '../tokenizer/tokenizer.js';

/** What tokens may be masked, and what they become. */
export interface MaskRules {
  /** Id of the mask token, which replaces 80 % of the chosen tokens. */
  readonly maskId: number;
  /** Ids are below this; random tokens are drawn from those of them that are not special. */
  readonly vocabSize: number;
  /** Special ids, ascending: never masked, never drawn. */
  readonly specialIds: readonly number[];
}

const takesMlmIds = is.takes('mlmIds', {
  tokenizer: is.object('a Tokenizer', { specials: is.record, specialIds: is.array, vocabSize: is.count }),
});

/**
 * The ids that masked language modelling needs, from the tokenizer; `vocabSize` is its size, so that random tokens are real
 * ones even where the model's table is larger.
 * @example
 * const { maskId, clsId, sepId } = mlmIds(tokenizer);
 * @throws ApolloError BAD_TOKENIZER when it has no mask, or none to start or end a row with.
 */
export function mlmIds(
  tokenizer: Pick<Tokenizer, 'specials' | 'specialIds' | 'vocabSize'>,
): MaskRules & { readonly clsId: number; readonly sepId: number } {
  takesMlmIds(tokenizer);
  const { mask, cls, sep } = tokenizer.specials;
  if (mask === undefined || cls === undefined || sep === undefined) {
    const missing = [mask === undefined && '[MASK]', cls === undefined && '[CLS]', sep === undefined && '[SEP]'];
    throw new ApolloError(
      'BAD_TOKENIZER',
      `Masked language modelling needs [MASK], [CLS] and [SEP]; the tokenizer has no ${missing.filter(Boolean).join(', ')}. ` +
        'Use a BERT tokenizer, or train one with train: "wordpiece".',
    );
  }
  return { maskId: mask, clsId: cls, sepId: sep, vocabSize: tokenizer.vocabSize, specialIds: tokenizer.specialIds };
}

export interface MaskedPosition {
  readonly position: number;
  /** The new token. */
  readonly token: number;
}

const share = 0.15 * 2 ** 32;
const toMask = 0.8 * 2 ** 32;
const toRandom = 0.9 * 2 ** 32;

/**
 * The masked positions of a row of ids, ascending; about 15 % of those that are not special, and at least one where
 * there is any, as BERT's create_pretraining_data.py has it. The one is that which a larger share would reach first.
 */
export function maskedRow(
  ids: Int32Array,
  { maskId, vocabSize, specialIds }: MaskRules,
  seed: number,
  epoch: number,
  block: number,
): MaskedPosition[] {
  const key = seedWords(seed);
  const special = new Set(specialIds);
  const ordinary = vocabSize - specialIds.reduce((count, id) => count + (id < vocabSize ? 1 : 0), 0);
  const masked: MaskedPosition[] = [];
  const mask = (position: number): void => {
    const [kind, choice] = philox4x32([position, block, epoch >>> 0, families.maskFill], key);
    if (kind < toMask) masked.push({ position, token: maskId });
    else if (kind < toRandom)
      masked.push({ position, token: ordinaryToken(Math.floor((choice / 2 ** 32) * ordinary), specialIds) });
    else masked.push({ position, token: ids[position]! });
  };
  let nearest = { position: -1, draw: 2 ** 32 };
  for (let start = 0; start < ids.length; start += 4) {
    const draws = philox4x32([start, block, epoch >>> 0, families.maskChoice], key);
    for (let i = 0; i < 4 && start + i < ids.length; i++) {
      const position = start + i;
      if (special.has(ids[position]!)) continue;
      const draw = draws[i]!;
      if (draw < nearest.draw) nearest = { position, draw };
      if (draw < share) mask(position);
    }
  }
  if (masked.length === 0 && nearest.position >= 0) mask(nearest.position);
  return masked;
}

/** The id that is number `rank` among those that are not special. */
function ordinaryToken(rank: number, specialIds: readonly number[]): number {
  let id = rank;
  for (const special of specialIds) {
    if (special > id) break;
    id++;
  }
  return id;
}

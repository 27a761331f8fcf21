/** Shared code of the SQuAD tests: the made-up files, and the golden values with their encodings. */
import { readFileSync } from 'node:fs';
import { createTokenizer, type Tokenizer } from '../../../../lib/data/tokenizer/tokenizer.js';
import { parseSquad, type SquadDataset } from '../../../../lib/eval/finetune/squad/dataset.js';
import type { OffsetEncoding } from '../../../../lib/eval/finetune/squad/windows.js';
import { bert, fixture } from '../../../data/support.js';

export const json = (name: string): any => JSON.parse(readFileSync(fixture(`squad/${name}`), 'utf8'));

export const madeUp = (version: 'v1.1' | 'v2.0'): SquadDataset => parseSquad(json(`made-up-${version}.json`), version);

export interface GoldenWindow {
  readonly ids: number[];
  readonly start: number;
  readonly label: [number, number];
  readonly best: string;
}

export interface GoldenCase {
  readonly id: string;
  readonly version: 1 | 2;
  readonly settings: [number, number, number];
  readonly windows: GoldenWindow[];
  readonly logits?: [number[], number[]][];
  readonly size: number;
  readonly maxAnswer: number;
  readonly expected: {
    readonly nBest: [string, number, number, number][];
    readonly bestAnswer: string;
    readonly nullOdds?: number;
  };
}

/** Windows and n-best lists of the made-up questions, and the encodings of their texts. */
export function windowGoldens(): { cases: GoldenCase[]; encode: (text: string) => OffsetEncoding } {
  const { texts, cases } = json('windows.json');
  return { cases, encode: (text) => texts[text] };
}

/** BERT's tokenizer with only the tokens that the made-up files need, so that models of it are tiny. */
export function smallTokenizer(): Tokenizer {
  const full = bert();
  const texts = [...madeUp('v1.1').questions, ...madeUp('v2.0').questions].flatMap((q) => [q.question, q.context]);
  const used = new Set(texts.flatMap((text) => [...full.encode(text)]));
  const specials = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]'];
  const { definition } = full;
  const all = Object.entries(definition.model.vocab as Record<string, number>);
  const kept = all.filter(([token, id]) => used.has(id) || specials.includes(token)).map(([token]) => token);
  const vocab = Object.fromEntries(kept.map((token, id) => [token, id]));
  const added = (definition.added_tokens ?? []).map((token) => ({ ...token, id: vocab[token.content]! }));
  return createTokenizer({ ...definition, model: { ...definition.model, vocab }, added_tokens: added });
}

/** Unigram (Kudo 2018): of all ways to divide a piece into tokens, the one whose scores have the largest sum. */
import type { Model, ModelVocabulary } from './models.js';
import type { Part, Refuse } from './refusal.js';

/** How much lower an unknown character scores than the lowest token. */
const unknownPenalty = 10;

/** @throws ApolloError BAD_TOKENIZER for a vocabulary that is no list of tokens with scores. */
export function unigramModel(part: Part, _: ModelVocabulary, refuse: Refuse): Model {
  const vocab = part['vocab'];
  if (!Array.isArray(vocab)) throw refuse('its Unigram model has no list of tokens with scores as "vocab"');
  const tokens = new Map<string, { readonly id: number; readonly score: number }>();
  let least = Number.POSITIVE_INFINITY;
  let longest = 0;
  for (const [id, entry] of (vocab as unknown[]).entries()) {
    const [token, score] = Array.isArray(entry) ? (entry as unknown[]) : [];
    if (typeof token !== 'string' || typeof score !== 'number')
      throw refuse(`entry ${id} of its Unigram vocabulary is ${JSON.stringify(entry)}, expected a token and its score`);
    tokens.set(token, { id, score });
    least = Math.min(least, score);
    longest = Math.max(longest, token.length);
  }
  const unknownId = (part['unk_id'] ?? undefined) as number | undefined;
  if (unknownId !== undefined && !(unknownId < vocab.length)) throw refuse(`its "unk_id" ${unknownId} is no token`);
  const byteFallback = part['byte_fallback'] === true;

  /** The ids of a stretch that may be no token: itself, its bytes, or the unknown token. */
  const idsOf = (text: string): number[] => {
    const known = tokens.get(text);
    if (known !== undefined) return [known.id];
    if (byteFallback) {
      const bytes = Array.from(
        Buffer.from(text, 'utf8'),
        (byte) => tokens.get(`<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`)?.id,
      );
      if (!bytes.includes(undefined)) return bytes as number[];
    }
    if (unknownId !== undefined) return [unknownId];
    throw refuse(`it has no token for ${JSON.stringify(text)}, and no unknown token ("unk_id")`);
  };
  return (piece) => {
    const path = bestPath(piece, tokens, { longest, unknownScore: least - unknownPenalty });
    const ids: number[] = [];
    for (let i = 0; i < path.length; ) {
      let { start, end, isUnknown } = path[i++]!;
      isUnknown ||= tokens.get(piece.slice(start, end))?.id === unknownId;
      // Neighbouring unknown characters are one unknown token.
      while (isUnknown && i < path.length) {
        const after = path[i]!;
        if (!after.isUnknown && tokens.get(piece.slice(after.start, after.end))?.id !== unknownId) break;
        end = after.end;
        i++;
      }
      ids.push(...idsOf(piece.slice(start, end)));
    }
    return ids;
  };
}

interface Step {
  readonly start: number;
  readonly end: number;
  readonly isUnknown: boolean;
}

/** Viterbi from left to right; of equal scores the one that was found first stays. */
function bestPath(
  piece: string,
  tokens: ReadonlyMap<string, { readonly score: number }>,
  { longest, unknownScore }: { readonly longest: number; readonly unknownScore: number },
): Step[] {
  const score = new Float64Array(piece.length + 1);
  const from = new Int32Array(piece.length + 1).fill(-1);
  const isUnknown = new Uint8Array(piece.length + 1);
  const offer = (start: number, end: number, gain: number, unknown: 0 | 1): void => {
    const sum = gain + score[start]!;
    if (from[end]! >= 0 && !(sum > score[end]!)) return;
    score[end] = sum;
    from[end] = start;
    isUnknown[end] = unknown;
  };
  for (let start = 0; start < piece.length; ) {
    const width = piece.codePointAt(start)! > 0xffff ? 2 : 1;
    let hasSingle = false;
    for (let end = start + width; end <= Math.min(piece.length, start + longest); end++) {
      const token = tokens.get(piece.slice(start, end));
      if (token === undefined) continue;
      offer(start, end, token.score, 0);
      hasSingle ||= end === start + width;
    }
    if (!hasSingle) offer(start, start + width, unknownScore, 1);
    start += width;
  }
  const path: Step[] = [];
  for (let end = piece.length; end > 0; ) {
    const start = from[end]!;
    path.push({ start, end, isUnknown: isUnknown[end] === 1 });
    end = start;
  }
  return path.reverse();
}

/**
 * Reads r50k_base.tiktoken, GPT-2's vocabulary as tiktoken publishes it: one line per token, its bytes in base64 and its
 * rank, which is its id. The merges are not written there; they follow from the ranks.
 */
import { ApolloError } from '../../errors.js';
import { byteCharacters } from './pretokenize.js';

/**
 * Vocabulary and merges of the file's text.
 * @throws ApolloError BAD_TOKENIZER for a line of another form, a rank that repeats or is missing, or a token that no
 * two others make.
 */
export function readTiktoken(
  text: string,
  path: string,
): { vocab: Record<string, number>; merges: [string, string][] } {
  const bad = (reason: string): ApolloError =>
    new ApolloError('BAD_TOKENIZER', `${path} is not a usable .tiktoken file: ${reason}. Copy the file again.`);
  const tokens: string[] = [];
  for (const [i, line] of text.split(/\r?\n/).entries()) {
    if (line === '') continue;
    const [, base64, rank] = /^([A-Za-z0-9+/]+=*) (\d+)$/.exec(line) ?? [];
    if (base64 === undefined)
      throw bad(`line ${i + 1} is ${JSON.stringify(line.slice(0, 60))}, expected "base64 rank"`);
    const id = Number(rank);
    if (tokens[id] !== undefined) throw bad(`line ${i + 1} repeats rank ${id}`);
    tokens[id] = Array.from(Buffer.from(base64, 'base64'), (byte) => byteCharacters[byte]!).join('');
  }
  const ranks = new Map<string, number>();
  for (let id = 0; id < tokens.length; id++) {
    const token = tokens[id];
    if (token === undefined) throw bad(`rank ${id} of 0 to ${tokens.length - 1} is missing`);
    if (ranks.has(token)) throw bad(`ranks ${ranks.get(token)} and ${id} are the same token`);
    ranks.set(token, id);
  }
  const merges: [string, string][] = [];
  for (const [token, rank] of ranks) {
    if (token.length === 1) continue;
    const parts = merged(token, ranks, rank);
    if (parts.length !== 2) throw bad(`no two tokens before rank ${rank} make the token of that rank`);
    merges.push(parts as [string, string]);
  }
  return { vocab: Object.fromEntries(ranks), merges };
}

/** The remaining parts of a token's bytes after all merges of lower rank: for a token of BPE, two parts. */
function merged(token: string, ranks: ReadonlyMap<string, number>, limit: number): string[] {
  const parts = [...token];
  for (;;) {
    let best = -1;
    let bestRank = limit;
    for (let i = 0; i + 1 < parts.length; i++) {
      const rank = ranks.get(parts[i]! + parts[i + 1]!);
      if (rank !== undefined && rank < bestRank) [best, bestRank] = [i, rank];
    }
    if (best < 0) return parts;
    parts.splice(best, 2, parts[best]! + parts[best + 1]!);
  }
}

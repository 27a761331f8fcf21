/** Text of tokens that come one by one: whole characters only, and nothing of a stop string or what may become one. */
import type { Tokenizer } from '../../data/index.js';

export interface TextPiece {
  /** Text that can be shown now; may be empty. */
  readonly text: string;
  /** A stop string has come: the text ends before it. */
  readonly stopped: boolean;
}

export interface TextStream {
  push(token: number): TextPiece;
  /** The text that was held back; called after the last token. */
  end(): string;
}

/** Holds back the end of a text while a stop string may start there. */
export function stopFilter(stops: readonly string[]): { push(text: string): TextPiece; end(): string } {
  let held = '';
  return {
    push(text) {
      held += text;
      const first = stops.map((stop) => held.indexOf(stop)).filter((at) => at >= 0);
      if (first.length > 0) {
        const shown = held.slice(0, Math.min(...first));
        held = '';
        return { text: shown, stopped: true };
      }
      const length = Math.max(0, ...stops.map((stop) => overlap(held, stop)));
      const shown = held.slice(0, held.length - length);
      held = held.slice(held.length - length);
      return { text: shown, stopped: false };
    },
    end() {
      const rest = held;
      held = '';
      return rest;
    },
  };
}

/** Number of characters at the end of `text` that are a prefix of `stop`. */
function overlap(text: string, stop: string): number {
  for (let length = Math.min(text.length, stop.length - 1); length > 0; length--) {
    if (text.endsWith(stop.slice(0, length))) return length;
  }
  return 0;
}

/** Tokens at the end of a prompt by which it is known how a text continues: a decoder looks at a word or two. */
const contextTokens = 32;

/**
 * The text that a tokenizer's tokens add to that of `prompt`: the first token of a whole text is written without the blank
 * before it, one that continues a text is not. Special tokens have none.
 */
export function textStream(
  tokenizer: Tokenizer,
  stops: readonly string[] = [],
  prompt: ArrayLike<number> = [],
): TextStream {
  const options = { skipSpecialTokens: true };
  const decoder = tokenizer.streamDecoder(options);
  const context = contextOf(tokenizer, Array.from(prompt));
  let shown = '';
  for (const token of context) shown += decoder.push(token);
  const added = withoutStart(tokenizer.decode(context, options).slice(shown.length));
  const filter = stopFilter(stops);
  return {
    push: (token) => filter.push(added(decoder.push(token))),
    end() {
      const { text, stopped } = filter.push(added(decoder.end()));
      return stopped ? text : text + filter.end();
    },
  };
}

/** The last tokens of a prompt: enough that some have text where any has. */
function contextOf(tokenizer: Tokenizer, prompt: readonly number[]): readonly number[] {
  const last = (count: number) => prompt.slice(-count);
  let count = contextTokens;
  while (count < prompt.length && tokenizer.decode(last(count), { skipSpecialTokens: true }) === '') count *= 2;
  return last(count);
}

/** Leaves out `start`, which the pieces of a text begin with; where they differ, the text is shown from there. */
function withoutStart(start: string): (piece: string) => string {
  let rest = start;
  return (piece) => {
    let same = 0;
    while (same < Math.min(rest.length, piece.length) && rest[same] === piece[same]) same++;
    rest = same < piece.length ? '' : rest.slice(same);
    return piece.slice(same);
  };
}

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

/** The text of a sequence that a tokenizer's tokens make. Special tokens have none. */
export function textStream(tokenizer: Tokenizer, stops: readonly string[] = []): TextStream {
  const decoder = tokenizer.streamDecoder({ skipSpecialTokens: true });
  const filter = stopFilter(stops);
  return {
    push: (token) => filter.push(decoder.push(token)),
    end() {
      const { text, stopped } = filter.push(decoder.end());
      return stopped ? text : text + filter.end();
    },
  };
}

/** Documents of nothing but white space are none: every reader of documents leaves them out and counts them. */
import type { DocumentPiece } from './pieces.js';

export class BlankDocuments {
  readonly #onSkip: (reason: string) => void;
  #hasText = false;

  constructor(onSkip: (reason: string) => void) {
    this.#onSkip = onSkip;
  }

  /** Whether a piece is kept: from the first piece of its document that has text. Takes the pieces in their order. */
  keeps({ text, isLast }: DocumentPiece): boolean {
    const keeps = this.#hasText || text.trim() !== '';
    this.#hasText = keeps && !isLast;
    if (!keeps && isLast) this.#onSkip('empty text');
    return keeps;
  }
}

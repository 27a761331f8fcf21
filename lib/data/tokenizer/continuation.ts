/** How a piece of a document that is not its first is given to a tokenizer, so that it gets the tokens it has in the whole. */
import type { Part } from './refusal.js';
import type { TokenizerDefinition } from './tokenizer-files.js';

/**
 * The text to encode for a piece that continues a document (see `PieceCutter`: it starts with a blank, or is cut anywhere).
 * The normalizer `Prepend` of Llama 1 and 2 puts the mark of a blank before every text that it is given: there it takes
 * the place of the piece's own blank. Metaspace and `add_prefix_space` leave a text alone that starts with one.
 */
export function continuation({ normalizer }: TokenizerDefinition): (text: string) => string {
  if (!prepends(normalizer as Part | null | undefined)) return (text) => text;
  return (text) => (text.startsWith(' ') ? text.slice(1) : text);
}

function prepends(part: Part | null | undefined): boolean {
  if (part?.type === 'Sequence') return ((part['normalizers'] ?? []) as Part[]).some(prepends);
  return part?.type === 'Prepend';
}

/** The normalizer NFC before an encoder that knows places: tokens are of the composed text, places in the text as it was. */
import { normalForm } from './characters.js';
import type { TextEncoding } from './offsets.js';

/** An encoder of the composed text. Characters that compose to others have one place together. */
export function composing(plain: TextEncoding): TextEncoding {
  return {
    encode: (text, out) => plain.encode(normalForm(text, 'NFC'), out),
    place(text, add) {
      if (normalForm(text, 'NFC') === text) {
        plain.place(text, add);
        return;
      }
      const { composed, starts, ends } = composedWithPlaces(text);
      plain.place(composed, (id, start, end) => add(id, starts[start]!, ends[end - 1]!));
    },
  };
}

/** The composed text; unit i of it was made from the units starts[i] to ends[i] of the text. */
function composedWithPlaces(text: string): { composed: string; starts: number[]; ends: number[] } {
  let composed = '';
  const starts: number[] = [];
  const ends: number[] = [];
  for (const { start, end } of clusters(text)) {
    const source = text.slice(start, end);
    const made = normalForm(source, 'NFC');
    for (let i = 0; i < made.length; i++) {
      starts.push(made === source ? start + i : start);
      ends.push(made === source ? start + i + 1 : end);
    }
    composed += made;
  }
  return { composed, starts, ends };
}

/** Stretches that compose by themselves: a mark goes with what is before it, as does what composes with it (Hangul). */
function clusters(text: string): { start: number; end: number }[] {
  const found: { start: number; end: number }[] = [];
  let before = ''; // the last stretch
  for (const { 0: character, index } of text.matchAll(/./gsu)) {
    const last = found.at(-1);
    if (last !== undefined && (isMark.test(character) || composes(before, character))) {
      last.end = index + character.length;
      before += character;
    } else {
      found.push({ start: index, end: index + character.length });
      before = character;
    }
  }
  return found;
}

const isMark = /^\p{M}/u;

function composes(before: string, character: string): boolean {
  const joined = normalForm(before + character, 'NFC');
  return joined !== normalForm(before, 'NFC') + normalForm(character, 'NFC');
}

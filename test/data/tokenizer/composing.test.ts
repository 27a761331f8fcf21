/** Places in a text that is composed (NFC) before it is encoded. */
import t from 'tap';
import { normalForm } from '../../../lib/data/tokenizer/characters.js';
import { composing } from '../../../lib/data/tokenizer/composing.js';
import type { TextEncoding } from '../../../lib/data/tokenizer/offsets.js';
import { texts } from './pipelines.js';

/** A token for each UTF-16 unit: its id is the unit. */
const units: TextEncoding = {
  encode(text, out) {
    for (let i = 0; i < text.length; i++) out.push(text.charCodeAt(i));
  },
  place(text, add) {
    for (let i = 0; i < text.length; i++) add(text.charCodeAt(i), i, i + 1);
  },
};

function placed(text: string): { made: string; places: [number, number][] } {
  let made = '';
  const places: [number, number][] = [];
  composing(units).place(text, (id, start, end) => {
    made += String.fromCharCode(id);
    places.push([start, end]);
  });
  return { made, places };
}

t.test('a character that was composed has the place of all that it was made from', async (t) => {
  const text = 'xe\u0301y \u1100\u1161\u11a8!';
  const { made, places } = placed(text);
  t.equal(made, 'x\u00e9y \uac01!');
  t.strictSame(
    places.map(([start, end]) => text.slice(start, end)),
    ['x', 'e\u0301', 'y', ' ', '\u1100\u1161\u11a8', '!'],
  );
});

t.test('text of all scripts is composed as a whole, and each place composes to what stands there', async (t) => {
  let changed = 0;
  for (const text of texts.map((text) => text.normalize('NFD'))) {
    const { made, places } = placed(text);
    const composed = normalForm(text, 'NFC');
    if (made !== composed) t.equal(made, composed, encodeURI(text));
    if (composed !== text) changed++;
    const from = [...new Set(places.map(([start, end]) => text.slice(start, end)))].map((part) =>
      normalForm(part, 'NFC'),
    );
    if (from.some((part) => !composed.includes(part))) t.fail(encodeURI(text));
    if (places.some(([start], i) => start > (places[i + 1]?.[0] ?? text.length))) t.fail(`order: ${encodeURI(text)}`);
  }
  t.ok(changed > 200, `${changed} texts change`);
});

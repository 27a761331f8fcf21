/** A rank that meets the others and prints the text it gets, or why there is none. DELAY_MS: it comes late. */
import { setTimeout } from 'node:timers/promises';
import { rankOf } from '../../lib/dist/index.js';
import { textOfFirst } from '../../lib/dist/rendezvous.js';

const place = rankOf(process.env);
const { DELAY_MS: late = '0', LATE_RANK: which = String(place.rank) } = process.env;
if (Number(which) === place.rank) await setTimeout(Number(late));
try {
  console.log(await textOfFirst(place, process.env, () => `TEXT of ${place.size} ranks`));
} catch (error) {
  const { code, message } = error as { code: string; message: string };
  console.log(`${code} ${message}`);
}

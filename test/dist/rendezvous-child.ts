/** A rank that meets the others and prints the text it gets, or why there is none. DELAY_MS: it comes late. */
import { setTimeout } from 'node:timers/promises';
import { rankOf } from '../../lib/dist/index.js';
import { textOfFirst } from '../../lib/dist/rendezvous.js';

const place = rankOf(process.env);
await setTimeout(Number(process.env['DELAY_MS'] ?? 0));
try {
  console.log(await textOfFirst(place, process.env, () => `TEXT of ${place.size} ranks`));
} catch (error) {
  const { code, message } = error as { code: string; message: string };
  console.log(`${code} ${message}`);
}

/** Shared code of the benches' command lines. */

/** A positive whole number. @throws Error for anything else. */
export function whole(text: string): number {
  if (!/^[1-9]\d*$/.test(text)) throw new Error(`expected a positive whole number, got "${text}"`);
  return Number(text);
}

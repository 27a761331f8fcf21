/** JSON as programs write it: Python's json also writes NaN, Infinity and -Infinity, which the standard does not have. */

/**
 * The value of a JSON text. Where it has NaN, Infinity or -Infinity outside of its strings, they are taken as null.
 * @throws SyntaxError for anything else that is not JSON.
 */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    if (!/NaN|Infinity/.test(text)) throw error;
    try {
      return JSON.parse(withoutNonFinite(text));
    } catch {
      throw error; // the place in the text as it is
    }
  }
}

/** Strings are recognised by their quotes; one that is not closed ends the search. */
function withoutNonFinite(text: string): string {
  let result = '';
  let start = 0; // of what is outside of strings
  for (;;) {
    const opens = text.indexOf('"', start);
    const outside = opens < 0 ? text.slice(start) : text.slice(start, opens);
    result += outside.replace(/-?\b(?:NaN|Infinity)\b/g, 'null');
    if (opens < 0) return result;
    let closes = text.indexOf('"', opens + 1);
    while (closes >= 0 && isEscaped(text, closes)) closes = text.indexOf('"', closes + 1);
    if (closes < 0) return result + text.slice(opens);
    result += text.slice(opens, closes + 1);
    start = closes + 1;
  }
}

/** Whether an odd number of backslashes is before the place. */
function isEscaped(text: string, place: number): boolean {
  let before = place;
  while (text[before - 1] === '\\') before--;
  return (place - before) % 2 === 1;
}

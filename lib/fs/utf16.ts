/** Text files that an editor on Windows saved as UTF-16, where all of this package's formats are UTF-8. */

/** Message about such a file; follows the file's name. */
export const savedAsUtf16 = 'is UTF-16, expected UTF-8: save it as UTF-8';

/** Whether a text whose first character is ASCII, as in JSON, is UTF-16: by its byte order mark, or by zeros. */
export function isUtf16(bytes: Uint8Array): boolean {
  const [first, second] = bytes;
  const hasMark = (first === 0xff && second === 0xfe) || (first === 0xfe && second === 0xff);
  return hasMark || (bytes.length > 1 && (first === 0) !== (second === 0));
}

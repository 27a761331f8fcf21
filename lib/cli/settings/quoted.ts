/** A path as a shell takes it: in quotes where it holds more than letters, digits and what has no meaning there. */
export function quoted(path: string): string {
  return /^[\w./:@%+=,~-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`;
}

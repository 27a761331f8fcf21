// The rows of the tables in docs/api that describe something: parameters, properties, fields, exports of a room.

/** Cells of a row: a bar that is escaped, or in code, is part of its cell. */
const cellsOf = (line) =>
  line
    .slice(1, -1)
    .split(/(?<!\\)\|/)
    .map((cell) => cell.trim());

const isRow = (line) => line.startsWith('|') && line.endsWith('|');
const isRule = (line) => line !== undefined && /^\|(?: -+ \|)+$/.test(line);

/** The lines of a page; those of code blocks are empty. */
const linesOf = (page) => page.replace(/^```[\s\S]*?^```/gm, (block) => block.replace(/[^\n]/g, '')).split('\n');

/**
 * Rows of a page that say nothing of what they name, as line numbers from 1: `empty`, in a table with descriptions, and
 * `bare`, in a table that has none at all.
 */
export function undescribedRows(page) {
  const lines = linesOf(page);
  const found = { empty: [], bare: [] };
  for (let head = 0; head < lines.length; head++) {
    if (!isRow(lines[head]) || !isRule(lines[head + 1])) continue;
    const column = cellsOf(lines[head]).indexOf('Description');
    for (let row = head + 2; row < lines.length && isRow(lines[row]); row++) {
      if (column < 0) found.bare.push(row + 1);
      else if (['', '-', undefined].includes(cellsOf(lines[row])[column])) found.empty.push(row + 1);
    }
  }
  return found;
}

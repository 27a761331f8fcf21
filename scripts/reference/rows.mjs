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

/** Whether a row may be in a table without descriptions: a parameter whose function says what it is, but no field. */
const mayBeBare = ([head], [name]) => /^(Type )?Parameter$/.test(head) && !/^`[^`]*\./.test(name);

/**
 * Rows of a page that say nothing of what they name, as line numbers from 1: those that should, and `bare`, parameters in
 * a table that describes none of them.
 */
export function undescribedRows(page) {
  const lines = linesOf(page);
  const found = { empty: [], bare: [] };
  for (let head = 0; head < lines.length; head++) {
    if (!isRow(lines[head]) || !isRule(lines[head + 1])) continue;
    const heads = cellsOf(lines[head]);
    const column = heads.indexOf('Description');
    for (let row = head + 2; row < lines.length && isRow(lines[row]); row++) {
      const cells = cellsOf(lines[row]);
      if (column < 0) found[mayBeBare(heads, cells) ? 'bare' : 'empty'].push(row + 1);
      else if (['', '-', undefined].includes(cells[column])) found.empty.push(row + 1);
    }
  }
  return found;
}

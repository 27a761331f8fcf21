// Where the reference has the page of an export.

/** Folder of a room's pages in docs/api; that of the package itself has the package's name. */
export const roomFolder = (specifier) => specifier.split('/').at(-1);

/**
 * The page of an export, from docs/api: train/createTrainer.md, engine/types/Shape.md. Types have a folder of their own, as some
 * differ from a function in case only (TextLoss, textLoss), which many file systems take for one name.
 */
export function pageOf({ specifier, name, isValue }) {
  const path = [roomFolder(specifier), ...name.split('.')];
  if (!isValue) path.splice(-1, 0, 'types');
  return `${path.join('/')}.md`;
}

/** The first line and the import line of that page. */
export const titleOf = ({ name }) => `# ${name}`;
export const importOf = ({ specifier, name, isValue }) =>
  `import ${isValue || name.includes('.') ? '' : 'type '}{ ${name.split('.')[0]} } from '${specifier}';`;

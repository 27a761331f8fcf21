/**
 * Git LFS pointers: the short text that is in place of a large file in a clone that has not fetched it. Such a file has
 * the name of what it points to and nothing of its content, so it is recognised before any other check.
 */

const start = 'version https://git-lfs.github.com/spec/';

/** The number of bytes needed to recognise a pointer. */
export const pointerBytes = start.length;

/** Whether a file that starts with these bytes is a Git LFS pointer. */
export function isLfsPointer(bytes: Uint8Array): boolean {
  return bytes.length >= pointerBytes && new TextDecoder('latin1').decode(bytes.subarray(0, pointerBytes)) === start;
}

/** Message about a pointer, and what to do. */
export const lfsPointerMessage =
  'is a Git LFS pointer, the short text that stands for the file until it is fetched. Run "git lfs pull" in that clone, or ' +
  'download the file itself.';

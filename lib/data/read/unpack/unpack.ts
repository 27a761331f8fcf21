/** Interface of a kind of packed file: text formats may be packed with any that index.ts lists. */

export interface Packing {
  readonly name: string;
  /** End of the file's name. */
  readonly ending: string;
  /** Whether a file that starts with these bytes (4, or all there are) is packed so. */
  starts(head: Uint8Array): boolean;
  /**
   * The unpacked bytes, in chunks of at most about 256 KiB. Reading ends with the iteration.
   * @throws DamagedPacking when the data is cut off or wrong.
   */
  unpack(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array>;
}

/** Packed data that cannot be unpacked; the message continues after the file's name: "holds damaged ...". */
export class DamagedPacking extends Error {}

/** What a kind of packed file is: text formats may be packed with any that index.ts lists. */

export interface Packing {
  readonly name: string;
  /** End of the file's name. */
  readonly ending: string;
  /** Whether a file that begins with these bytes (4, or all there are) is packed so. */
  starts(head: Uint8Array): boolean;
  /**
   * The unpacked bytes, in chunks of at most about 256 KiB. Reading ends with the iteration.
   * @throws DamagedPacking when the data is cut off or wrong.
   */
  unpack(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array>;
}

/** Packed data that cannot be unpacked; the message goes on from the file's name: "holds damaged ...". */
export class DamagedPacking extends Error {}

/** A growable array of token ids: encoders append to it, so that a piece of text becomes ids without garbage. */
export class IdBuffer {
  #data: Uint32Array;
  length = 0;

  constructor(capacity = 1024) {
    this.#data = new Uint32Array(capacity);
  }

  push(id: number): void {
    if (this.length === this.#data.length) this.#grow(this.length + 1);
    this.#data[this.length++] = id;
  }

  append(ids: ArrayLike<number>): void {
    if (this.length + ids.length > this.#data.length) this.#grow(this.length + ids.length);
    this.#data.set(ids, this.length);
    this.length += ids.length;
  }

  /** The ids so far, as a view that the next push may outdate. */
  view(): Uint32Array {
    return this.#data.subarray(0, this.length);
  }

  clear(): void {
    this.length = 0;
  }

  #grow(needed: number): void {
    const larger = new Uint32Array(Math.max(needed, 2 * this.#data.length));
    larger.set(this.view());
    this.#data = larger;
  }
}

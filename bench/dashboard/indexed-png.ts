/** Writes a picture as PNG with at most 256 colours: a third of the size for pages, which have few. */
import { crc32, deflateSync } from 'node:zlib';

/** `pixels`: red, green, blue and opacity (ignored) of each, row by row. */
export function indexedPng(pixels: Uint8Array, width: number, height: number): Buffer {
  const counts = new Map<number, number>();
  const colorAt = (index: number) => (pixels[index]! << 16) | (pixels[index + 1]! << 8) | pixels[index + 2]!;
  for (let i = 0; i < pixels.length; i += 4) counts.set(colorAt(i), (counts.get(colorAt(i)) ?? 0) + 1);
  const frequent = [...counts].sort((a, b) => b[1] - a[1]).map(([color]) => color);
  const palette = distinct(frequent, 256);
  const places = new Map(frequent.map((color) => [color, nearest(color, palette)]));
  const rows = Buffer.alloc((width + 1) * height); // each row starts with its filter: none
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) rows[y * (width + 1) + 1 + x] = places.get(colorAt(4 * (y * width + x)))!;
  }
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([8, 3, 0, 0, 0], 8); // 8 bits, palette
  const colors = Buffer.from(palette.flatMap((color) => [color >> 16, (color >> 8) & 255, color & 255]));
  const parts = [chunk('IHDR', header), chunk('PLTE', colors), chunk('IDAT', deflateSync(rows, { level: 9 }))];
  return Buffer.concat([Buffer.from('\x89PNG\r\n\x1a\n', 'latin1'), ...parts, chunk('IEND', Buffer.alloc(0))]);
}

/** The most frequent colours, without those that look like one chosen before. */
function distinct(frequent: readonly number[], limit: number): number[] {
  for (let closest = 0; ; closest += 8) {
    const chosen: number[] = [];
    for (const color of frequent) {
      if (chosen.every((other) => distance(color, other) > closest)) chosen.push(color);
      if (chosen.length > limit) break;
    }
    if (chosen.length <= limit) return chosen;
  }
}

function nearest(color: number, palette: readonly number[]): number {
  let best = 0;
  for (let place = 1; place < palette.length; place++) {
    if (distance(color, palette[place]!) < distance(color, palette[best]!)) best = place;
  }
  return best;
}

function distance(a: number, b: number): number {
  const of = (shift: number) => (((a >> shift) & 255) - ((b >> shift) & 255)) ** 2;
  return of(16) + of(8) + of(0);
}

function chunk(type: string, data: Buffer): Buffer {
  const named = Buffer.concat([Buffer.from(type, 'latin1'), data]);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(data.length);
  const sum = Buffer.alloc(4);
  sum.writeUInt32BE(crc32(named));
  return Buffer.concat([length, named, sum]);
}

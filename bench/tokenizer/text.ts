/** Text of files for the tokenizer bench: plain or gzip, in pieces cut at line ends. */
import { createReadStream, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { createGunzip } from 'node:zlib';

/** Files given, and those in folders given, by name. */
export function textFiles(paths: readonly string[]): string[] {
  return paths.flatMap((path) =>
    statSync(path).isDirectory()
      ? readdirSync(path)
          .filter((name) => /\.txt(\.gz)?$/.test(name))
          .sort()
          .map((name) => join(path, name))
      : [path],
  );
}

/** The texts of the files one after the other, up to `limitBytes` of UTF-8. */
export async function* texts(files: readonly string[], limitBytes = Number.POSITIVE_INFINITY): AsyncGenerator<string> {
  let left = limitBytes;
  for (const file of files) {
    const source = createReadStream(file, { highWaterMark: 1 << 18 });
    const stream = file.endsWith('.gz') ? source.pipe(createGunzip({ chunkSize: 1 << 18 })) : source;
    const decoder = new TextDecoder('utf-8');
    let rest = '';
    try {
      for await (const chunk of stream) {
        const bytes = (chunk as Buffer).subarray(0, left);
        left -= bytes.length;
        const text = rest + decoder.decode(bytes, { stream: true });
        const cut = text.lastIndexOf('\n');
        if (cut > 0) yield text.slice(0, cut);
        rest = cut > 0 ? text.slice(cut) : text;
        if (left <= 0) break;
      }
    } finally {
      source.destroy();
      stream.destroy();
    }
    if (rest !== '') yield rest;
    if (left <= 0) return;
  }
}

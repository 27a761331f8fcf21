/** Encoding speed of one thread, next to Python's `tokenizers` where there is a Python: rounds take turns. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { createTokenizer, type Tokenizer, type TokenizerDefinition } from '../../lib/data/index.js';
import { tokenizerFiles } from '../../lib/interop/hugging-face-tokenizer.js';
import { spread } from '../statistics.js';

interface Times {
  readonly wallSeconds: number;
  readonly cpuSeconds: number;
}

export interface Speed {
  /** Megabytes (10^6) of UTF-8 a second: median, smallest and largest of the rounds. */
  readonly perCpuSecond: { median: number; min: number; max: number };
  readonly perWallSecond: { median: number; min: number; max: number };
}

export interface EncodeResult {
  readonly text: string;
  readonly bytes: number;
  readonly tokens: number;
  readonly encode: Speed;
  /** Undefined for a tokenizer that keeps no places. */
  readonly encodeWithOffsets: Speed | undefined;
  readonly python: (Speed & { readonly version: string; readonly sameIds: boolean }) | undefined;
}

/**
 * Times `rounds` passes over the pieces, after one that is not counted. Each of ours starts with a new tokenizer, so that
 * no pass finds the words of the one before in a cache; Python's keeps its own.
 */
export async function encodeSpeed(
  definition: TokenizerDefinition,
  label: string,
  pieces: readonly string[],
  rounds: number,
  python: string | undefined,
): Promise<EncodeResult> {
  const bytes = pieces.reduce((sum, piece) => sum + Buffer.byteLength(piece), 0);
  const tokenizer = createTokenizer(definition);
  const keepsPlaces = tokenizer.kind !== 'other';
  const peer = python === undefined ? undefined : await Peer.start(python, tokenizer, pieces);
  try {
    const [plain, placed, theirs]: [Times[], Times[], Times[]] = [[], [], []];
    let tokens = 0;
    let sum = 0;
    for (const piece of pieces) {
      for (const id of tokenizer.encode(piece)) {
        tokens++;
        sum = (sum * 31 + id) % 1000003;
      }
      if (keepsPlaces) tokenizer.encodeWithOffsets(piece);
    }
    let sameIds = true;
    await peer?.run();
    for (let round = 0; round < rounds; round++) {
      const [first, second] = [createTokenizer(definition), createTokenizer(definition)];
      plain.push(timed(() => pieces.forEach((piece) => first.encode(piece))));
      if (keepsPlaces) placed.push(timed(() => pieces.forEach((piece) => second.encodeWithOffsets(piece))));
      const answer = await peer?.run();
      if (answer === undefined) continue;
      theirs.push(answer);
      sameIds &&= answer.count === tokens && answer.sum === sum;
    }
    return {
      text: label,
      bytes,
      tokens,
      encode: speed(bytes, plain),
      encodeWithOffsets: keepsPlaces ? speed(bytes, placed) : undefined,
      python: peer && { ...speed(bytes, theirs), version: peer.version, sameIds },
    };
  } finally {
    peer?.end();
  }
}

function timed(work: () => void): Times {
  const cpu = process.cpuUsage();
  const start = performance.now();
  work();
  const { user, system } = process.cpuUsage(cpu);
  return { wallSeconds: (performance.now() - start) / 1e3, cpuSeconds: (user + system) / 1e6 };
}

function speed(bytes: number, times: readonly Times[]): Speed {
  return {
    perCpuSecond: spread(times.map(({ cpuSeconds }) => bytes / 1e6 / cpuSeconds)),
    perWallSecond: spread(times.map(({ wallSeconds }) => bytes / 1e6 / wallSeconds)),
  };
}

/** A Python process that holds the same tokenizer and text. */
class Peer {
  version = '';

  private constructor(
    readonly child: ChildProcess,
    readonly lines: AsyncIterator<string>,
    readonly folder: string,
  ) {}

  static async start(python: string, tokenizer: Tokenizer, pieces: readonly string[]): Promise<Peer> {
    const folder = mkdtempSync(join(tmpdir(), 'bench-tokenizer-'));
    const path = join(folder, 'tokenizer.json');
    writeFileSync(path, tokenizerFiles(tokenizer)[0]!.content);
    const script = fileURLToPath(new URL('peer.py', import.meta.url));
    const child = spawn(python, [script], { stdio: ['pipe', 'pipe', 'inherit'] });
    const peer = new Peer(child, createInterface({ input: child.stdout! })[Symbol.asyncIterator](), folder);
    peer.version = (await peer.ask<{ version: string }>({ tokenizer: path, pieces })).version;
    return peer;
  }

  run(): Promise<Times & { count: number; sum: number }> {
    return this.ask({ run: true });
  }

  async ask<T>(request: object): Promise<T> {
    this.child.stdin!.write(`${JSON.stringify(request)}\n`);
    const { value, done } = await this.lines.next();
    if (done) throw new Error('The Python process ended; does its Python have the package tokenizers?');
    return JSON.parse(value) as T;
  }

  end(): void {
    this.child.stdin!.end();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

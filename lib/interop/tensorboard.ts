/**
 * Writes TensorBoard event files: scalars, text and histograms. Field numbers are those of event.proto, summary.proto and
 * tensor.proto in tensorboard/compat/proto.
 */
import { type FileHandle, open, readdir } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { ApolloError } from '../errors.js';
import { appendNow } from '../fs/append.js';
import { writing } from '../fs/error.js';
import { makeFolder } from '../fs/make-folder.js';
import * as is from '../is.js';
import { bytesField, doubleField, doublesField, floatField, messageField, varintField } from './protobuf.js';
import { frameRecord } from './tfrecord.js';

/** One value of a step, encoded: what `scalar`, `text` and `histogram` make. */
export type SummaryValue = Uint8Array;

const takesScalar = is.takes('scalar', { tag: is.string, value: is.anyNumber });

/**
 * A number under a tag: `scalar('loss/train', 2.31)`. "/" groups tags.
 * @example
 * await writer.add(100, [scalar('loss/train', 3.2)]);
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function scalar(tag: string, value: number): SummaryValue {
  takesScalar(tag, value);

  return messageField(1, [bytesField(1, tag), floatField(2, value)]);
}

const stringType = 7;
const tensorClass = 2;

const takesText = is.takes('text', { tag: is.string, markdown: is.string });

/**
 * Markdown under a tag.
 * @example
 * await writer.add(0, [text('settings', '**seed** 42')]);
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function text(tag: string, markdown: string): SummaryValue {
  takesText(tag, markdown);

  const metadata = [messageField(1, [bytesField(1, 'text')]), varintField(4, tensorClass)];
  // A tensor of one string; its shape is one dimension of size 1.
  const shape = messageField(2, [messageField(2, [varintField(1, 1)])]);
  const tensor = [varintField(1, stringType), shape, bytesField(8, markdown)];
  return messageField(1, [bytesField(1, tag), messageField(8, tensor), messageField(9, metadata)]);
}

const takesHistogram = is.takes('histogram', { tag: is.string, counts: is.list(is.number) });

/**
 * How often each whole number occurred: `counts[value]`. A number stands for the interval of length 1 around it, so
 * that TensorBoard draws bars of equal width.
 * @example
 * await writer.add(100, [histogram('depth', [4, 0, 2])]);
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function histogram(tag: string, counts: readonly number[]): SummaryValue {
  takesHistogram(tag, counts);

  const first = counts.findIndex((count) => count > 0);
  const last = counts.findLastIndex((count) => count > 0);
  const total = (weight: (value: number) => number) =>
    counts.reduce((sum, count, value) => sum + count * weight(value), 0);
  const values = first < 0 ? [] : Array.from({ length: last - first + 1 }, (_, index) => first + index);
  return messageField(1, [
    bytesField(1, tag),
    messageField(5, [
      doubleField(1, first < 0 ? 0 : first - 0.5),
      doubleField(2, first < 0 ? 0 : last + 0.5),
      doubleField(
        3,
        total(() => 1),
      ),
      doubleField(
        4,
        total((value) => value),
      ),
      doubleField(
        5,
        total((value) => value * value),
      ),
      doublesField(
        6,
        values.map((value) => value + 0.5),
      ),
      doublesField(
        7,
        values.map((value) => counts[value]!),
      ),
    ]),
  ]);
}

const fileVersion = (version: string) => bytesField(3, version);
const sessionStart = messageField(7, [varintField(1, 1)]);

const takesEncodeEvent = is.takes('encodeEvent', { wallTimeMs: is.finite, step: is.index, what: is.bytes });

/**
 * A framed event. `wallTimeMs` in milliseconds since 1970.
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export function encodeEvent(wallTimeMs: number, step: number, what: Uint8Array): Buffer {
  takesEncodeEvent(wallTimeMs, step, what);

  const position = step === 0 ? [] : [varintField(2, step)]; // zeros are left out, as everywhere in proto3
  return frameRecord(Buffer.concat([doubleField(1, wallTimeMs / 1e3), ...position, what]));
}

/** Options of `EventFileWriter.open`. */
export interface EventFileOptions {
  /** A resumed run: events of earlier files from this step on no longer hold. */
  readonly purgeFrom?: number | undefined;
  /** Milliseconds since 1970; for tests. */
  readonly now?: () => number;
}

const namePattern = /^events\.out\.tfevents\.(\d+)\./;

const takesEventFileWriterAdd = is.takes('EventFileWriter.add', { step: is.index, values: is.list(is.bytes) });

const takesEventFileWriterOpen = is.takes('EventFileWriter.open', {
  folder: is.path,
  options: is.options({ purgeFrom: is.optional(is.index), now: is.optional(is.func) }),
});

/**
 * One event file, to which each step appends. A folder of such files is one run in TensorBoard, its subfolders runs of
 * their own.
 *
 * @example
 * const writer = await EventFileWriter.open('runs/tensorboard/apollo-42');
 * await writer.add(event.step, [scalar('loss/train', event.loss)]);
 * await writer.close();
 */
export class EventFileWriter {
  private constructor(
    /** Path of the event file. */
    readonly path: string,
    private readonly file: FileHandle,
    private readonly now: () => number,
  ) {}

  /**
   * Starts a new file in `folder`, which is created if it does not exist. Existing files stay and are read before it.
   * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
   */
  static async open(folder: string, options: EventFileOptions = {}): Promise<EventFileWriter> {
    takesEventFileWriterOpen(folder, options);

    const { purgeFrom, now = Date.now } = options;
    const writer = await writing('The event file', folder, async () => {
      await makeFolder(folder);
      // TensorBoard reads the files of a run in the order of their names, which start with a time in seconds.
      const times = (await readdir(folder)).map((name) => Number(namePattern.exec(name)?.[1] ?? 0));
      const time = Math.max(Math.floor(now() / 1e3), 1 + Math.max(0, ...times));
      const path = join(folder, `events.out.tfevents.${String(time).padStart(10, '0')}.${hostname()}.${process.pid}`);
      return new EventFileWriter(path, await open(path, 'wx'), now);
    });
    try {
      await writer.#write(purgeFrom ?? 0, fileVersion('brain.Event:2'));
      if (purgeFrom !== undefined) await writer.#write(purgeFrom, sessionStart);
    } catch (error) {
      await writer.close();
      throw error;
    }
    return writer;
  }

  /**
   * Appends values of a step; steps of a tag must not go back.
   * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong, CLOSED after close().
   */
  async add(step: number, values: readonly SummaryValue[]): Promise<void> {
    takesEventFileWriterAdd(step, values);

    if (values.length > 0) await this.#write(step, messageField(5, values));
  }

  /** Closes the file. */
  async close(): Promise<void> {
    await this.file.close();
  }

  async #write(step: number, what: Uint8Array): Promise<void> {
    if (this.file.fd < 0) {
      throw new ApolloError(
        'CLOSED',
        `the event file ${this.path} is closed; open another with EventFileWriter.open()`,
      );
    }
    appendNow(this.file, encodeEvent(this.now(), step, what));
  }
}

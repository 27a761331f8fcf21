/** Reads TensorBoard event files: the steps, tags and values in them, whoever wrote them. */
import { readFile } from 'node:fs/promises';
import { ApolloError } from '../errors.js';
import { fileError } from '../fs/error.js';
import * as is from '../is.js';
import { decodeFields, type ProtoField } from './protobuf.js';
import { readRecords } from './tfrecord.js';

/** A histogram of an event file. */
export interface HistogramValue {
  /** Smallest value, as the writer states it. */
  readonly min: number;
  /** Largest value, as the writer states it. */
  readonly max: number;
  /** Number of values. */
  readonly count: number;
  /** Sum of the values. */
  readonly sum: number;
  /** Sum of the squares of the values. */
  readonly sumSquares: number;
  /** Right edges of the buckets, ascending. */
  readonly limits: readonly number[];
  /** Number of values in each bucket, in the order of `limits`. */
  readonly counts: readonly number[];
}

/** One value of an event; of the last three at most one is there, none for kinds that are not read (images, audio). */
export interface LoggedValue {
  /** Name of the curve or panel, as 'loss/train'; '' where the file has none. */
  readonly tag: string;
  /** The plugin that shows it, where the writer named one. */
  readonly plugin?: string;
  /** A number: a simple value, or a tensor of one float or double. */
  readonly scalar?: number;
  /** A text, in Markdown for the text plugin: a tensor of one string. */
  readonly text?: string;
  /** A histogram of the first format, with buckets of its own; those that are tensors are not read. */
  readonly histogram?: HistogramValue;
}

/** An event of an event file, from {@link readEventFile}. */
export interface LoggedEvent {
  /** Milliseconds since 1970. */
  readonly wallTimeMs: number;
  /** Step that the values belong to; 0 where the file has none. */
  readonly step: number;
  /** Version of the format, 'brain.Event:2'; only in the first event of a file. */
  readonly fileVersion?: string;
  /** The run was started or resumed here: earlier events from this step on no longer hold. */
  readonly sessionStart: boolean;
  /** Its values; empty for events that mark the start of a file or a run. */
  readonly values: readonly LoggedValue[];
}

const takesReadEventFile = is.takes('readEventFile', { path: is.path });

/**
 * All events of a file in its order. @throws ApolloError BAD_ARGUMENT naming the file when it is damaged.
 * @example
 * for (const { step, values } of await readEventFile('events.out.tfevents.1')) console.log(step, values);
 */
export async function readEventFile(path: string): Promise<LoggedEvent[]> {
  takesReadEventFile(path);
  const file = await readFile(path).catch((error: unknown) => {
    throw fileError(error, 'The event file', path, 'be read');
  });
  try {
    return [...readRecords(file)].map(decodeEvent);
  } catch (error) {
    if (!(error instanceof ApolloError)) throw error;
    throw new ApolloError('BAD_ARGUMENT', `${path} cannot be read as an event file. ${error.message}`);
  }
}

function decodeEvent(record: Buffer): LoggedEvent {
  const fields = byNumber(record);
  const version = fields.get(3)?.at(-1)?.bytes.toString();
  const session = fields.get(7)?.at(-1);
  const status = session && byNumber(session.bytes).get(1)?.at(-1)?.varint;
  const summaries = fields.get(5) ?? [];
  return {
    wallTimeMs: 1e3 * numberOf(fields.get(1)),
    step: Number(BigInt.asIntN(64, fields.get(2)?.at(-1)?.varint ?? 0n)),
    ...(version !== undefined && { fileVersion: version }),
    sessionStart: status === 1n,
    values: summaries.flatMap(({ bytes }) => (byNumber(bytes).get(1) ?? []).map((value) => decodeValue(value.bytes))),
  };
}

function decodeValue(message: Buffer): LoggedValue {
  const fields = byNumber(message);
  const metadata = fields.get(9)?.at(-1);
  const pluginData = metadata && byNumber(metadata.bytes).get(1)?.at(-1);
  const plugin = pluginData && byNumber(pluginData.bytes).get(1)?.at(-1)?.bytes.toString();
  const simple = fields.get(2);
  const tensor = fields.get(8)?.at(-1);
  const histo = fields.get(5)?.at(-1);
  return {
    tag: fields.get(1)?.at(-1)?.bytes.toString() ?? '',
    ...(plugin !== undefined && { plugin }),
    ...(simple && { scalar: numberOf(simple) }),
    ...(tensor && decodeTensor(tensor.bytes)),
    ...(histo && { histogram: decodeHistogram(histo.bytes) }),
  };
}

/** A tensor of one float, double or string; nothing for others. */
function decodeTensor(message: Buffer): { scalar: number } | { text: string } | object {
  const fields = byNumber(message);
  const dtype = Number(fields.get(1)?.at(-1)?.varint ?? 0n);
  const content = fields.get(4)?.at(-1)?.bytes;
  if (dtype === 1) {
    const bytes = content ?? fields.get(5)?.at(-1)?.bytes;
    return bytes?.length === 4 ? { scalar: bytes.readFloatLE() } : {};
  }
  if (dtype === 2) {
    const bytes = content ?? fields.get(6)?.at(-1)?.bytes;
    return bytes?.length === 8 ? { scalar: bytes.readDoubleLE() } : {};
  }
  const strings = fields.get(8);
  return dtype === 7 && strings?.length === 1 ? { text: strings[0]!.bytes.toString() } : {};
}

function decodeHistogram(message: Buffer): HistogramValue {
  const fields = byNumber(message);
  return {
    min: numberOf(fields.get(1)),
    max: numberOf(fields.get(2)),
    count: numberOf(fields.get(3)),
    sum: numberOf(fields.get(4)),
    sumSquares: numberOf(fields.get(5)),
    limits: doublesOf(fields.get(6)),
    counts: doublesOf(fields.get(7)),
  };
}

function byNumber(message: Buffer): Map<number, ProtoField[]> {
  const fields = new Map<number, ProtoField[]>();
  for (const field of decodeFields(message)) {
    const same = fields.get(field.field);
    if (same) same.push(field);
    else fields.set(field.field, [field]);
  }
  return fields;
}

/** A float or double, 0 where absent; the last one counts. */
function numberOf(fields: readonly ProtoField[] | undefined): number {
  const bytes = fields?.at(-1)?.bytes;
  if (bytes?.length === 8) return bytes.readDoubleLE();
  return bytes?.length === 4 ? bytes.readFloatLE() : 0;
}

/** Repeated doubles, packed or not. */
function doublesOf(fields: readonly ProtoField[] = []): number[] {
  return fields.flatMap(({ bytes }) =>
    Array.from({ length: Math.floor(bytes.length / 8) }, (_, index) => bytes.readDoubleLE(8 * index)),
  );
}

/**
 * How our parameters stand in Hugging Face checkpoints of BERT and GPT-2: their names, the transposed matrices of
 * BERT's Linear layers, and its three separate query, key and value matrices, which we hold as one.
 */
import { ApolloError } from '../errors.js';
import type { TensorToWrite } from './safetensors.js';
import type { TensorReader } from './sharded-safetensors.js';

/** A parameter of ours, as far as conversion needs to know it. */
export interface NamedShape {
  readonly name: string;
  readonly shape: readonly number[];
}

/** Where a parameter stands in a checkpoint: one tensor, or several whose outputs are joined (query, key, value). */
export interface ForeignTensors {
  readonly names: readonly string[];
  /** Theirs is [outputs, inputs], ours [inputs, outputs]. */
  readonly transposed: boolean;
}

const bertParts: Readonly<Record<string, string | readonly string[]>> = {
  'attention.qkv': ['attention.self.query', 'attention.self.key', 'attention.self.value'],
  'attention.output': 'attention.output.dense',
  'attention.norm': 'attention.output.LayerNorm',
  'ffn.up': 'intermediate.dense',
  'ffn.down': 'output.dense',
  'ffn.norm': 'output.LayerNorm',
};

const gptParts: Readonly<Record<string, string>> = {
  'attention.qkv': 'attn.c_attn',
  'attention.output': 'attn.c_proj',
  'attention.norm': 'ln_1',
  'ffn.up': 'mlp.c_fc',
  'ffn.down': 'mlp.c_proj',
  'ffn.norm': 'ln_2',
};

const shared: Readonly<Record<'bert' | 'gpt', Readonly<Record<string, string>>>> = {
  bert: {
    'embeddings.word': 'bert.embeddings.word_embeddings.weight',
    'embeddings.position': 'bert.embeddings.position_embeddings.weight',
    'embeddings.type': 'bert.embeddings.token_type_embeddings.weight',
    'embeddings.norm.weight': 'bert.embeddings.LayerNorm.weight',
    'embeddings.norm.bias': 'bert.embeddings.LayerNorm.bias',
    'head.transform.weight': 'cls.predictions.transform.dense.weight',
    'head.transform.bias': 'cls.predictions.transform.dense.bias',
    'head.norm.weight': 'cls.predictions.transform.LayerNorm.weight',
    'head.norm.bias': 'cls.predictions.transform.LayerNorm.bias',
    'head.output': 'cls.predictions.decoder.weight',
    'head.bias': 'cls.predictions.bias',
    'pooler.weight': 'bert.pooler.dense.weight',
    'pooler.bias': 'bert.pooler.dense.bias',
    'classifier.weight': 'classifier.weight',
    'classifier.bias': 'classifier.bias',
    'spans.weight': 'qa_outputs.weight',
    'spans.bias': 'qa_outputs.bias',
  },
  gpt: {
    'embeddings.word': 'transformer.wte.weight',
    'embeddings.position': 'transformer.wpe.weight',
    'final.norm.weight': 'transformer.ln_f.weight',
    'final.norm.bias': 'transformer.ln_f.bias',
    'head.output': 'lm_head.weight',
    'classifier.weight': 'score.weight',
    'spans.weight': 'qa_outputs.weight',
    'spans.bias': 'qa_outputs.bias',
  },
};

/** Of these the matrices of Linear layers, which are transposed; embedding tables are not. */
const linears = new Set(['head.transform.weight', 'pooler.weight', 'classifier.weight', 'spans.weight']);

/**
 * Where our parameter `name` stands in a checkpoint of BertForPreTraining / BertForMaskedLM or GPT2LMHeadModel, and those
 * of task heads in one of BertFor… / GPT2ForSequenceClassification and …ForQuestionAnswering.
 */
export function foreignTensors(kind: 'bert' | 'gpt', name: string): ForeignTensors {
  const direct = shared[kind][name];
  if (direct) return { names: [direct], transposed: linears.has(name) };
  const [, layer, part, leaf] = /^layer\.(\d+)\.(\w+\.\w+)\.(weight|bias)$/.exec(name) ?? [];
  const theirs = part === undefined ? undefined : (kind === 'bert' ? bertParts : gptParts)[part];
  if (theirs === undefined) {
    throw new ApolloError('BAD_ARGUMENT', `"${name}" is no parameter of a ${kind} model; it has no Hugging Face name.`);
  }
  const prefix = kind === 'bert' ? `bert.encoder.layer.${layer}` : `transformer.h.${layer}`;
  // GPT-2's Conv1D matrices are not transposed.
  const names = (typeof theirs === 'string' ? [theirs] : theirs).map((each) => `${prefix}.${each}.${leaf}`);
  return { names, transposed: kind === 'bert' && leaf === 'weight' && !part?.endsWith('norm') };
}

/** [rows, columns] -> [columns, rows], into `target` whose rows are `stride` long, from column `offset` on. */
function transposeInto(
  target: Float32Array,
  source: Float32Array,
  rows: number,
  columns: number,
  stride: number,
  offset: number,
) {
  for (let column = 0; column < columns; column++) {
    for (let row = 0; row < rows; row++) {
      target[column * stride + offset + row] = source[row * columns + column] as number;
    }
  }
}

/** Our tensor from the checkpoint's parts, in the order of `foreignTensors(…).names`. */
export function joinForeign({ shape }: NamedShape, parts: readonly Float32Array[], transposed: boolean): Float32Array {
  if (!transposed && parts.length === 1) return parts[0] as Float32Array;
  const joined = new Float32Array(shape.reduce((a, b) => a * b, 1));
  const outputs = (shape[shape.length - 1] as number) / parts.length;
  parts.forEach((part, index) => {
    if (transposed) transposeInto(joined, part, outputs, shape[0] as number, outputs * parts.length, index * outputs);
    else joined.set(part, index * outputs);
  });
  return joined;
}

/** The inverse of `joinForeign`: part `index` of `count` of our tensor, as the checkpoint holds it. */
export function splitForeign(
  { shape }: NamedShape,
  values: Float32Array,
  index: number,
  count: number,
  transposed: boolean,
): Float32Array {
  const outputs = (shape[shape.length - 1] as number) / count;
  if (!transposed) return count === 1 ? values : values.slice(index * outputs, (index + 1) * outputs);
  const inputs = shape[0] as number;
  const part = new Float32Array(inputs * outputs);
  for (let output = 0; output < outputs; output++) {
    for (let input = 0; input < inputs; input++) {
      part[output * inputs + input] = values[input * outputs * count + index * outputs + output] as number;
    }
  }
  return part;
}

/** The shape of each of the checkpoint's parts of our tensor. */
function partShape({ shape }: NamedShape, count: number, transposed: boolean): number[] {
  const outputs = (shape[shape.length - 1] as number) / count;
  if (shape.length === 1) return [outputs];
  return transposed ? [outputs, shape[0] as number] : [shape[0] as number, outputs];
}

/** BERT's decoder adds its own bias; `cls.predictions.bias` is the same tensor, or what an older file has in its place. */
const decoderBias = 'cls.predictions.decoder.bias';

/** Tensors that Hugging Face ties: a file may hold either or both. */
const tied: Readonly<Record<'bert' | 'gpt', readonly (readonly [string, string])[]>> = {
  bert: [
    ['bert.embeddings.word_embeddings.weight', 'cls.predictions.decoder.weight'],
    ['cls.predictions.bias', decoderBias],
  ],
  gpt: [['transformer.wte.weight', 'lm_head.weight']],
};

/** Names under which one tensor may stand: bare models leave the prefix out, early layer norms have gamma and beta. */
function spellings(name: string): string[] {
  const bare = name.replace(/^(bert|transformer)\./, '');
  const legacy = (each: string): string[] =>
    /LayerNorm\.(weight|bias)$/.test(each) ? [each, each.replace(/weight$/, 'gamma').replace(/bias$/, 'beta')] : [each];
  return [...new Set([name, bare])].flatMap(legacy);
}

/** The name under which a tensor stands in the checkpoint, or the one it is tied to; undefined when it has neither. */
function presentName(reader: Pick<TensorReader, 'tensors'>, kind: 'bert' | 'gpt', name: string): string | undefined {
  const other = tied[kind].find(([first]) => first === name)?.[1];
  const names = [...spellings(name), ...(other === undefined ? [] : [other])];
  if (other === decoderBias) names.reverse();
  return names.find((each) => reader.tensors.has(each));
}

/** Whether the checkpoint has the tensor under one of its spellings, whatever it is tied to. */
export function hasOwn(reader: Pick<TensorReader, 'tensors'>, name: string): boolean {
  return spellings(name).some((each) => reader.tensors.has(each));
}

/** Pairs of tied tensors that the checkpoint holds both of, by the names they have there. */
export function tiedPairs(reader: Pick<TensorReader, 'tensors'>, kind: 'bert' | 'gpt'): [string, string][] {
  return tied[kind].flatMap(([first, second]): [string, string][] => {
    const present = spellings(first).find((each) => reader.tensors.has(each));
    return present !== undefined && reader.tensors.has(second) ? [[present, second]] : [];
  });
}

/** Where a parameter stands in one checkpoint. */
interface Located {
  readonly names: readonly string[];
  /** Shape of each of the tensors. */
  readonly shape: readonly number[];
  readonly transposed: boolean;
}

/**
 * Finds our parameter in a Hugging Face checkpoint; undefined when it has none of it. `prefix` is put before every name.
 * @throws ApolloError BAD_CHECKPOINT for a wrong shape, or when only some of its parts are there.
 */
function locate(
  reader: Pick<TensorReader, 'tensors' | 'info'>,
  kind: 'bert' | 'gpt',
  spec: NamedShape,
  prefix: string,
): Located | undefined {
  const { names, transposed } = foreignTensors(kind, spec.name);
  const present = names.map((name) => (prefix ? `${prefix}${name}` : presentName(reader, kind, name)));
  if (present.every((name) => name === undefined || !reader.tensors.has(name))) return undefined;
  const shape = partShape(spec, names.length, transposed);
  const found = present.map((name, index) => name ?? (names[index] as string));
  for (const name of found) reader.info(name, shape);
  return { names: found, shape, transposed };
}

/** The names of the tensors that `readForeign` would read; none when the checkpoint lacks the parameter. */
export function presentTensors(
  reader: Pick<TensorReader, 'tensors' | 'info'>,
  kind: 'bert' | 'gpt',
  spec: NamedShape,
): readonly string[] {
  return locate(reader, kind, spec, '')?.names ?? [];
}

/**
 * Reads our parameter from a Hugging Face checkpoint; undefined when the checkpoint has none of it (a bare encoder has
 * no head). `prefix` is put before every name (for files that hold gradients, say).
 * @throws ApolloError BAD_CHECKPOINT for a wrong shape or dtype, or when only some of its parts are there.
 */
export async function readForeign(
  reader: Pick<TensorReader, 'tensors' | 'info' | 'readFloat32'>,
  kind: 'bert' | 'gpt',
  spec: NamedShape,
  prefix = '',
): Promise<Float32Array | undefined> {
  const located = locate(reader, kind, spec, prefix);
  if (!located) return undefined;
  const { names, shape, transposed } = located;
  const parts: Float32Array[] = [];
  for (const name of names) parts.push(await reader.readFloat32(name, shape));
  return joinForeign(spec, parts, transposed);
}

/**
 * The tensors of a Hugging Face checkpoint that hold our parameter; `read` is called when they are written, once for
 * each. Where nothing is tied, BERT's decoder finds its bias under its own name only, so that it is written twice.
 */
export function writeForeign(
  kind: 'bert' | 'gpt',
  spec: NamedShape,
  read: () => Promise<Float32Array>,
  isTied = true,
): TensorToWrite[] {
  const { names, transposed } = foreignTensors(kind, spec.name);
  const tensors = names.map(
    (name, index): TensorToWrite => ({
      name,
      dtype: 'F32',
      shape: partShape(spec, names.length, transposed),
      data: async () => splitForeign(spec, await read(), index, names.length, transposed),
    }),
  );
  const second = !isTied && kind === 'bert' && spec.name === 'head.bias';
  return second ? [...tensors, { ...(tensors[0] as TensorToWrite), name: decoderBias }] : tensors;
}

/**
 * Shapes at which a GPU is busy, by op case: the sizes of GPT-2 124M and BERT-Base at 65,536 tokens per step. A tensor is
 * several times the second-level cache.
 */
import type { Shape } from '../../lib/engine/shape.js';

const rows = 65536;
const hidden: Shape = [rows, 768];

export const gpuShapes: Readonly<Record<string, Readonly<Record<string, Shape>>>> = {
  'add, equal shapes': { a: hidden, b: hidden },
  'add, row broadcast': { a: hidden, b: [768] },
  scale: { x: hidden },
  'cast to bf16': { x: hidden },
  copy: { x: hidden },
  gelu: { x: [rows, 3072] },
  'gelu by tanh': { x: [rows, 3072] },
  dropout: { x: hidden },
  'sum over the first axis': { x: [64, 1024 * 768] },
  columnSum: { x: [64, 1024, 3072] },
  softmax: { x: [rows, 1024] },
  'transpose, matrix': { x: [8192, 8192] },
  'transpose, heads': { x: [64, 1024, 12, 64] },
  gatherRows: { x: hidden, rows: [16384] },
  embedding: { table: [50257, 768], ids: [64, 1024] },
  layerNorm: { x: [64, 1024, 768], w: [768], b: [768] },
  'residualNorm, both outputs, dropout': { x: hidden, residual: hidden, w: [768], b: [768] },
  rmsNorm: { x: [64, 1024, 768], w: [768] },
  'residualRmsNorm, both outputs': { x: hidden, residual: hidden, w: [768] },
  swiglu: { x: [rows, 4096] },
  'rotary, the heads of Llama': { x: [64, 1024, 20 * 64] },
  matmul: { a: hidden, b: [768, 3072] },
  'matmul, bias': { a: [rows, 3072], b: [3072, 768], bias: [768] },
  // 768 heads of 64: full at 512 positions (BERT-Base), causal at 1,024 (GPT-2), and with dropout.
  attention: { qkv: [384, 512, 384] },
  'attention, causal': { qkv: [256, 1024, 576] },
  'attention, mask and dropout': { qkv: [384, 512, 384], mask: [384, 512] },
  'attention, causal, dropout': { qkv: [256, 1024, 576] },
  'attention, causal, three heads a key/value head': { qkv: [256, 1024, 64 * 5] },
  lmHeadLoss: { x: hidden, table: [50257, 768], labels: [rows] },
};

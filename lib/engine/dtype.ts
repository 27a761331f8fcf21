/** Element types of tensors: 32-bit float, bfloat16, 32-bit signed integer. */
export type DType = 'f32' | 'bf16' | 'i32';

export const bytesPerElement: Readonly<Record<DType, number>> = { f32: 4, bf16: 2, i32: 4 };

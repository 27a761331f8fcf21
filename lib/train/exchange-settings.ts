/** Settings of what the ranks of a group exchange; with one rank they change nothing. docs/distributed.md. */
import { z } from 'zod';

export const exchangeSettings = {
  /** How gradients travel between ranks: rounded to bf16 they are half the bytes. Sums are f32 in both. Default: 'f32'. */
  exchangePrecision: z.enum(['f32', 'bf16']).default('f32'),
  /** Each rank keeps the optimizer's state of its share of the parameters, and updates that (ZeRO, stage 1). Default: false. */
  shardOptimizer: z.boolean().default(false),
  /** Exchange gradients during the backward pass of a step's last micro-batch. Default: true. */
  overlapExchange: z.boolean().default(true),
};

const schema = z.object(exchangeSettings);
export type ExchangeConfig = z.output<typeof schema>;

/** These settings in a run's identity. Those that do not change the bits, and f32, are omitted. */
export function exchangeIdentity({ exchangePrecision }: ExchangeConfig): { readonly exchangePrecision?: 'bf16' } {
  return exchangePrecision === 'f32' ? {} : { exchangePrecision };
}

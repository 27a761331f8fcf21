/** The static shape of batches of whole rows for an objective. */
import { mlmCapacity } from '../data/index.js';
import type { BatchShape } from '../models/index.js';
import type { BatchSize } from './corpus.js';

/** Masked batches have a fixed number of target rows, so that programs are static. */
export function batchShape({ batch, seq, objective }: BatchSize): BatchShape {
  const targets = objective === 'masked' ? { targets: mlmCapacity(batch * seq, batch) } : {};
  return { batch, seq, padding: false, ...targets };
}

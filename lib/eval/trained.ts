/** A trained model for the functions of this folder: the model, its weights on a device, and its layer map. */

import type { Tokenizer } from '../data/index.js';
import type { ParameterStore } from '../engine/index.js';
import type { LanguageModel } from '../models/index.js';

/** A model with weights, as loadModel gives it; or one in training. */
export interface TrainedModel {
  /** The model's structure and graphs. */
  readonly model: LanguageModel;
  /** Holds the weights, on the device that runs the model. */
  readonly store: ParameterStore;
  /** Entry i names the layer whose weights form layer i. */
  readonly layerMap: readonly number[];
  /** Turns text into ids and back; `fillMask` needs it, `generate` takes token ids without it. */
  readonly tokenizer?: Tokenizer | undefined;
  /** Tokens at which a text ends; absent: the tokenizer's end of text. */
  readonly ends?: readonly number[] | undefined;
}

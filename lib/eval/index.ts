/** Evaluation as other rooms see it: what users have (public.ts), and what only this package needs. */
export { digestOf, encodeAll } from './finetune/features.js';
export { saveFineTuned } from './finetune/fine-tuned.js';
export { checkFineTuning } from './finetune/finetune.js';
export { networkSpecs, trainedLayersOf } from './finetune/network.js';
export { fineTuneConfig } from './finetune/options.js';
export { bestEpoch } from './finetune/seed-folder.js';
export { checkSampling } from './generate/sampling.js';
export * from './public.js';
export { checkLambada } from './text/lambada.js';
export { checkWindow } from './text/text-loss.js';

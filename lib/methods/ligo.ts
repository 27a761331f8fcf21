/**
 * LiGO (Wang et al., "Learning to Grow Pretrained Models for Efficient Transformer Training", ICLR 2023): starts from a
 * trained smaller model. First the weights are expressions of the small ones by operators of width and depth, and only
 * the operators train; then every weight takes the value of its expression and training continues as usual.
 */
import { z } from 'zod';
import { ApolloError } from '../errors.js';
import { depthInits, widthInits } from '../growth/index.js';
import { groupSizeOf } from '../models/index.js';
import { isOperator, ligoWeights } from './ligo-weights.js';
import { identityMap, type MethodContext, type StepPlan, type TrainingMethod } from './method.js';
import { commonOptions, parseOptions, positiveInteger } from './options.js';
import { fromSmallModel, smallModelOptions } from './small-model.js';

const schema = z.strictObject({
  ...commonOptions,
  ...smallModelOptions,
  /** Steps in which the operators train, at least 1. Default: 100. */
  operatorSteps: positiveInteger.default(100),
  /** Learning rate of these steps, constant; to be tuned, see docs/methods/ligo.md. Above 0. Default: 1e-3. */
  operatorLearningRate: z.number().positive().default(1e-3),
  /** Initial values of the width operators, see `widthInits`. Default: 'rand'. */
  widthInit: z.enum(widthInits).default('rand'),
  /** Initial values of the depth operators, see `depthInits`. Default: 'stackbert_noisy'. */
  depthInit: z.enum(depthInits).default('stackbert_noisy'),
  /** Upper end of uniform noise on the entries of width operators that are initialised by 'sel', 0 or more. Default: 0. */
  selectionNoise: z.number().min(0).default(0),
});
/**
 * Settings of the method `ligo`, see docs/methods.
 * @example
 * const options: LigoOptions = { layers: 12, totalSteps: 10_000, seed: 42, source: 'runs/small/checkpoints', small: { layers: 6, hidden: 512, heads: 8, ffn: 2048 } };
 */
export interface LigoOptions extends z.input<typeof schema> {}

/**
 * The method with its settings; `context.model` is the finished model.
 * @example createMethod('ligo', { layers: 12, totalSteps: 10_000, seed: 42, source: 'runs/small/checkpoints',
 *   small: { layers: 6, hidden: 512, heads: 8, ffn: 2048 } }, { model: preset('bert-base') })
 * @throws ApolloError BAD_CONFIG naming the setting that is wrong, or without `context.model`.
 */
export function ligo(options: LigoOptions, context: MethodContext): TrainingMethod {
  const settings = parseOptions('ligo', schema, options);
  const { layers, totalSteps, seed, operatorSteps, operatorLearningRate, selectionNoise } = settings;
  const { model, narrow, begin } = fromSmallModel('ligo', settings, context);
  if (groupSizeOf(model) !== 1) {
    throw new ApolloError(
      'BAD_CONFIG',
      `ligo: model.keyValueHeads must be the ${model.heads} of model.heads; got ${model.keyValueHeads}. Its operators widen ` +
        'each unit of a value with the one unit that reads it, and where query heads share a value several do. Use ' +
        'bert2bert or net2net.',
    );
  }
  if (operatorSteps >= totalSteps) {
    throw new ApolloError(
      'BAD_CONFIG',
      `ligo.operatorSteps: must be fewer than the run's ${totalSteps} steps, the rest of which train the model; got ${operatorSteps}.`,
    );
  }
  const init = { width: settings.widthInit, depth: settings.depthInit, selectionNoise, seed };
  const reparameterisation = ligoWeights(model, narrow, init);
  const layerMap = identityMap(layers);
  const plain: StepPlan = { trainedLayers: layers, depth: layers, layerMap };
  // A product of the forward pass and two of the backward one, counted once per step: the weights are the same for all
  // its micro-batches.
  const operators: StepPlan = {
    ...plain,
    trainable: isOperator,
    learningRate: { value: operatorLearningRate },
    extraFlops: 3 * reparameterisation.flops,
  };

  return {
    name: 'ligo',
    layers,
    settings,
    initial: {
      ...begin,
      value: ({ name }) => {
        throw new ApolloError('INTERNAL', `LiGO starts with operators; "${name}" has no separate value yet.`);
      },
    },
    stageAt: (step) =>
      step < operatorSteps
        ? { index: 0, trainedLayers: layers, reparameterisation }
        : { index: 1, trainedLayers: layers },
    plan: (step) => (step < operatorSteps ? operators : plain),
    evaluationMaps: () => ({ full: layerMap, stage: layerMap }),
    growth: (step) => (step === operatorSteps ? { kind: 'materialise', from: layers, to: layers } : undefined),
  };
}

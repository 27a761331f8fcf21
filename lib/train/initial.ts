/** The initial values of a run: random ones, a trained model's, or those that its method makes of a smaller one. */
import { isDeepStrictEqual } from 'node:util';
import type { ParameterStore } from '../engine/parameters.js';
import { ApolloError } from '../errors.js';
import type { TrainingMethod, WeightSource } from '../methods/method.js';
import { declareSpecs, initialiseSpecs, type LanguageModel, structureOf } from '../models/index.js';
import { atDepth } from './checkpoint/at-depth.js';
import { digestOf } from './checkpoint/digest.js';
import { holdsModel, type ModelFolder, openModelFolder, type SourceCosts } from './checkpoint/model-folder.js';
import { openSource, unknownCosts } from './source.js';
import { type StageNetwork, stageNetwork } from './stage.js';

/** Options that decide a run's initial values. */
export interface BeginningOptions {
  readonly method: TrainingMethod;
  /** Folder of the trained model that the first stage starts from. */
  readonly init?: string | undefined;
  /** Seed of random values. */
  readonly seed: number;
}

export interface InitialSite extends BeginningOptions {
  readonly store: ParameterStore;
  /** Network of the first stage. */
  readonly network: StageNetwork;
}

export interface Beginning {
  /** Digest of the initial model, independent of its path; absent where the run starts from random weights. */
  readonly digest?: string;
  /** Its training cost, if that is a known cost of the method. */
  readonly costs?: SourceCosts | undefined;
  /** Warnings, one sentence each. */
  readonly warnings: readonly string[];
}

/**
 * Declares the parameters of the first stage and fills them. What a method's source cost is a cost of the method; what
 * `init` cost is not counted, since every method of a comparison starts from it.
 * @throws ApolloError BAD_CONFIG when the run cannot start from the model, BAD_CHECKPOINT as openModelFolder.
 */
export async function initialise(site: InitialSite): Promise<Beginning> {
  const { store, network, method, init, seed } = site;
  if (init !== undefined) return beginWith(init, site);
  const { reparameterisation, specs } = network;
  const { initial } = method;
  if (!initial) {
    await initialiseSpecs(store, specs, seed);
    return { warnings: [] };
  }
  const source = await openSource(initial.source, seed);
  try {
    initial.check(source.config, source.layers);
    declareSpecs(store, specs);
    for (const spec of specs) {
      const value = reparameterisation
        ? await reparameterisation.initial(spec, source)
        : await initial.value(spec, source);
      await store.write(spec.name, value);
    }
    return {
      digest: await digestOf(source),
      costs: source.costs,
      warnings: source.costs ? source.warnings : [...source.warnings, unknownCosts(source)],
    };
  } finally {
    await source.close();
  }
}

async function beginWith(init: string, { store, network, method, seed }: InitialSite): Promise<Beginning> {
  const folder = await openModelFolder(init, { seed });
  try {
    const source = fittingDepth(folder, network, method);
    declareSpecs(store, network.specs);
    for (const { name } of network.specs) await store.write(name, await source.read(name));
    return { digest: await digestOf(folder), warnings: folder.warnings };
  } finally {
    await folder.close();
  }
}

/**
 * Checks without reading weights whether a method can start from the model in a folder.
 * @throws ApolloError BAD_CONFIG when not.
 */
export function checkBeginning(folder: ModelFolder, model: LanguageModel, method: TrainingMethod): void {
  fittingDepth(folder, stageNetwork(model, method.stageAt(0)), method);
}

/**
 * The model at the depth that the first stage trains.
 * @throws ApolloError BAD_CONFIG when the method has its own initial values, or the model has other sizes than the stage.
 */
function fittingDepth(folder: ModelFolder, { model, stage }: StageNetwork, method: TrainingMethod): WeightSource {
  const fail = (message: string): never => {
    throw new ApolloError('BAD_CONFIG', `init: ${message}`);
  };
  const { config, layers, layerMap } = folder;
  if (method.initial || stage.reparameterisation) {
    return fail(
      `${method.name} computes its first weights from a smaller model, which its setting "source" names; remove init.`,
    );
  }
  const [found, wanted] = [structureOf(config), structureOf(model.config)];
  const wrong = Object.keys({ ...found, ...wanted }).filter((field) => !isDeepStrictEqual(found[field], wanted[field]));
  if (wrong.length > 0) {
    const list = (of: typeof found) => wrong.map((field) => `${field} ${of[field] ?? 'none'}`).join(', ');
    return fail(
      `the model in ${folder.folder} has ${list(found)}; ${method.name} starts from ${list(wanted)}. ` +
        'Methods that grow in width (bert2bert, net2net, ligo) take a smaller model as their "source".',
    );
  }
  if (stage.trainedLayers === layers) return atDepth(folder, 'stored');
  if (stage.trainedLayers === layerMap.length) return atDepth(folder, 'full');
  return fail(
    `the model in ${folder.folder} has ${layers} layers; ${method.name} starts from ${stage.trainedLayers}. ` +
      'A method that grows can start from it if its first stage has that many layers (its setting "stageLayers", or what ' +
      'it has in place of that: see docs/interchange.md#continuing-the-training), ' +
      'any other method if the finished model has.',
  );
}

/**
 * The digest of a resumed run's initial model; undefined if it has none. The model is not needed any more: where its folder
 * is gone or holds no model, the checkpoint's `recorded` digest is used.
 * @throws ApolloError BAD_CHECKPOINT as openModelFolder.
 */
export async function digestOfBeginning(
  { method, init, seed }: BeginningOptions,
  recorded: string | undefined,
): Promise<string | undefined> {
  const path = init ?? method.initial?.source;
  if (path === undefined) return undefined;
  if (recorded !== undefined && !(await holdsModel(path))) return recorded;
  const folder = await openModelFolder(path, { seed });
  return digestOf(folder).finally(() => folder.close());
}

/** Errors in the settings of a run that do not depend on its text, found before any text is read. */
import { checkVocabulary, mlmIds, type Tokenizer } from '../data/index.js';
import { ApolloError } from '../errors.js';
import { methodsWithSource, type TrainingMethod } from '../methods/index.js';
import { type LanguageModel, type ModelConfig, objectiveOf } from '../models/index.js';
import { checkBeginning, checkSettings, openModelFolder } from '../train/index.js';
import { checkMethods, smallRunOf } from './comparison.js';
import { methodNameOf, methodOf, seedsOf, totalStepsOf, trainOptionsOf } from './settings/resolve.js';
import type { Settings } from './settings/schema.js';

/** The intended use of the settings. */
export interface RunPlan {
  /** Compares `methods`; else trains `method`. */
  readonly comparing?: boolean;
  /** Resumes a run, whose initial model is not needed any more. */
  readonly resume?: boolean;
  /** Why the command cannot do without held-out text, where it cannot. */
  readonly needsHeldOut?: string;
}

/** Stands for the folder of a smaller model that a comparison trains first. */
const smallSource = 'small';

/**
 * @param tokenizer the one to load, or the kind that will be trained.
 * @throws ApolloError BAD_CONFIG naming the setting; BAD_TOKENIZER for a tokenizer that does not fit the model.
 */
export async function preflight(
  settings: Settings,
  model: LanguageModel,
  tokenizer: Tokenizer | { readonly train: string },
  { comparing = false, resume = false, needsHeldOut }: RunPlan = {},
): Promise<void> {
  const { config } = model;
  checkTokenizer(tokenizer, config);
  checkHeldOut(settings, needsHeldOut);
  checkRun(settings, config);
  if (comparing) checkMethods(settings);
  const labels = comparing ? settings.methods : [settings.method];
  const seeds = comparing ? seedsOf(settings) : [settings.seed];
  const source = comparing ? smallSource : undefined;
  const methods = seeds.flatMap((seed) => labels.map((label) => methodOf(settings, label, config, seed, source)));
  if (comparing && labels.some((label) => methodsWithSource.includes(methodNameOf(settings, label)))) {
    const { model: small, train } = smallRunOf(settings, config, 'f32');
    checkSettings({ ...train, seed: settings.seed }, small.config);
  }
  if (!resume) await checkBeginnings(settings, model, methods);
}

/** @throws ApolloError BAD_CONFIG as checkSettings; a warm-up by the option's name. */
function checkRun(settings: Settings, config: ModelConfig): void {
  const { warmup } = settings;
  const steps = totalStepsOf(settings, config);
  if (warmup >= 1 && Math.round(warmup) > steps) {
    throw new ApolloError(
      'BAD_CONFIG',
      `--warmup: at most the ${steps} steps of the run; got ${warmup}. Below 1 it is a share of the steps.`,
    );
  }
  checkSettings(trainOptionsOf(settings, config, settings.seed, 'f32'), config);
}

function checkTokenizer(tokenizer: Tokenizer | { readonly train: string }, config: ModelConfig): void {
  if ('train' in tokenizer) {
    if (objectiveOf(config) === 'causal' || tokenizer.train !== 'bpe') return;
    throw new ApolloError(
      'BAD_CONFIG',
      '--tokenizer: a BERT requires [MASK], [CLS] and [SEP], which a bpe tokenizer trained here lacks. Use wordpiece.',
    );
  }
  checkVocabulary(tokenizer, config.vocabSize);
  if (objectiveOf(config) === 'masked') mlmIds(tokenizer);
}

function checkHeldOut({ heldOut, evaluateEvery }: Settings, needed: string | undefined): void {
  if (heldOut > 0) return;
  const reason =
    needed ?? (evaluateEvery !== undefined && '--evaluate-every asks for evaluations, which need held-out text');
  if (reason) throw new ApolloError('BAD_CONFIG', `--held-out: it must be above 0 here, since ${reason}; got 0.`);
}

/** The initial models of the methods that exist already: `init` for all, or a method's own. */
async function checkBeginnings(
  { init }: Settings,
  model: LanguageModel,
  methods: readonly TrainingMethod[],
): Promise<void> {
  if (init !== undefined) {
    await using folder = await openModelFolder(init);
    for (const method of methods) checkBeginning(folder, model, method);
    return;
  }
  for (const source of new Set(methods.flatMap(({ initial }) => initial?.source ?? []))) {
    if (source === smallSource) continue;
    await using folder = await openModelFolder(source);
    for (const { initial } of methods) if (initial?.source === source) initial.check(folder.config, folder.layers);
  }
}

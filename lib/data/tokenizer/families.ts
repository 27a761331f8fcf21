/** Which pipeline a `tokenizer_class` of Hugging Face's transformers stands for. */
export type Family = 'bert' | 'gpt2' | 'roberta' | 'clip' | 'file';

const families: Readonly<Record<string, readonly string[]>> = {
  bert: [
    'BertTokenizer',
    'ConvBertTokenizer',
    'DPRContextEncoderTokenizer',
    'DPRQuestionEncoderTokenizer',
    'DistilBertTokenizer',
    'ElectraTokenizer',
    'LayoutLMTokenizer',
    'LxmertTokenizer',
    'MobileBertTokenizer',
    'RealmTokenizer',
    'RetriBertTokenizer',
    'SqueezeBertTokenizer',
  ],
  gpt2: ['GPT2Tokenizer'],
  roberta: ['RobertaTokenizer', 'BartTokenizer', 'LEDTokenizer', 'LongformerTokenizer', 'MvpTokenizer'],
  clip: ['CLIPTokenizer'],
  file: ['PreTrainedTokenizer', 'TokenizersBackend', 'BloomTokenizer'],
};

/** Classes whose pipeline is Python code: a tokenizer.json beside them is not what they use. */
const inPython = new Set(
  (
    'BartphoTokenizer BertGenerationTokenizer BertJapaneseTokenizer BertTokenizerLegacy BertweetTokenizer BioGptTokenizer ' +
    'BlenderbotSmallTokenizer ByT5Tokenizer CTRLTokenizer CanineTokenizer ClvpTokenizer CpmAntTokenizer CpmTokenizer ' +
    'DiaTokenizer EsmTokenizer FSMTTokenizer FastSpeech2ConformerTokenizer FlaubertTokenizer GPTNeoXJapaneseTokenizer ' +
    'GPTSw3Tokenizer M2M100Tokenizer MarianTokenizer MgpstrTokenizer MyT5Tokenizer PLBartTokenizer PerceiverTokenizer ' +
    'PhobertTokenizer Pop2PianoTokenizer ProphetNetTokenizer RoCBertTokenizer SiglipTokenizer Speech2TextTokenizer ' +
    'SpeechT5Tokenizer TapasTokenizer VitsTokenizer Wav2Vec2CTCTokenizer Wav2Vec2PhonemeCTCTokenizer XLMTokenizer'
  ).split(' '),
);

/** The class of a model's type in config.json, where no file names one. */
const classOfModel: Readonly<Record<string, readonly string[]>> = {
  BertTokenizer: (
    'align bark bert blip bros chinese_clip convbert distilbert electra ernie flava git grounding-dino layoutlm ' +
    'megatron-bert mm-grounding-dino mobilebert nezha nomic_bert qdqbert realm retribert squeezebert tvp vilt visual_bert'
  ).split(' '),
  GPT2Tokenizer: 'blip-2 codegen dbrx emu3 gpt2 gpt_neo gptj instructblip opt phi starcoder2'.split(' '),
  RobertaTokenizer:
    'bart bridgetower clap data2vec-text ibert lilt longformer mega mra roberta roberta-prelayernorm'.split(' '),
  CLIPTokenizer: 'aimv2 clip clipseg groupvit oneformer owlv2 owlvit xclip'.split(' '),
  BertJapaneseTokenizer: ['bert-japanese'],
  BertweetTokenizer: ['bertweet'],
  BlenderbotTokenizer: ['blenderbot'],
  CTRLTokenizer: ['ctrl'],
  DebertaTokenizer: ['deberta'],
  EsmTokenizer: ['esm'],
  FlaubertTokenizer: ['flaubert'],
  FunnelTokenizer: ['funnel'],
  MPNetTokenizer: ['mpnet'],
  OpenAIGPTTokenizer: ['openai-gpt'],
  PhobertTokenizer: ['phobert'],
  ProphetNetTokenizer: ['prophetnet'],
  RoCBertTokenizer: ['roc_bert'],
  RoFormerTokenizer: ['roformer'],
  SplinterTokenizer: ['splinter'],
  TapasTokenizer: ['tapas'],
  XLMTokenizer: ['xlm'],
};

/** The family of a class; undefined for one that is neither known nor described by a tokenizer.json. */
export function familyOf(className: string, hasPipeline: boolean): Family | undefined {
  for (const [family, classes] of Object.entries(families)) {
    if (!classes.includes(className)) continue;
    return family === 'file' && !hasPipeline ? undefined : (family as Family);
  }
  return hasPipeline && !inPython.has(className) ? 'file' : undefined;
}

export function classNameOfModel(modelType: unknown): string | undefined {
  return Object.keys(classOfModel).find((name) => classOfModel[name]!.includes(modelType as string));
}

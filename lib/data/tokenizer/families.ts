/** Which pipeline a `tokenizer_class` of Hugging Face's transformers stands for. */
export type Family = 'bert' | 'gpt2' | 'qwen2' | 'llama' | 'roberta' | 'clip' | 'file';

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
  qwen2: ['Qwen2Tokenizer'],
  llama: ['LlamaTokenizer'],
  roberta: ['RobertaTokenizer', 'BartTokenizer', 'LEDTokenizer', 'LongformerTokenizer', 'MvpTokenizer'],
  clip: ['CLIPTokenizer'],
  file: ['PreTrainedTokenizer', 'TokenizersBackend', 'BloomTokenizer'],
};

/** Classes whose pipeline is Python code: a tokenizer.json next to them is not what they use. */
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

/** The class of a model's type in config.json (transformers' TOKENIZER_MAPPING_NAMES), where no file names one. */
const classOfModel: Readonly<Record<string, readonly string[]>> = {
  BertTokenizer: (
    'align bark bert blip bros chinese_clip convbert distilbert electra ernie flava git grounding-dino layoutlm ' +
    'megatron-bert mm-grounding-dino mobilebert nezha nomic_bert qdqbert realm retribert squeezebert tvp vilt visual_bert'
  ).split(' '),
  GPT2Tokenizer: (
    'blip-2 codegen dbrx emu3 gpt2 gpt_neo gptj hyperclovax_vision_v2 instructblip instructblipvideo jais2 opt phi ' +
    'starcoder2'
  ).split(' '),
  Qwen2Tokenizer: (
    'audioflamingo3 colqwen2 cosmos3_omni fun_asr_nano hunyuan_vl internvl lighton_ocr ovis2 qianfan_ocr qwen2 ' +
    'qwen2_5_omni qwen2_5_vl qwen2_audio qwen2_moe qwen2_vl qwen3 qwen3_asr qwen3_moe qwen3_next qwen3_omni_moe ' +
    'qwen3_vl qwen3_vl_moe vibevoice'
  ).split(' '),
  Qwen3_5Tokenizer: 'qwen3_5 qwen3_5_moe qwen3_5_moe_text qwen3_5_text qwen4_exp'.split(' '),
  LlamaTokenizer: ['idefics', 'idefics2'],
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

/** Types of models whose tokenizer.json is used as it is, regardless of the class that a file next to it names. */
const pipelineOfFile = new Set(
  (
    'EvollaModel arctic aria bigbird_pegasus camembertv2-base canary chameleon chatlm cohere_asr deepseek_ocr ' +
    'deepseek_ocr2 deepseek_v2 deepseek_v3 deepseek_v32 deepseek_v4 deepseek_vl deepseek_vl_hybrid deepseek_vl_v2 ' +
    'ernie4_5 ernie4_5_moe flex_olmo fuyu glm glm4 glm4_moe glm4_moe_lite glm4v glm4v_moe glm_image glmasr got_ocr2 ' +
    'gpt_bigcode granite granitemoe granitemoehybrid granitemoeshared h2ovl_chat hyperclovax hyperclovax_vlm internlm2 ' +
    'jamba janus kimi_k25 kimi_linear kosmos-2 llava llava_next mimo_v2_flash minicpm3 minicpmv minicpmv4_6 minicpmv4_7 ' +
    'minimax_m2 ministral ministral3 mistral mistral3 mixtral modernbert modernbert-decoder molmo molmo2 nemotron nvfp4 ' +
    'nystromformer olmo2 olmo3 olmo_hybrid opencua openvla paddleocr_vl pegasus_x persimmon phi3 phi3_v phimoe ' +
    'pix2struct pixtral smolvlm stablelm step3_vl step3p5 umt5 vipllava voxtral voxtral_realtime xlm-roberta-xl'
  ).split(' '),
);

/** Types of models whose published files name a wrong class (MODELS_WITH_INCORRECT_HUB_TOKENIZER_CLASS). */
const misnamed = new Set('hyperclovax_vision_v2 qwen2 qwen3_5 qwen3_5_moe qwen3_5_moe_text qwen4_exp'.split(' '));

/** The family of a class; undefined for one that is neither known nor described by a tokenizer.json. */
export function familyOf(className: string, hasPipeline: boolean): Family | undefined {
  for (const [family, classes] of Object.entries(families)) {
    if (!classes.includes(className)) continue;
    return family === 'file' && !hasPipeline ? undefined : (family as Family);
  }
  return hasPipeline && !inPython.has(className) ? 'file' : undefined;
}

/** The class that AutoTokenizer takes, from the one that the files name and the model's type; undefined where neither is given. */
export function classNameOf(named: string | undefined, modelType: unknown, hasPipeline: boolean): string | undefined {
  const ofModel = Object.keys(classOfModel).find((name) => classOfModel[name]!.includes(modelType as string));
  if (named === undefined) return ofModel;
  if (hasPipeline && pipelineOfFile.has(modelType as string)) return 'TokenizersBackend';
  return ofModel !== undefined && misnamed.has(modelType as string) ? ofModel : named;
}

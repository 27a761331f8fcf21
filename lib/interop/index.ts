/**
 * `apollo-lm/interop`: formats of other programs. Safetensors files, Hugging Face's model folders and tokenizers,
 * TensorBoard's event files.
 * @module interop
 */
export type { Element, TensorData } from './elements.js';
export { type HuggingFaceFolder, openHuggingFaceFolder } from './hugging-face-folder.js';
export type { NamedShape } from './hugging-face-names.js';
export {
  saveTokenizer,
  type TokenizerFile,
  type TokenizerFilesOptions,
  tokenizerFiles,
} from './hugging-face-tokenizer.js';
export { encodeSafetensors, SafetensorsReader, type TensorInfo, type TensorToWrite } from './safetensors.js';
export { type EventFileOptions, EventFileWriter, histogram, type SummaryValue, scalar, text } from './tensorboard.js';
export { type HistogramValue, type LoggedEvent, type LoggedValue, readEventFile } from './tensorboard-reader.js';

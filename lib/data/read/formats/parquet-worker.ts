/** A thread that reads one Parquet file: see parquet.ts. */
import { workerData } from 'node:worker_threads';
import { answerQuestions } from '../asked-thread.js';
import type { ParquetQuestion, ParquetSource } from './parquet.js';
import { ParquetReader } from './parquet-reader.js';

const { path, sizeBytes, field } = workerData as ParquetSource;
let reader: Promise<ParquetReader> | undefined;
answerQuestions(async (question: ParquetQuestion) => {
  reader ??= ParquetReader.open(path, sizeBytes, field);
  return question === 'contents' ? (await reader).contents : (await reader).group(question.group);
});

/** A worker thread that prepares the corpus of its options and reports what it got. */
import { parentPort, workerData } from 'node:worker_threads';
import { type CorpusOptions, prepareCorpus } from '../../../lib/data/corpus/prepare.js';

const corpus = await prepareCorpus(workerData as CorpusOptions);
const { trainTokens, heldOutTokens } = corpus.stats;
const answer = { trainTokens, heldOutTokens, key: corpus.key, first: [...corpus.train.read(0, 8)] };
corpus.close();
parentPort!.postMessage(answer);

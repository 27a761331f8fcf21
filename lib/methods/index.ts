/** Methods as other rooms see them: what users have (public.ts), and what only this package needs. */

export { AdaptiveMethod, type SeenLosses } from './adaptive.js';
export { type ApolloOptions, apollo } from './apollo.js';
export { type AutoOptions, auto } from './auto.js';
export { type Bert2BertOptions, bert2bert } from './bert2bert.js';
export { type DptOptions, dpt } from './dpt.js';
export { type GStackOptions, gstack } from './gstack.js';
export { type LayerDropOptions, layerdrop } from './layerdrop.js';
export { type LidasOptions, lidas } from './lidas.js';
export { type LigoOptions, ligo } from './ligo.js';
export { type LoopOptions, loop } from './loop.js';
export { type MidasOptions, midas } from './midas.js';
export { type MsltOptions, mslt } from './mslt.js';
export { type Net2NetOptions, net2net } from './net2net.js';
export { type PldOptions, pld } from './pld.js';
export { type ProResOptions, prores } from './prores.js';
export * from './public.js';
export { type RaptrOptions, raptr } from './raptr.js';
export { checkedMethod, chosenMethod, knownMethods, methodOfRun, methodsWithSource } from './registry.js';
export { type ScratchOptions, scratch } from './scratch.js';
export { type StackBertOptions, stackbert } from './stackbert.js';
export { type StagedOptions, staged } from './staged.js';
export { type UnshareOptions, unshare } from './unshare.js';

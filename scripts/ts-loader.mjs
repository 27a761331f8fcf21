// node --import ./scripts/ts-loader.mjs: loads TypeScript (ts-hooks.mjs), in threads and child processes, too, that are
// given process.execArgv.
import { register } from 'node:module';

register('./ts-hooks.mjs', import.meta.url);

// node --import ./scripts/ts-loader.mjs: loads TypeScript (ts-hooks.mjs), in threads, too, and in child processes that are
// given it.
import { register } from 'node:module';
import { isMainThread } from 'node:worker_threads';

register('./ts-hooks.mjs', import.meta.url);

// tap has a loader of its own, ts-node, which compiles everything again each time. TAP_TYPE_STRIP_ONLY says that Node needs
// none; tap's plugin takes that back when it starts, on Node 20. So it is started here, and what it set is set again
// before threads and child processes see it.
if (isMainThread && process.execArgv.some((argument) => argument.includes('@tapjs/typescript'))) {
  const { plugin } = await import('@tapjs/typescript');
  process.env.TAP_TYPE_STRIP_ONLY = '0';
  plugin();
  process.env.TAP_TYPE_STRIP_ONLY = '1';
}

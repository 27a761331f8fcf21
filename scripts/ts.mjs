// Runs a TypeScript file of this repository from its source, for benches and tools: node scripts/ts.mjs bench/ops/main.ts
import { spawn } from 'node:child_process';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

// The loader that tap brings, resolved from tap so that nothing else has to be installed.
const loader = createRequire(createRequire(import.meta.url).resolve('@tapjs/typescript/package.json')).resolve(
  '@isaacs/ts-node-temp-fork-for-pr-2009/import',
);
const child = spawn(process.execPath, ['--import', pathToFileURL(loader).href, ...process.argv.slice(2)], {
  stdio: 'inherit',
  env: { ...process.env, TS_NODE_COMPILER: 'typescript-5', TS_NODE_TRANSPILE_ONLY: '1' },
});
process.on('SIGINT', () => {}); // the child has its own handler; leave when it does
child.on('close', (code, signal) => {
  process.exitCode = signal ? 1 : code;
});

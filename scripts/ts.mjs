// Runs a TypeScript file of this repository from its source, for benches and tools: node scripts/ts.mjs bench/ops/main.ts
import { spawn } from 'node:child_process';

const loader = new URL('ts-loader.mjs', import.meta.url).href;
const args = [`--import=${loader}`, '--enable-source-maps', ...process.argv.slice(2)];
const child = spawn(process.execPath, args, { stdio: 'inherit' });
process.on('SIGINT', () => {}); // the child has its own handler; leave when it does
child.on('close', (code, signal) => {
  process.exitCode = signal ? 1 : code;
});

// Node's module hooks for the TypeScript of this repository: `./x.js` is x.ts where there is no x.js, a .ts file is read as
// JavaScript, and `apollo-lm` and its subpaths are the sources of what package.json exports. What a file was compiled to is kept in build/ts: compiling all of lib takes 5 seconds, in each test
// file and in each process and thread that it starts. Types are not checked here (npm run check).
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { threadId } from 'node:worker_threads';

const require = createRequire(import.meta.url);
const root = fileURLToPath(new URL('..', import.meta.url));
const cache = join(root, 'build', 'ts');
// TypeScript 7 is a program without functions to call, so that this is version 5.
const compiler = 'typescript-5';
const tsconfig = readFileSync(join(root, 'tsconfig.json'), 'utf8');
const settings = [readFileSync(fileURLToPath(import.meta.url)), tsconfig, require(`${compiler}/package.json`).version];

const { exports: subpaths } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));

export async function resolve(specifier, context, next) {
  if (/^apollo-lm($|\/)/.test(specifier)) {
    const built = subpaths[specifier.replace('apollo-lm', '.')]?.default;
    if (built)
      return next(pathToFileURL(join(root, built.replace('/dist/', '/lib/').replace(/\.js$/, '.ts'))).href, context);
  }
  if (/^(\.\.?\/|file:).*\.js$/.test(specifier)) {
    const url = new URL(specifier, context.parentURL);
    const source = new URL(url.href.replace(/\.js$/, '.ts'));
    if (!existsSync(url) && existsSync(source)) return next(source.href, context);
  }
  return next(specifier, context);
}

export async function load(url, context, next) {
  if (!url.startsWith('file:') || !new URL(url).pathname.endsWith('.ts')) return next(url, context);
  return { format: 'module', source: compiled(fileURLToPath(url)), shortCircuit: true };
}

/** The JavaScript of a file, from build/ts where it was made of the same text with the same settings. */
function compiled(path) {
  const text = readFileSync(path, 'utf8');
  const hash = createHash('sha256');
  for (const part of [...settings, text]) hash.update(part).update('\0');
  const seal = `\n//${hash.digest('hex')}`;
  const kept = join(cache, `${relative(root, path).replaceAll('..', '_')}.js`);
  try {
    const javascript = readFileSync(kept, 'utf8');
    if (javascript.endsWith(seal)) return javascript;
  } catch {}
  const javascript = compile(path, text) + seal;
  try {
    // Under another name first: processes that run at the same time never see half of a file.
    const draft = `${kept}.${process.pid}.${threadId}`;
    mkdirSync(dirname(kept), { recursive: true });
    writeFileSync(draft, javascript);
    renameSync(draft, kept);
  } catch {} // where nothing can be written, it is compiled again the next time
  return javascript;
}

function compile(path, text) {
  const ts = require(compiler);
  const { target, verbatimModuleSyntax } = ts.parseConfigFileTextToJson(path, tsconfig).config.compilerOptions;
  const wanted = { target, verbatimModuleSyntax, module: 'ESNext', isolatedModules: true, inlineSourceMap: true };
  const compilerOptions = ts.convertCompilerOptionsFromJson(wanted, root).options;
  const { outputText, diagnostics } = ts.transpileModule(text, {
    fileName: path,
    compilerOptions,
    reportDiagnostics: true,
  });
  if (diagnostics.length === 0) return outputText;
  const lines = { getCanonicalFileName: (name) => name, getCurrentDirectory: () => root, getNewLine: () => '\n' };
  throw new SyntaxError(ts.formatDiagnostics(diagnostics, lines));
}

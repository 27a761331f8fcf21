// Checks .github/workflows with GitHub's own parser: keys, events, permissions, expressions. Prints what is wrong.
//   node scripts/lint-workflows.mjs [FILE ...]
import { readdirSync, readFileSync } from 'node:fs';
import { register } from 'node:module';
import { join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

// The parser is made for bundlers: it imports JSON without saying so.
const hooks = `export const load = (url, context, next) =>
  next(url, url.endsWith('.json') ? { ...context, importAttributes: { type: 'json' } } : context);`;
register(`data:text/javascript,${encodeURIComponent(hooks)}`, import.meta.url);
const { convertWorkflowTemplate, NoOperationTraceWriter, parseWorkflow } = await import('@actions/workflow-parser');

const root = resolve(fileURLToPath(new URL('..', import.meta.url)));
const folder = join(root, '.github/workflows');
const all = () => readdirSync(folder).map((name) => join(folder, name));
const files = process.argv.length > 2 ? process.argv.slice(2) : all();
let problems = 0;
for (const file of files) {
  const trace = new NoOperationTraceWriter();
  const { context, value } = parseWorkflow({ name: relative(root, file), content: readFileSync(file, 'utf8') }, trace);
  const errors = context.errors.getErrors().map(({ message }) => message);
  if (value) {
    const { errors: found = [] } = await convertWorkflowTemplate(context, value, undefined, { errorPolicy: 1 });
    errors.push(...found.map(({ Message }) => Message));
  }
  for (const message of new Set(errors)) console.error(message);
  problems += errors.length;
}
if (problems > 0 || files.length === 0) process.exitCode = 1;

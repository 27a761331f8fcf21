#!/usr/bin/env node
/** The program `apollo-lm`; see run.ts. */
import { run } from './run.js';

process.exitCode = await run(process.argv.slice(2));

/** How tests start Node so that it reads TypeScript: its arguments and environment, without tap's record of processes. */
export const typescript: readonly string[] = [
  `--import=${new URL('../scripts/ts-loader.mjs', import.meta.url).href}`,
  '--enable-source-maps',
];

const { NODE_OPTIONS: _, ...rest } = process.env;
export const plainEnv: NodeJS.ProcessEnv = rest;

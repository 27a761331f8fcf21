/** Colours and font of everything drawn: the report's charts, and the dashboard in light and dark. */

/** Colours that colour-blind people can distinguish (Okabe and Ito). */
export const palette = ['#0072b2', '#d55e00', '#009e73', '#cc79a7', '#e69f00', '#56b4e9', '#8c564b'];
/** The same hues, light enough for a dark page. */
const darkPalette = ['#4aa8e0', '#f58549', '#2fbf95', '#e3a1c5', '#f0b93e', '#93d3f7', '#c08d7f'];

/** The colour of the method that others are compared with. */
export const referenceColor = '#666666';
export const ink = '#333333';
export const faint = '#bbbbbb';
export const chartFont = 'Helvetica, Arial, sans-serif';

const light = { page: '#f6f7f9', card: '#ffffff', ink, soft: '#6b7280', line: '#e2e5ea', reference: referenceColor };
const dark = {
  page: '#14171c',
  card: '#1d2128',
  ink: '#e4e7ec',
  soft: '#98a1ae',
  line: '#333943',
  reference: '#a3abb8',
};
const states = { good: ['#1a7f4b', '#46c28a'], warn: ['#9a6200', '#e6b34d'], bad: ['#b3261e', '#f2857d'] } as const;

/** The theme as custom properties of a page: `--ink`, `--series-0`, …; dark where the browser prefers it. */
export function themeStyle(): string {
  const properties = (colors: Readonly<Record<string, string>>, series: readonly string[], shade: 0 | 1) =>
    [
      ...Object.entries(colors).map(([name, value]) => `--${name}: ${value}`),
      ...Object.entries(states).map(([name, pair]) => `--${name}: ${pair[shade]}`),
      ...series.map((value, index) => `--series-${index}: ${value}`),
    ].join('; ');
  return (
    `:root { color-scheme: light dark; ${properties(light, palette, 0)} }\n` +
    `@media (prefers-color-scheme: dark) { :root { ${properties(dark, darkPalette, 1)} } }\n`
  );
}

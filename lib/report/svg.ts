/** Draws chart options as SVG text without a browser; the chart library is loaded only when something is drawn. */

import * as is from '../is.js';
import { loadCharts } from './chart-library.js';
import type { ChartOption } from './charts.js';

const takesRenderSvg = is.takes('renderSvg', {
  option: is.record,
  size: is.options({ width: is.optional(is.count), height: is.optional(is.count) }),
});

/**
 * An SVG document of `width` x `height` pixels.
 *
 * @param option The chart, from `lossChart` or `depthChart`.
 * @param size Size of the document.
 * @example writeFileSync('loss-flops.svg', await renderSvg(lossChart(results, analysis, 'flopsModel')))
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export async function renderSvg(
  option: ChartOption,
  size: {
    /** Width in pixels. Default: 820. */
    width?: number;
    /** Height in pixels. Default: 460. */
    height?: number;
  } = {},
): Promise<string> {
  takesRenderSvg(option, size);

  const { width = 820, height = 460 } = size;
  const chart = loadCharts().init(null, null, { renderer: 'svg', ssr: true, width, height });
  try {
    const { tooltip, dataZoom, ...still } = option;
    chart.setOption(still);
    return chart.renderToSVGString();
  } finally {
    chart.dispose();
  }
}

/** Draws chart options as SVG text without a browser; echarts is loaded only when something is drawn. */

import * as is from '../is.js';
import type { ChartOption } from './charts.js';

const takesRenderSvg = is.takes('renderSvg', {
  option: is.record,
  size: is.options({ width: is.optional(is.count), height: is.optional(is.count) }),
});

/**
 * An SVG document of `width` x `height` pixels.
 *
 * @example writeFileSync('loss-flops.svg', await renderSvg(lossChart(results, analysis, 'flopsModel')))
 * @throws {ApolloError} BAD_ARGUMENT naming an argument that is wrong.
 */
export async function renderSvg(option: ChartOption, size: { width?: number; height?: number } = {}): Promise<string> {
  takesRenderSvg(option, size);

  const [core, charts, components, renderers] = await Promise.all([
    import('echarts/core'),
    import('echarts/charts'),
    import('echarts/components'),
    import('echarts/renderers'),
  ]);
  core.use([
    charts.LineChart,
    charts.BarChart,
    charts.ScatterChart,
    components.GridComponent,
    components.LegendComponent,
    components.MarkLineComponent,
    components.TitleComponent,
    renderers.SVGRenderer,
  ]);
  const chart = core.init(null, null, {
    renderer: 'svg',
    ssr: true,
    width: size.width ?? 820,
    height: size.height ?? 460,
  });
  try {
    const { tooltip, dataZoom, ...still } = option;
    chart.setOption(still);
    return chart.renderToSVGString();
  } finally {
    chart.dispose();
  }
}

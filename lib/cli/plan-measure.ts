/** Memory and time of the networks that a run trains, measured or estimated, and what they make of its stages. */
import { createModel, withShape } from '../models/index.js';
import { type DepthCost, type ProbeOptions, probeDepths, type StageCost, timeAtDepth } from './plan.js';
import { depthsWithTime, estimateDepths, type Piece } from './plan-pieces.js';

export interface MeasuredStages {
  /** Networks narrower than the finished model first. */
  readonly depths: readonly DepthCost[];
  /** Where it was estimated. */
  readonly piece?: Piece;
  /** Milliseconds of one micro-batch in each step of a stage. */
  readonly msOf: (stage: StageCost) => number;
  /** Milliseconds of a micro-batch at full depth and width. */
  readonly scratchMs: number;
}

/** `probe.model` is the finished one. @throws as probeDepths and estimateDepths. */
export async function measureStages(
  stages: readonly StageCost[],
  probe: Omit<ProbeOptions, 'depths'>,
  how: 'estimate' | 'full',
): Promise<MeasuredStages> {
  const { layers } = probe.model.config;
  const wanted = [1, ...stages.filter(({ shape }) => !shape).map(({ trainedLayers }) => trainedLayers), layers];
  const whole = { ...probe, depths: [...new Set(wanted)].sort((a, b) => a - b) };
  const measured = how === 'full' ? { depths: await probeDepths(whole) } : await estimateDepths(whole);
  const time = timeAtDepth(measured.depths);
  const narrow = await narrowDepths(stages, probe, how, time);
  const timeOf = ({ shape }: StageCost) =>
    shape ? timeAtDepth(narrow.filter(({ hidden }) => hidden === shape.hidden)) : time;
  return {
    ...measured,
    depths: [...narrow, ...measured.depths],
    scratchMs: time(layers),
    msOf: (stage) => {
      const atDepth = timeOf(stage);
      return stage.relativeFlops * stage.depthSteps.reduce((sum, steps, depth) => sum + steps * atDepth(depth), 0);
    },
  };
}

/** Costs of the stages whose networks are narrower. Their time is estimated from that of the finished model, by FLOPs. */
async function narrowDepths(
  stages: readonly StageCost[],
  probe: Omit<ProbeOptions, 'depths'>,
  how: 'estimate' | 'full',
  time: (depth: number) => number,
): Promise<DepthCost[]> {
  const { model, seq } = probe;
  const found: DepthCost[] = [];
  for (const { shape, trainedLayers } of stages) {
    if (!shape || found.some(({ depth, hidden }) => depth === trainedLayers && hidden === shape.hidden)) continue;
    const network = createModel(withShape(model.config, shape));
    const own = { ...probe, model: network, depths: [trainedLayers] };
    const byFlops = (depth: number) =>
      time(depth) * (network.flopsPerToken(depth, seq) / model.flopsPerToken(depth, seq));
    const costs = how === 'full' ? await probeDepths(own) : await depthsWithTime(own, byFlops);
    found.push(...costs.map((cost) => ({ ...cost, hidden: shape.hidden })));
  }
  return found;
}

/** What the steps of a run add up to, and the event of each. */
import type { ModelConfig } from '../models/index.js';
import type { CheckpointState } from './checkpoint/checkpoint.js';
import { stepFlops } from './cost.js';
import type { StageTraffic, StepEvent } from './events.js';
import type { RunStep } from './queue-step.js';
import { nothingLearnt } from './step-warnings.js';
import { Traffic } from './traffic.js';
import type { StepOutcome } from './trainer.js';

/** A step that is done. */
export interface CountedStep extends Pick<RunStep, 'plan' | 'learningRate'> {
  /** Its number, from 1. */
  readonly step: number;
  readonly result: StepOutcome;
  /** The outer step behind it: zeros where there was none. */
  readonly round: { readonly bytesSent: number; readonly ms: number };
  /** Counts of the stage. */
  readonly config: ModelConfig;
}

/** Counts of a run. */
export type RunTotals = CheckpointState['totals'] & { flopsLayers: number };

export class StepCounts {
  /** Counts of the run, through all resumes. */
  readonly totals: RunTotals = { tokens: 0, flopsModel: 0, flopsLayers: 0, flopsExecuted: 0, trainMs: 0 };
  /** Steps of this process of which no batch had a target. */
  withoutTarget = 0;
  readonly #traffic = new Traffic();

  constructor(private readonly size: { readonly seq: number; readonly tokens: number }) {}

  /** Traffic between the ranks since the stage started. */
  get stageTraffic(): StageTraffic | undefined {
    return this.#traffic.stage;
  }

  beginStage(): void {
    this.#traffic.begin();
  }

  add({ step, plan, learningRate, result, round, config }: CountedStep): StepEvent {
    const { totals, size } = this;
    const { loss, gradNorm, applied, flops, waitedMs, microBatches, exchange } = result;
    const ms = result.ms + round.ms;
    const bytesOfStep = (exchange?.bytes ?? 0) + round.bytesSent;
    if (microBatches === 0) this.withoutTarget++;
    totals.tokens += size.tokens;
    const { model, layers } = stepFlops(config, plan, size);
    totals.flopsModel += model;
    totals.flopsLayers += layers;
    totals.flopsExecuted += flops;
    totals.trainMs += ms;
    if (exchange) {
      totals.bytesSent = (totals.bytesSent ?? 0) + bytesOfStep;
      this.#traffic.add(bytesOfStep, size.tokens);
    }
    const { depth, trainedLayers } = plan;
    const { flopsModel, flopsExecuted, tokens, trainMs } = totals;
    return {
      type: 'step',
      step,
      loss,
      gradNorm,
      learningRate,
      depth,
      trainedLayers,
      applied,
      flopsModel,
      flopsExecuted,
      tokens,
      trainMs,
      ms,
      tokensPerSecond: (1000 * size.tokens) / ms,
      waitedMs,
      ...(exchange && {
        bytesSent: totals.bytesSent!,
        bytesPerToken: bytesOfStep / size.tokens,
        exchangeMs: exchange.busyMs + round.ms,
        exchangeWaitedMs: exchange.uncoveredMs + round.ms,
      }),
      ...(microBatches === 0 && { withoutTarget: true }),
    };
  }

  /** @throws ApolloError BAD_CORPUS when none of all `steps` steps of the run had a target. */
  checkTargets(steps: number): void {
    if (this.withoutTarget > 0 && this.withoutTarget === steps) throw nothingLearnt(steps);
  }
}

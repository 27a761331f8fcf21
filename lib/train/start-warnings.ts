/** Warnings about how a run starts: what it resumes from, and what is different now. */
import type { Device } from '../engine/device.js';
import type { CheckpointState } from './checkpoint/checkpoint.js';
import type { WarningEvent } from './events.js';
import type { Run } from './run.js';

/** @param resumed State of the checkpoint that the run resumes from. */
export function startWarnings(run: Run, resumed: CheckpointState | undefined): WarningEvent[] {
  const { group, device } = run.deps;
  const of = (code: WarningEvent['code'], messages: readonly (string | undefined)[]) =>
    messages.flatMap((message) =>
      message === undefined ? [] : { type: 'warning' as const, step: run.step, code, message },
    );
  return [
    ...of('BEGINS_WITH', run.beginWarnings),
    ...of('DAMAGED_CHECKPOINT', run.damageWarnings),
    ...of('OTHER_DEVICE', resumed ? [deviceChange(resumed, device, group.size)] : []),
    ...of('OTHER_RANKS', resumed ? [ranksChange(resumed, group.size)] : []),
  ];
}

function ranksChange({ local }: CheckpointState, now: number): string | undefined {
  if (!local || local.ranks === now) return undefined;
  const lost =
    now < local.ranks && local.changed.length > 0
      ? ` The steps of ranks ${now} to ${local.ranks - 1} since the last outer step are lost.`
      : '';
  return (
    `The checkpoint was written by ${local.ranks} ranks; this is ${now}. Rank r takes the weights and moments of rank r mod ${local.ranks}. ` +
    `The run continues, but its bits differ from those of an uninterrupted one.${lost}`
  );
}

function deviceChange(state: CheckpointState, device: Device, ranks: number): string | undefined {
  const { kind, threads } = device.info();
  const { ranks: former = 1, ...before } = state.device;
  if (kind === before.kind && threads === before.threads && ranks === former) return undefined;
  const ofRanks = (count: number) => (ranks === former ? '' : ` on ${count} ${count === 1 ? 'rank' : 'ranks'}`);
  return (
    `The checkpoint was written on ${before.kind} with ${before.threads} threads${ofRanks(former)}; ` +
    `this is ${kind} with ${threads}${ofRanks(ranks)}. ` +
    'The run continues, but its bits may differ from those of an uninterrupted one.'
  );
}

/**
 * Tests that several devices must pass are written as suites: functions of what runs them and of the device. Tap's test
 * object is such a runner; test/cuda/harness.ts is one for machines without tap.
 */
import type { Device } from '../../lib/engine/device.js';

/** The checks that suites use, as tap names them. */
export interface Checks {
  ok(value: unknown, message?: string): void;
  notOk(value: unknown, message?: string): void;
  equal(actual: unknown, expected: unknown, message?: string): void;
  not(actual: unknown, unexpected: unknown, message?: string): void;
  same(actual: unknown, expected: unknown, message?: string): void;
  rejects(promise: Promise<unknown>, expected: { code?: string; message?: RegExp }, message?: string): Promise<void>;
}

export interface Runner {
  test(name: string, body: (t: Checks) => void | Promise<void>): unknown;
}

/** Tap's test object as a runner; its own types are wider. */
export function tapRunner(t: object): Runner {
  return t as Runner;
}

export type Suite = (runner: Runner, device: Device) => void;

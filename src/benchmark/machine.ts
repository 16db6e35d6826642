/** Where the numbers were measured: without it they mean nothing. */
import { arch, availableParallelism, cpus, release, totalmem, type } from 'node:os';
import type { Machine } from './report.js';

export function describeMachine(): Machine {
  return {
    cores: availableParallelism(),
    cpu: cpus()[0]?.model.trim() || 'unknown',
    memoryBytes: totalmem(),
    system: `${type()} ${release()} ${arch()}`,
    node: process.version,
  };
}

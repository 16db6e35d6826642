/** `blockferry bench`: its options and their help. */
import type { Command } from 'commander';
import { TransferError } from '../core/errors.js';
import { BENCH_HELP } from './help.js';
import { type OutputFlags, size } from './option-values.js';

export interface BenchFlags extends OutputFlags {
  readonly seconds?: number;
  readonly size?: number;
  readonly yes?: boolean;
  readonly svg?: string;
}

type BenchCommand = (locations: readonly string[], flags: BenchFlags) => Promise<void>;

const BENCH_SECONDS = { min: 0.01, max: 600 } as const;

export function addBench(program: Command, bench: BenchCommand): void {
  program
    .command('bench')
    .description('measure what one or two storage paths can do, before disks are moved')
    .usage('[options] <location> [<location>]')
    .argument('<locations...>', 'what is read, and the folder that is written; one folder alone is both')
    .option('--seconds <n>', 'how long each step is measured (default: 1)', seconds('--seconds'))
    .option('--size <size>', 'bytes that are written in all, at most (default: 1GiB)', size('--size'))
    .option('--yes', 'do not ask before more than 1 GiB is written')
    .option('--svg <file>', 'draw the result as a chart, in a new file')
    .option('--json', 'one object on the standard output')
    .option('--quiet', 'no progress')
    .addHelpText('after', BENCH_HELP)
    .action((locations: string[], flags: BenchFlags) => {
      if (locations.length <= 2) return bench(locations, flags);
      throw new TransferError('E_USAGE', `bench takes one or two locations, not ${locations.length}`, {
        hint: 'Write: blockferry bench <location> [<location>]',
      });
    });
}

function seconds(option: string): (text: string) => number {
  return (text) => {
    const value = /^\d+(\.\d+)?$/.test(text) ? Number(text) : Number.NaN;
    if (value >= BENCH_SECONDS.min && value <= BENCH_SECONDS.max) return value;
    throw new TransferError('E_USAGE', `${option}: cannot use ${JSON.stringify(text)}`, {
      hint: `Write a number from ${BENCH_SECONDS.min} to ${BENCH_SECONDS.max}, such as 0.5 or 5.`,
    });
  };
}

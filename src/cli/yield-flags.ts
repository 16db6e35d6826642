/** How a copy makes way for others, as it is said on the command line: alike for a copy and for a job. */
import { type Command, Option } from 'commander';
import { TransferError } from '../core/errors.js';
import { LATENCY_MS_MAX, LATENCY_MS_MIN, YIELDS, type Yield } from '../yield/control-law.js';

export interface YieldFlags {
  readonly yield?: Yield;
  /** Milliseconds. */
  readonly protect?: number;
}

export const YIELD_OPTIONS = ['--yield', '--protect'] as const;

export function addYieldOptions(command: Command): Command {
  return command
    .addOption(new Option('--yield <manner>', 'make way for others at the same disks and links').choices(YIELDS))
    .option('--protect <goal>', 'make way so that requests of others take no longer: latency=5ms', readLatency);
}

/** Only what was said. @throws TransferError E_USAGE */
export function yieldOptionsOf({ yield: manner, protect }: YieldFlags) {
  if (manner !== undefined && protect !== undefined) {
    throw new TransferError('E_USAGE', '--yield and --protect were given; one of them was expected', {
      hint: 'A latency to protect is a goal by itself: leave the other out. Nothing was changed.',
    });
  }
  return {
    ...(manner !== undefined && { yield: manner }),
    ...(protect !== undefined && { protectLatencyMs: protect }),
  };
}

/** Milliseconds, of `latency=5ms`. */
function readLatency(text: string): number {
  const [, amount = '', unit = ''] = /^latency=(\d{1,6}(?:\.\d{1,3})?)(ms|s)$/.exec(text) ?? [];
  const ms = Number(amount) * (unit === 's' ? 1000 : 1);
  if (ms >= LATENCY_MS_MIN && ms <= LATENCY_MS_MAX) return ms;
  throw new TransferError('E_USAGE', `--protect: cannot use ${JSON.stringify(text)}`, {
    hint: 'Write latency= and a time from 1ms to 10s, such as latency=5ms.',
  });
}

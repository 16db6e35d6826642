/** Runs the crash child, says how it ended, and looks at what it left behind. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { performerParts } from '../../src/compose.js';
import type { ErrorJson } from '../../src/core/errors.js';
import { parseLocation } from '../../src/endpoint/location.js';
import type { CopyOptions, CopyTreeOptions } from '../../src/index.js';
import { InlineRunner } from '../../src/transfer/inline-runner.js';
import { type PartialStatus, partialStatus } from '../../src/transfer/partial-status.js';
import { Performer } from '../../src/transfer/perform.js';
import type { TransferResult } from '../../src/transfer/transfer-result.js';

const CHILD = fileURLToPath(new URL('./crash-child.mjs', import.meta.url));

/** When the child kills itself. `torn` does half of a write first. */
export type Kill =
  | { readonly at: 'never' }
  | { readonly at: 'delay'; readonly ms: number }
  | { readonly at: 'state'; readonly state: string }
  | { readonly at: 'checkpoint'; readonly nth: number }
  | { readonly at: 'progress'; readonly bytes: number }
  | {
      readonly at: 'file-call';
      readonly call: string;
      readonly nth: number;
      readonly when: 'before' | 'after' | 'torn';
    };

export interface CrashRun<Result = TransferResult> {
  readonly killed: boolean;
  readonly exitCode: number | null;
  readonly result?: Result;
  readonly error?: ErrorJson;
  /** The last that was said before the end. */
  readonly bytesDone: number;
  readonly checkpoints: number;
  readonly errorOutput: string;
}

export async function runCrashChild<Result = TransferResult>(
  options: CopyOptions | CopyTreeOptions,
  kill: Kill,
): Promise<CrashRun<Result>> {
  const child = spawn(process.execPath, [CHILD, JSON.stringify({ options, kill })], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let [output, errorOutput] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    errorOutput += text;
  });
  await once(child, 'close');
  // The last line may be torn by the kill.
  const lines = output
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line));
  const told = Object.assign({ bytesDone: 0, checkpoint: 0 }, ...lines);
  const { bytesDone, checkpoint: checkpoints, result, error } = told;
  const killed = child.signalCode === 'SIGKILL';
  return { killed, exitCode: child.exitCode, result, error, bytesDone, checkpoints, errorOutput };
}

export async function statusOf(target: string): Promise<PartialStatus> {
  return partialStatus(parseLocation(target), new InlineRunner(new Performer(await performerParts())));
}

/** Names in the target's folder that only an unfinished copy may leave. */
export function leftovers(target: string): string[] {
  return readdirSync(dirname(target)).filter((name) => name.includes('blockferry'));
}

/** What stands under the target's name: nothing, one of the two images, or anything else. */
export function whatStands(
  target: string,
  images: { readonly old?: Buffer; readonly new: Buffer },
): 'nothing' | 'old' | 'new' | 'wrong bytes' {
  if (!existsSync(target)) return 'nothing';
  const bytes = readFileSync(target);
  if (bytes.equals(images.new)) return 'new';
  return images.old?.equals(bytes) ? 'old' : 'wrong bytes';
}

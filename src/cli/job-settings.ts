/** The options of `job create` and `job set`, as the service takes them. */
import { resolve } from 'node:path';
import { systemClock } from '../core/clock.js';
import { TransferError } from '../core/errors.js';
import { parseFinishBy } from '../core/finish-by.js';
import type { CopyOptions } from '../service/copy-options.js';
import type { JobSettings, Webhook } from '../service/job.js';
import type { JobCreateFlags, JobSettingFlags } from './job-program.js';
import { textOf } from './service-access.js';
import { type YieldFlags, yieldOptionsOf } from './yield-flags.js';

/** Only what was said. @throws TransferError E_USAGE */
export function settingsOf(flags: JobSettingFlags): Partial<JobSettings> {
  const { name, priority, autoComplete, limit, finishBy, retryDelay, retryDelayMax, progress, maxTime, notify } = flags;
  const webhook = webhookOf(flags);
  return {
    ...(name !== undefined && { name }),
    ...(priority !== undefined && { priority }),
    ...(autoComplete !== undefined && { autoComplete }),
    ...(limit !== undefined && { limitBytesPerSecond: limit }),
    ...(finishBy !== undefined && { finishBy: finishByOf(finishBy) }),
    ...(retryDelay !== undefined && { retryDelayMsMin: retryDelay }),
    ...(retryDelayMax !== undefined && { retryDelayMsMax: retryDelayMax }),
    ...(typeof progress === 'number' && { noProgressMsMax: progress }),
    ...(maxTime !== undefined && { transferMsMax: maxTime }),
    // An empty command, and an empty address, are none.
    ...(notify !== undefined && { notify: notify === false ? [] : commandOf(notify) }),
    ...(webhook && { webhook }),
  };
}

/** In the time zone of whoever says it, which the service may not share. */
export function finishByOf(text: string | false): string {
  return text === false ? '' : new Date(parseFinishBy(text, systemClock.wallMs())).toISOString();
}

/** It runs elsewhere, and without a shell that would look for it. */
function commandOf([program = '', ...words]: readonly string[]): string[] {
  if (program.includes('/')) return [resolve(program), ...words];
  throw new TransferError('E_USAGE', `--notify: ${JSON.stringify(program)} is not the path of a program`, {
    hint: 'Write its whole path, such as /usr/bin/logger, and each of its arguments as one more --notify.',
  });
}

function webhookOf({ webhook, webhookSecretFile: file }: JobSettingFlags): Webhook | undefined {
  if (webhook === false) return { url: '' };
  if (webhook === undefined && file !== undefined) {
    throw new TransferError('E_USAGE', '--webhook-secret-file is for --webhook', { hint: 'Say which server to tell.' });
  }
  if (webhook === undefined) return undefined;
  const url = URL.canParse(webhook) ? new URL(webhook) : undefined;
  if (url?.protocol !== 'http:' && url?.protocol !== 'https:') {
    // It may hold a secret, so it is not repeated.
    throw new TransferError('E_USAGE', '--webhook: cannot use this as an address', {
      hint: 'Write https://host/path, or http://host/path.',
    });
  }
  const secret = file === undefined ? undefined : textOf('--webhook-secret-file', file).trim();
  if (secret === '') {
    throw new TransferError('E_USAGE', '--webhook-secret-file: the file is empty', { hint: 'Put the secret into it.' });
  }
  return { url: webhook, ...(secret !== undefined && { secret }) };
}

/** How each file is copied; `copy --background` asks for the same. */
export type JobCopyFlags = Pick<
  JobCreateFlags,
  'overwrite' | 'delta' | 'preserve' | 'readBack' | 'algorithm' | 'reflink' | 'chunkSize' | 'lanes' | 'sync' | 'check'
> &
  YieldFlags;

export function copyOptionsOf(flags: JobCopyFlags): CopyOptions {
  const { overwrite, delta, preserve, readBack, algorithm, reflink, chunkSize, lanes, sync, check } = flags;
  return {
    ...(overwrite && { overwrite }),
    ...(delta && { delta }),
    ...(preserve && { preserve }),
    ...(readBack && { readBack }),
    ...(algorithm !== undefined && { algorithm }),
    ...(reflink !== undefined && { reflink }),
    ...(chunkSize !== undefined && { chunkBytes: chunkSize }),
    ...(lanes !== undefined && { lanes }),
    ...(!sync && { sync }),
    ...(!check && { check }),
    ...yieldOptionsOf(flags),
  };
}

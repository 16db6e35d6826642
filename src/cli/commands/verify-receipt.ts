/** `blockferry verify --receipt`: whether a receipt is what its service has signed. */
import { readFileSync } from 'node:fs';
import { errnoOf, TransferError } from '../../core/errors.js';
import { formatBytes, formatDuration } from '../../core/units.js';
import { verifyReceipt } from '../../migrate/receipt.js';
import type { Receipt } from '../../migrate/receipt-form.js';
import { encodePath, showPath } from '../../platform/path-bytes.js';
import type { OutputFlags } from '../option-values.js';
import { count } from '../render/summary.js';
import type { Session } from '../session.js';

export interface ReceiptFlags extends OutputFlags {
  readonly receipt?: string;
  /** Of the key that it must be signed with. */
  readonly signedBy?: string;
}

export async function runVerifyReceipt({ out, err }: Session, flags: ReceiptFlags): Promise<number> {
  const { receipt: path = '', signedBy, json, quiet } = flags;
  const receipt = verifyReceipt(parsed(path), signedBy?.replace(/^sha256:/i, ''));
  if (json) out.json({ type: 'receipt', same: true, ...receipt });
  else if (!quiet) {
    for (const line of receiptLines(receipt)) out.line(line);
    if (signedBy === undefined)
      err.line('  Compare the fingerprint with what its host says, or say it with --signed-by.');
  }
  return 0;
}

function parsed(path: string): unknown {
  try {
    return JSON.parse(readFileSync(encodePath(path), 'utf8'));
  } catch (cause) {
    const why = errnoOf(cause) ?? 'it is no JSON';
    throw new TransferError('E_MANIFEST', `${showPath(path)} is no receipt: ${why}`, {
      hint: 'Name the file with what "blockferry migrate receipt" has printed.',
      cause,
    });
  }
}

function receiptLines({ vm, from, to, files, steps, blackout, withoutMemory, signature }: Receipt): string[] {
  const bytes = files.reduce((sum, file) => sum + file.bytes, 0);
  const first = steps[0]?.startedAt ?? 0;
  const last = steps.at(-1)?.doneAt ?? first;
  const [measured, predicted] = [blackout?.measuredMs ?? 0, blackout?.predictedMs ?? 0].map(formatDuration);
  const stood = blackout && [`  the guest stood still for ${measured}; ${predicted} were predicted`];
  return [
    `signed, and not changed since: ${vm.name} was moved, ${from} to ${to}`,
    `  ${count(files.length, 'file')}, ${formatBytes(bytes)}, in ${formatDuration(last - first)}`,
    ...(stood ?? []),
    ...(withoutMemory === undefined
      ? []
      : [`  it started without its memory, a power cut to its guest: ${withoutMemory}`]),
    `  key sha256:${signature.fingerprint}`,
  ];
}

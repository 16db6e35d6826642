/** A migration as it is shown, and the receipt that is made of it, both from what is on record alone. */
import { TransferError } from '../core/errors.js';
import type { Moved } from './migration.js';
import type { MigrationBook } from './migration-book.js';
import type { MigrationState, MigrationView } from './migration-service.js';
import type { ReceiptContent, ReceiptFile } from './receipt-form.js';
import { STEPS } from './steps.js';

interface Standing {
  readonly state: MigrationState;
  readonly reason: string;
}

/** What only the process knows. */
interface Now {
  /** In line. */
  readonly place?: Standing | undefined;
  readonly moved?: Moved | undefined;
}

export function viewOf(book: MigrationBook, now: Now): MigrationView {
  const { plan, prediction, blackoutMs, rounds, last } = book;
  const recorded = stateOf(book);
  const step = STEPS.find((one) => !book.isDone(one));
  const startedAt = step && book.startedAt(step, step === 'shrink-delta' && rounds > 1 ? rounds : undefined);
  return {
    ...{ id: plan.id, vm: plan.vm.id, vmName: plan.vm.name, plan, rounds },
    ...(recorded.state === 'aborting' ? recorded : { ...recorded, ...now.place }),
    ...(now.place?.state === 'running' && now.moved && { reason: now.moved.reason }),
    ...(step !== undefined && { step }),
    ...{ stepsDone: STEPS.filter((one) => book.isDone(one)), steps: book.steps },
    ...(startedAt !== undefined && { stepStartedAt: startedAt }),
    ...(now.moved && { bytesDone: now.moved.bytesDone, bytesTotal: now.moved.bytesTotal }),
    ...(prediction && { prediction }),
    ...(blackoutMs !== undefined && { blackoutMs }),
    switchedOver: book.isDone('switch-over'),
    ...(last?.type === 'failed' && { error: last.error, failedStep: last.step }),
  };
}

/** What it is while nothing is done. */
export function stateOf({ last, plan, isAborting, withoutMemory }: MigrationBook): Standing {
  if (isAborting) return { state: 'aborting', reason: 'its abort was begun, and is not over' };
  if (last?.type === 'waiting') return { state: last.state, reason: last.reason };
  if (last?.type === 'failed') return { state: 'failed', reason: last.error.message };
  if (last?.type === 'aborted') {
    return { state: 'aborted', reason: [`${plan.vm.name} stays at the source`, ...last.notes].join('; ') };
  }
  if (last?.type === 'finished') {
    const cut = 'it started without its memory, which was a power cut to its guest';
    const told = withoutMemory === undefined ? [] : [`${cut}: ${withoutMemory}`];
    return { state: 'done', reason: [`${plan.vm.name} is at the target`, ...told].join('; ') };
  }
  return { state: 'queued', reason: 'it goes on when its turn comes' };
}

export function receiptContent(book: MigrationBook): ReceiptContent {
  const { plan, prediction, blackoutMs, withoutMemory } = book;
  return {
    schema: 1,
    kind: 'blockferry-migration',
    migration: plan.id,
    vm: { id: plan.vm.id, name: plan.vm.name },
    ...{ from: plan.from, to: plan.to, steps: book.steps },
    files: [...book.files.values()].map(({ version: _, sha256, ...file }): ReceiptFile => {
      if (sha256 !== undefined) return { ...file, sha256 };
      throw new TransferError('E_BUG', `no digest of ${file.target} is on record`);
    }),
    ...(blackoutMs !== undefined && {
      blackout: { predictedMs: prediction?.blackoutMs ?? 0, measuredMs: blackoutMs },
    }),
    ...(withoutMemory !== undefined && { withoutMemory }),
    keepSource: plan.keepSource,
  };
}

/**
 * The journal of one migration, in a folder of its own: its plan, and then a line for each step that begins and for
 * each that is done, durable before the call returns. A torn end is cut off; of a damaged middle nothing is believed.
 */
import { closeSync, constants, fdatasyncSync, ftruncateSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { errnoOf, TransferError } from '../core/errors.js';
import { makeFolders } from '../endpoint/state-folder.js';
import { realFiles, writeFully } from '../platform/file-layer.js';
import { lockDescriptor } from '../platform/lock.js';
import { writePrivately } from '../platform/private-file.js';
import { syncFolder } from '../platform/publish.js';
import type { MigrationPlan } from './migration-plan.js';
import { decodeStep, encodeStep, type StepRecord } from './step-records.js';

const { O_NOFOLLOW, O_RDWR } = constants;
const NAME = 'journal';

export class StepJournal {
  readonly plan: MigrationPlan;
  /** Without the plan. */
  readonly records: readonly StepRecord[];
  readonly #fd: number;
  readonly #path: string;
  #length: number;

  private constructor(path: string, fd: number, { plan, records, bytes }: Content) {
    this.#path = path;
    this.#fd = fd;
    this.#length = bytes;
    this.plan = plan;
    this.records = records;
  }

  /** @param migrations folder of all of them */
  static async create(migrations: string, plan: MigrationPlan): Promise<StepJournal> {
    const folder = join(migrations, plan.id);
    makeFolders(folder);
    writePrivately(join(folder, NAME), encodeStep({ type: 'plan', plan }));
    syncFolder(folder);
    syncFolder(migrations);
    return StepJournal.open(folder);
  }

  /**
   * For this process alone, until it is closed.
   * @throws TransferError E_JOURNAL_DAMAGED, E_LOCKED, E_NO_MIGRATION where it was never begun
   */
  static async open(folder: string): Promise<StepJournal> {
    const path = join(folder, NAME);
    const fd = openJournal(path);
    try {
      if ((await lockDescriptor(fd)) === 'busy') throw inUse(path);
      const content = readRecords(path, readFileSync(fd));
      ftruncateSync(fd, content.bytes);
      return new StepJournal(path, fd, content);
    } catch (thrown) {
      closeSync(fd);
      throw thrown;
    }
  }

  /** Durable when it returns. @throws TransferError E_JOURNAL_WRITE: then nothing may be done that it speaks of */
  append(record: StepRecord): void {
    const bytes = Buffer.from(encodeStep(record));
    try {
      writeFully(realFiles, this.#fd, bytes, this.#length);
      fdatasyncSync(this.#fd);
    } catch (cause) {
      ftruncateSync(this.#fd, this.#length);
      throw new TransferError('E_JOURNAL_WRITE', `${this.#path} cannot be written`, {
        hint: 'Make room where the state folder is; the migration goes on where it was.',
        cause,
      });
    }
    this.#length += bytes.length;
    (this.records as StepRecord[]).push(record);
  }

  close(): void {
    closeSync(this.#fd);
  }
}

interface Content {
  readonly plan: MigrationPlan;
  readonly records: StepRecord[];
  /** Of what is whole. */
  readonly bytes: number;
}

function openJournal(path: string): number {
  try {
    return openSync(path, O_RDWR | O_NOFOLLOW);
  } catch (thrown) {
    if (errnoOf(thrown) !== 'ENOENT') throw thrown;
    throw new TransferError('E_NO_MIGRATION', `${path} does not exist: the migration was never begun`, {
      hint: 'Its folder may be removed.',
      cause: thrown,
    });
  }
}

function readRecords(path: string, bytes: Buffer): Content {
  const records: StepRecord[] = [];
  let [at, line, damaged] = [0, 0, 0];
  let good = 0;
  for (let end = bytes.indexOf(10); end >= 0; end = bytes.indexOf(10, at)) {
    line++;
    const record = decodeStep(bytes.toString('utf8', at, end));
    at = end + 1;
    if (!record) damaged ||= line;
    // What comes after a damaged line was written after it: this is no torn end.
    else if (damaged) throw damagedAt(path, damaged);
    else {
      records.push(record);
      good = at;
    }
  }
  const [first, ...rest] = records;
  if (first?.type !== 'plan') throw damagedAt(path, 1);
  return { plan: first.plan, records: rest, bytes: good };
}

function damagedAt(path: string, line: number): TransferError {
  return new TransferError('E_JOURNAL_DAMAGED', `${path} is damaged in line ${line}`, {
    hint: [
      'What the migration has done is not known, so nothing is done by itself: no file was touched.',
      'See on both hosts who owns the machine and whether it runs, before anything is started or removed.',
    ].join('\n'),
  });
}

function inUse(path: string): TransferError {
  return new TransferError('E_LOCKED', `${path} is in use: another process carries out this migration`, {
    hint: 'Ask the service that runs, or end it first.',
  });
}

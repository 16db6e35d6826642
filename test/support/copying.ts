/**
 * What tests of whole copies share: files with known bytes, copies that stop or are disturbed half way, and what is
 * looked at afterwards. Everything goes through the public API and real files.
 */
import { createCipheriv, createHash } from 'node:crypto';
import {
  closeSync,
  existsSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, vi } from 'vitest';
import { KiB, MiB } from '../../src/core/units.js';
import { journalPath, partPath } from '../../src/endpoint/part-names.js';
import { type CopyOptions, type CopyRun, copy, TransferError, type TransferResult } from '../../src/index.js';

export const CHUNK = 256 * KiB;

/** An empty folder on the default file system, gone after the test. */
export function scratchFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'bad-input-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Until the test ends, '1' leaves koffi out and '0' takes it where it is there. */
export function switchNative(off: string): void {
  vi.stubEnv('BLOCKFERRY_NO_NATIVE', off);
  onTestFinished(() => void vi.unstubAllEnvs());
}

/** `length` bytes that look random and are the same for the same seed; never a run of zeroes. */
export function bytesOf(length: number, seed: string): Buffer {
  const key = createHash('sha256').update(seed).digest();
  return createCipheriv('aes-256-ctr', key, Buffer.alloc(16)).update(Buffer.alloc(length));
}

/** Writes a file of such bytes and answers its path. */
export function makeFile(path: string | Buffer, length: number, seed = 'source'): typeof path {
  const fd = openSync(path, 'w');
  writeSync(fd, bytesOf(length, seed));
  closeSync(fd);
  return path;
}

export interface Pair {
  readonly folder: string;
  readonly source: string;
  readonly target: string;
  readonly part: string;
  readonly journal: string;
}

/** A source of `length` bytes in a folder of its own, and a target in `folder` that does not exist yet. */
export function pairIn(folder: string, length: number, seed?: string): Pair {
  const source = join(scratchFolder(), 'source.img');
  makeFile(source, length, seed);
  return { source, ...targetIn(folder) };
}

export function targetIn(folder: string, name = 'target.img'): Omit<Pair, 'source'> {
  const target = join(folder, name);
  return { folder, target, part: partPath(target), journal: journalPath(target) };
}

/** Runs a copy with small chunks. @throws TransferError, also where the call itself throws */
export async function copyNow(options: CopyOptions): Promise<TransferResult> {
  return copy({ chunkBytes: CHUNK, workers: 2, ...options }).result;
}

/** The error of a copy that must not succeed. */
export async function failureOf(work: Promise<unknown> | (() => Promise<unknown>)): Promise<TransferError> {
  const begun = (async () => (typeof work === 'function' ? work() : work))();
  const thrown = await begun.then(
    () => undefined,
    (error: unknown) => error,
  );
  expect(thrown, 'what was thrown').toBeInstanceOf(TransferError);
  return thrown as TransferError;
}

/**
 * Starts a copy slowly, calls `disturb` when `atBytes` are written and the first checkpoint may still be to come, then
 * lets it run at full speed. Answers how it ended.
 */
export async function disturbedCopy(
  options: CopyOptions,
  disturb: (run: CopyRun) => unknown,
  { atBytes = 2 * MiB, rate = 8 * MiB } = {},
): Promise<TransferResult | TransferError> {
  const run = copy({ chunkBytes: CHUNK, workers: 2, ...options, limitBytesPerSecond: rate });
  let disturbed = false;
  for await (const event of run) {
    if (disturbed || event.type !== 'progress' || event.bytesDone < atBytes) continue;
    disturbed = true;
    await disturb(run);
    await run.setLimit(0);
  }
  const ended = await run.result.catch((error: unknown) => error as TransferError);
  if (!disturbed) throw new Error('the copy ended before it could be disturbed', { cause: ended });
  return ended;
}

/** Leaves a partial copy of which at least `atBytes` are done, and answers how many bytes are on record. */
export async function partialCopy(options: CopyOptions, atBytes = 2 * MiB): Promise<void> {
  const ended = await disturbedCopy(options, (run) => run.suspend(), { atBytes });
  expect(ended).toMatchObject({ code: 'E_STOPPED', exitCode: 130 });
}

/** What an error must have to be of use to a person: its code, its exit code, the thing's name and a way out. */
export function expectClear(
  thrown: unknown,
  expected: { readonly code: string; readonly exitCode: number; readonly names: string; readonly says?: RegExp },
): asserts thrown is TransferError {
  expect(thrown).toBeInstanceOf(TransferError);
  const error = thrown as TransferError;
  expect({ code: error.code, exitCode: error.exitCode, message: error.message }).toMatchObject({
    code: expected.code,
    exitCode: expected.exitCode,
    message: expect.stringContaining(expected.names),
  });
  expect(error.detail.hint, 'the hint').toMatch(expected.says ?? /\w.*\./);
}

/** Names in the folder that only an unfinished copy may leave. */
export function leftIn(folder: string): string[] {
  return readdirSync(folder).filter((name) => name.includes('blockferry'));
}

/** Fails unless both files have the same bytes. */
export function expectSame(one: string | Buffer, other: string | Buffer): void {
  expect(firstDifference(one, other), 'the first byte that differs').toBe(-1);
}

/** Where the files begin to differ, -1 where they do not; `length` bounds the comparison, for devices. */
export function firstDifference(one: string | Buffer, other: string | Buffer, length?: number): number {
  const fds = [openSync(one, 'r'), openSync(other, 'r')] as const;
  const blocks = [Buffer.alloc(MiB), Buffer.alloc(MiB)] as const;
  try {
    if (length === undefined && statSync(one).size !== statSync(other).size) {
      return Math.min(statSync(one).size, statSync(other).size);
    }
    for (let at = 0; at < (length ?? Infinity); ) {
      const room = Math.min(MiB, (length ?? Infinity) - at);
      const [first, second] = fds.map((fd, n) =>
        blocks[n as 0 | 1].subarray(0, readSync(fd, blocks[n as 0 | 1], 0, room, at)),
      );
      if (!first?.length && !second?.length) return -1;
      if (!first || !second?.equals(first))
        return at + (first ?? Buffer.alloc(0)).findIndex((byte, n) => byte !== second?.[n]);
      at += first.length;
    }
    return -1;
  } finally {
    for (const fd of fds) closeSync(fd);
  }
}

/** Nothing stands under the target's name; the partial copy and its journal are there. */
export function expectPartialOnly({ target, part, journal }: Omit<Pair, 'source'>): void {
  expect([target, part, journal].map((path) => existsSync(path))).toEqual([false, true, true]);
}

/** The target is whole, and nothing else is left in its folder. */
export function expectDone({ source, target, folder }: Pair): void {
  expectSame(source, target);
  expect(leftIn(folder)).toEqual([]);
}

/** Writes bytes into the middle of a file. */
export function patch(path: string, position: number, bytes: Uint8Array): void {
  const fd = openSync(path, 'r+');
  writeSync(fd, bytes, 0, bytes.length, position);
  closeSync(fd);
}

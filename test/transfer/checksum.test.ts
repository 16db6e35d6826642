import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { MiB } from '../../src/core/units.js';
import { type CopyOptions, copy, type ProgressEvent, TransferError, type TransferResult } from '../../src/index.js';
import { blockferry, eventsOf, workFolder } from '../e2e/command.js';
import {
  CHUNK,
  copyNow,
  expectClear,
  expectDone,
  expectPartialOnly,
  failureOf,
  pairIn,
  scratchFolder,
} from '../support/copying.js';
import { runCrashChild } from '../support/crash-run.js';

const SIZE = 6 * MiB + 4097;
const WRONG = '0'.repeat(64);

function sha256(path: string): string {
  return createHash('sha256').update(readFileSync(path)).digest('hex');
}

const wanted = (expected?: string): Pick<CopyOptions, 'checksum'> => ({
  checksum: { algorithm: 'sha256', ...(expected !== undefined && { expected }) },
});

/** The progress events of the reading for the checksum, and how the copy ended. */
async function watched(options: CopyOptions, meanwhile: (event: ProgressEvent) => void = () => undefined) {
  const run = copy({ chunkBytes: CHUNK, workers: 2, ...options });
  const seen: ProgressEvent[] = [];
  for await (const event of run) {
    if (event.type !== 'progress' || event.phase !== 'checksumming') continue;
    seen.push(event);
    meanwhile(event);
  }
  return { seen, ended: await run.result.catch((error: unknown) => error as TransferError) };
}

test.for([false, true])(
  'the checksum of the finished copy is that of the source, whatever its size (readBack %s)',
  async (readBack) => {
    for (const size of [0, 1, CHUNK, SIZE]) {
      const pair = pairIn(scratchFolder(), size);
      const { checksum } = await copyNow({ ...pair, ...wanted(), readBack });
      expect(checksum).toEqual({ algorithm: 'sha256', value: sha256(pair.source) });
      expectDone(pair);
    }
  },
);

test('an expected value, in capitals too, is compared and confirmed', async () => {
  const pair = pairIn(scratchFolder(), SIZE);
  const expected = sha256(pair.source);
  const { checksum } = await copyNow({ ...pair, ...wanted(expected.toUpperCase()) });
  expect(checksum).toEqual({ algorithm: 'sha256', value: expected, expected });
});

test('another value than the expected one gives the target no name, and loses nothing', async () => {
  const pair = pairIn(scratchFolder(), SIZE);
  const right = sha256(pair.source);
  const failure = await failureOf(copyNow({ ...pair, ...wanted(WRONG) }));
  expectClear(failure, { code: 'E_INTEGRITY', exitCode: 4, names: pair.target, says: /--discard/ });
  expect(failure.message).toContain(right);
  expect(failure.message).toContain(WRONG);
  expectPartialOnly(pair);
  expect(await copyNow({ ...pair, ...wanted(right) })).toMatchObject({ bytesReused: SIZE, bytesCopied: 0 });
  expectDone(pair);
});

test('what is no SHA-256 is refused before anything is looked at', async () => {
  const pair = pairIn(scratchFolder(), 10);
  for (const expected of ['', 'abc', `${WRONG}0`, `g${WRONG.slice(1)}`]) {
    expect(() => copy({ ...pair, ...wanted(expected) })).toThrow(TransferError);
  }
  const { folder } = await workFolder(10);
  for (const value of ['md5', 'sha256:', 'sha256:12', `sha256:${WRONG} `]) {
    const { exitCode, err } = await blockferry(folder, 'copy', 'disk.img', 'to.img', '--checksum', value).ended;
    expect([exitCode, err]).toEqual([2, expect.stringContaining('64 hex digits')]);
  }
  expect(existsSync(join(folder, 'to.img'))).toBe(false);
});

test('reading for the checksum obeys the limit, tells how far it is, and can be stopped', async () => {
  const pair = pairIn(scratchFolder(), 16 * MiB);
  await copyNow({ ...pair, ...wanted(WRONG) }).catch(() => undefined);
  const stop = new AbortController();
  const options = { ...pair, ...wanted(), limitBytesPerSecond: 8 * MiB, signal: stop.signal };
  const { seen, ended } = await watched(options, ({ readBack, spent }) => {
    if (readBack && readBack.bytesDone > 0 && spent.limitMs > 0) stop.abort();
  });
  expect(ended).toMatchObject({ code: 'E_STOPPED', exitCode: 130 });
  expect(seen.at(-1)?.readBack).toMatchObject({ bytesTotal: 16 * MiB });
  expect(seen.at(-1)?.spent.limitMs).toBeGreaterThan(0);
  expectPartialOnly(pair);
  expect(await copyNow({ ...pair, ...wanted(sha256(pair.source)) })).toMatchObject({ bytesReused: 16 * MiB });
  expectDone(pair);
});

test('a target that got its name before a crash is read for the checksum by the run that tidies up', async () => {
  const pair = pairIn(scratchFolder(), SIZE);
  const options = { source: pair.source, target: pair.target, chunkBytes: CHUNK };
  const kill = { at: 'file-call', call: 'publishNew', nth: 1, when: 'after' } as const;
  expect((await runCrashChild(options, kill)).killed).toBe(true);
  const failure = await failureOf(copyNow({ ...pair, ...wanted(WRONG) }));
  expectClear(failure, { code: 'E_INTEGRITY', exitCode: 4, names: pair.target, says: /earlier run/ });
  const value = sha256(pair.source);
  expect(await copyNow({ ...pair, ...wanted(value) })).toMatchObject({ checksum: { value }, bytesCopied: 0 });
  expectDone(pair);
});

test('the command tells the value in the form that sha256sum -c reads, and in its JSON', async () => {
  const { folder } = await workFolder(SIZE);
  const value = sha256(join(folder, 'disk.img'));
  const told = await blockferry(folder, 'copy', 'disk.img', 'one.img', '--checksum', `sha256:${value}`).ended;
  expect(told.out).toContain(`  SHA256 (${join(folder, 'one.img')}) = ${value}\n`);
  expect(told.out).toContain('SHA-256 as expected');
  execFileSync('sha256sum', ['-c', '--ignore-missing'], { input: told.out, stdio: 'pipe' });
  const json = await blockferry(folder, 'copy', 'disk.img', 'two.img', '--checksum', 'sha256', '--json').ended;
  const result = eventsOf(json.out).at(-1) as unknown as TransferResult;
  expect(result.checksum).toEqual({ algorithm: 'sha256', value });
  const wrong = await blockferry(folder, 'copy', 'disk.img', 'three.img', '--checksum', `sha256:${WRONG}`).ended;
  expect([wrong.exitCode, wrong.err]).toEqual([4, expect.stringContaining(value)]);
});

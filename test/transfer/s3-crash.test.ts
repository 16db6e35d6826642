import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { MiB } from '../../src/core/units.js';
import type { CopyOptions } from '../../src/index.js';
import { startCopy } from '../support/copy-process.js';
import { runCrashChild, statusOf } from '../support/crash-run.js';
import { BUCKET, getObject, needCeph, putObject, uploadsOf } from '../support/s3-bucket.js';
import { Seeded, writeMixedFile } from '../support/seeded.js';

const CHUNK = 5 * MiB;
const SIZE = 33 * MiB + 12_345;
const LANES = 2;
const RATE = 7 * MiB;
const seed = Number(process.env.BLOCKFERRY_CRASH_SEED ?? 4711);
const seeded = new Seeded(seed);
const scratch = mkdtempSync(join(tmpdir(), 's3-crash-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

let files = 0;
function newFile(): { readonly path: string; readonly bytes: Buffer; readonly name: string } {
  const name = `disk-${++files}`;
  const path = join(scratch, name);
  writeMixedFile(path, SIZE, seeded);
  return { path, bytes: readFileSync(path), name };
}

/** Slow enough that it can be killed at a moment of choice. */
const options = (source: string, target: string): CopyOptions => ({
  ...{ source, target, chunkBytes: CHUNK, lanes: LANES, workers: 2, limitBytesPerSecond: RATE },
});

/** All that is done and not on record is sent again, and no more: two seconds of it, and what the lanes had begun. */
const UNRECORDED_MAX = 2 * 2 * RATE + LANES * CHUNK;

test('a killed upload is taken up by the next run, which sends only what was not on record', async (context) => {
  const one = await needCeph(context);
  const { path, bytes, name } = newFile();
  const upload = options(path, `s3://${BUCKET}/${name}`);
  const first = await runCrashChild(upload, { at: 'progress', bytes: seeded.int(1, SIZE / 2) });
  expect(first.killed, first.errorOutput).toBe(true);
  const second = await runCrashChild(upload, { at: 'checkpoint', nth: 1 });
  expect(second.killed, second.errorOutput).toBe(true);
  expect(await getObject(one, name)).toBeUndefined();
  expect(await uploadsOf(one, name)).toHaveLength(1);
  const claimed = (await statusOf(upload.target)).partial?.bytesClaimed ?? 0;
  expect(claimed).toBeGreaterThan(0);
  const last = await runCrashChild(upload, { at: 'never' });
  expect(last.exitCode, last.errorOutput).toBe(0);
  expect(last.result).toMatchObject({ bytesReused: claimed, bytesCopied: SIZE - claimed });
  expect(second.bytesDone - claimed).toBeLessThanOrEqual(UNRECORDED_MAX);
  expect((await getObject(one, name))?.equals(bytes)).toBe(true);
  expect(await uploadsOf(one, name)).toEqual([]);
});

test('an upload outlives a kill -9 of the server, and goes on when it is back', async (context) => {
  const one = await needCeph(context);
  const { path, bytes, name } = newFile();
  const run = startCopy(options(path, `s3://${BUCKET}/${name}`));
  await run.reached(seeded.int(1, SIZE / 2));
  await one.killGateway();
  await one.startGateway();
  const { result, error } = await run.ended;
  expect(error).toBeUndefined();
  expect(result?.bytesCopied).toBe(SIZE);
  expect((await getObject(one, name))?.equals(bytes)).toBe(true);
});

test('an upload of which both client and server are killed is taken up when the server is back', {
  timeout: 120_000,
}, async (context) => {
  const one = await needCeph(context);
  const { path, bytes, name } = newFile();
  const upload = options(path, `s3://${BUCKET}/${name}`);
  const run = startCopy(upload);
  await run.reached(SIZE * 0.9);
  await one.killGateway();
  await run.kill();
  await one.startGateway();
  const last = await runCrashChild(upload, { at: 'never' });
  expect(last.exitCode, last.errorOutput).toBe(0);
  expect(last.result?.bytesReused).toBeGreaterThan(0);
  expect((await getObject(one, name))?.equals(bytes)).toBe(true);
});

test('a download outlives a kill -9 of the server, and one of its own', async (context) => {
  const one = await needCeph(context);
  const { bytes, name } = newFile();
  await putObject(one, name, bytes);
  const target = join(scratch, `${name}-copy`);
  const download = options(`s3://${BUCKET}/${name}`, target);
  const first = startCopy(download);
  await first.reached(seeded.int(1, SIZE / 3));
  await one.killGateway();
  await one.startGateway();
  await first.reached(SIZE * 0.9);
  await first.kill();
  const last = await runCrashChild(download, { at: 'never' });
  expect(last.exitCode, last.errorOutput).toBe(0);
  expect(last.result?.bytesReused).toBeGreaterThan(0);
  expect(readFileSync(target).equals(bytes)).toBe(true);
});

test('an object that is replaced between two runs is refused, and the partial copy is kept', async (context) => {
  const one = await needCeph(context);
  const { bytes, name } = newFile();
  await putObject(one, name, bytes);
  const target = join(scratch, `${name}-copy`);
  const download = options(`s3://${BUCKET}/${name}`, target);
  const first = await runCrashChild(download, { at: 'checkpoint', nth: 1 });
  expect(first.killed, first.errorOutput).toBe(true);
  await putObject(one, name, seeded.bytes(SIZE));
  const second = await runCrashChild(download, { at: 'never' });
  expect(second.error?.code).toBe('E_PART_OTHER_SOURCE');
  await putObject(one, name, bytes);
  const third = await runCrashChild(download, { at: 'never' });
  expect(third.exitCode, third.errorOutput).toBe(0);
  expect(third.result?.bytesReused).toBeGreaterThan(0);
  expect(readFileSync(target).equals(bytes)).toBe(true);
  writeFileSync(target, '');
});

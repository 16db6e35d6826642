import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { systemClock } from '../../src/core/clock.js';
import type { EndpointRef } from '../../src/core/endpoint.js';
import { TransferError } from '../../src/core/errors.js';
import type { Target } from '../../src/core/target.js';
import { MiB } from '../../src/core/units.js';
import type { EndpointScheme } from '../../src/endpoint/registry.js';
import { s3Scheme } from '../../src/endpoint/s3.js';
import { type LeftoversOptions, leftovers } from '../../src/index.js';
import type { TransferResult } from '../../src/transfer/transfer-result.js';
import { type InlineOptions, inlineTransfer } from '../support/inline-copy.js';
import { BUCKET, getObject, needCeph, putObject, replacePart, uploadsOf } from '../support/s3-bucket.js';
import { Seeded, writeMixedFile } from '../support/seeded.js';

const CHUNK = 5 * MiB;
const CHUNKS = 4;
const SIZE = (CHUNKS - 1) * CHUNK + 77_777;

const scratch = mkdtempSync(join(tmpdir(), 's3-upload-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));
const source = join(scratch, 'disk');
let bytes: Buffer;
beforeAll(() => {
  writeMixedFile(source, SIZE, new Seeded(41));
  bytes = readFileSync(source);
});

/** The scheme, with targets that were changed a little. */
function changed(change: (target: Target) => Partial<Target>): EndpointScheme {
  const scheme = s3Scheme();
  const attachTarget = async (ref: EndpointRef): Promise<Target> => {
    const target = await scheme.attachTarget?.(ref);
    if (!target) throw new Error('no target');
    return Object.assign(Object.create(target) as Target, bound(target), change(target));
  };
  return { ...scheme, attachTarget };
}

/** Private fields want their own object. */
function bound(target: Target): Target {
  return {
    ref: target.ref,
    openChunk: (range, signal) => target.openChunk(range, signal),
    holds: async (range, expected, signal) => (await target.holds?.(range, expected, signal)) ?? false,
    flush: () => target.flush(),
    mark: () => target.mark(),
    commit: (request) => target.commit(request),
    close: () => target.close(),
  };
}

function upload(key: string, options: Partial<InlineOptions> = {}, scheme = s3Scheme()): Promise<TransferResult> {
  const text = `s3://${BUCKET}/${key}`;
  const target = { scheme: 's3', text, name: text };
  const registry = { s3: () => scheme };
  const about = { source, target, registry, chunkBytes: CHUNK, lanes: 1, clock: systemClock };
  return inlineTransfer({ ...about, ...options }).run();
}

/** Sends so many chunks, and fails for good. */
async function uploadSome(key: string, chunks: number): Promise<void> {
  let sent = 0;
  const scheme = changed((target) => ({
    openChunk: (range, signal) => {
      if (sent++ >= chunks) throw new TransferError('E_AUTH', 'the key has expired');
      return target.openChunk(range, signal);
    },
  }));
  await expect(upload(key, {}, scheme)).rejects.toThrow(/expired/);
}

test('the next run asks the server what it holds, and sends only the rest', async (context) => {
  const one = await needCeph(context);
  await uploadSome('resumed', 2);
  const { bytesReused, bytesCopied } = await upload('resumed');
  expect({ bytesReused, bytesCopied }).toEqual({ bytesReused: 2 * CHUNK, bytesCopied: SIZE - 2 * CHUNK });
  expect((await getObject(one, 'resumed'))?.equals(bytes)).toBe(true);
});

test('a part that somebody replaced between two runs is sent again', async (context) => {
  const one = await needCeph(context);
  await uploadSome('tampered', 3);
  await replacePart(one, 'tampered', 2, new Seeded(42).bytes(CHUNK));
  const { bytesReused, bytesMismatched } = await upload('tampered');
  expect({ bytesReused, bytesMismatched }).toEqual({ bytesReused: 2 * CHUNK, bytesMismatched: CHUNK });
  expect((await getObject(one, 'tampered'))?.equals(bytes)).toBe(true);
});

test('a part that somebody replaces while the copy runs gives the object no name', async (context) => {
  const one = await needCeph(context);
  const scheme = changed((target) => ({
    commit: async (request) => {
      await replacePart(one, 'replaced', 1, new Seeded(43).bytes(CHUNK));
      return target.commit(request);
    },
  }));
  await expect(upload('replaced', {}, scheme)).rejects.toMatchObject({ code: 'E_TARGET_CHANGED' });
  expect(await getObject(one, 'replaced')).toBeUndefined();
  const { bytesMismatched } = await upload('replaced');
  expect(bytesMismatched).toBe(CHUNK);
  expect((await getObject(one, 'replaced'))?.equals(bytes)).toBe(true);
});

test('an upload that somebody aborted is begun afresh', async (context) => {
  const one = await needCeph(context);
  await uploadSome('aborted', 2);
  const [uploadId = ''] = await uploadsOf(one, 'aborted');
  await one.client.fetch(`${one.endpoint}/${BUCKET}/aborted?uploadId=${uploadId}`, { method: 'DELETE' });
  const { bytesReused } = await upload('aborted');
  expect(bytesReused).toBe(0);
  expect((await getObject(one, 'aborted'))?.equals(bytes)).toBe(true);
});

test('--discard aborts the unfinished upload', async (context) => {
  const one = await needCeph(context);
  await uploadSome('discarded', 2);
  const [before] = await uploadsOf(one, 'discarded');
  await expect(
    upload(
      'discarded',
      { discard: true },
      changed(() => ({ openChunk: failing })),
    ),
  ).rejects.toThrow(/expired/);
  const after = await uploadsOf(one, 'discarded');
  expect(after).toHaveLength(1);
  expect(after[0]).not.toBe(before);
});

function failing(): never {
  throw new TransferError('E_AUTH', 'the key has expired');
}

test('a commit whose end was never heard of is known by the next run, which sends nothing', async (context) => {
  const one = await needCeph(context);
  const scheme = changed((target) => ({
    commit: async (request) => {
      await target.commit(request);
      throw new TransferError('E_NETWORK', 'the line is dead');
    },
  }));
  await expect(upload('unheard', {}, scheme)).rejects.toThrow(/dead/);
  expect((await getObject(one, 'unheard'))?.equals(bytes)).toBe(true);
  const { bytesCopied } = await upload(
    'unheard',
    {},
    changed(() => ({ openChunk: failing })),
  );
  expect(bytesCopied).toBe(0);
});

test('a server that is away when a cut commit is looked for costs no finished work', async (context) => {
  const one = await needCeph(context);
  const scheme = changed(() => ({
    commit: () => Promise.reject(new TransferError('E_NETWORK', 'the line is dead')),
  }));
  await expect(upload('away', {}, scheme)).rejects.toThrow(/dead/);
  const away = { ...s3Scheme(), finishCommit: () => Promise.reject(new TransferError('E_NETWORK', 'it is away')) };
  await expect(upload('away', {}, away)).rejects.toThrow(/away/);
  const { bytesReused } = await upload('away');
  expect(bytesReused).toBe(SIZE);
  expect((await getObject(one, 'away'))?.equals(bytes)).toBe(true);
});

test('many chunks under way at once are no reason for a warning', async (context) => {
  const one = await needCeph(context);
  await putObject(one, 'many', bytes);
  const warnings: string[] = [];
  const onWarning = ({ message }: Error): void => void warnings.push(message);
  process.on('warning', onWarning);
  const text = `s3://${BUCKET}/many`;
  const target = join(scratch, 'many');
  const registry = { s3: () => s3Scheme() };
  const about = { source: { scheme: 's3', text, name: text }, target, registry, clock: systemClock };
  await inlineTransfer({ ...about, chunkBytes: MiB, lanes: 16 }).run();
  process.off('warning', onWarning);
  expect(readFileSync(target).equals(bytes)).toBe(true);
  expect(warnings).toEqual([]);
});

test('an object that appears meanwhile is left as it is, and --overwrite needs no byte again', async (context) => {
  const one = await needCeph(context);
  const scheme = changed((target) => ({
    commit: async (request) => {
      await putObject(one, 'appeared', Buffer.from('of somebody else'));
      return target.commit(request);
    },
  }));
  await expect(upload('appeared', {}, scheme)).rejects.toMatchObject({ code: 'E_TARGET_EXISTS' });
  expect(String(await getObject(one, 'appeared'))).toBe('of somebody else');
  const { bytesReused } = await upload('appeared', { overwrite: true });
  expect(bytesReused).toBe(SIZE);
  expect((await getObject(one, 'appeared'))?.equals(bytes)).toBe(true);
});

test('uploads that nobody finished are listed, and aborted but for those that can go on', async (context) => {
  const one = await needCeph(context);
  const foreign = 'left/of + somebody & else ';
  const begun = await one.client.fetch(`${one.endpoint}/${BUCKET}/${encodeURIComponent(foreign)}?uploads=`, {
    method: 'POST',
  });
  expect(begun.ok).toBe(true);
  await uploadSome('left/ours', 1);
  // Of our own key, and not the one that our journal goes on with.
  await one.client.fetch(`${one.endpoint}/${BUCKET}/left/ours?uploads=`, { method: 'POST' });
  const listed = async (options: LeftoversOptions = {}) => {
    const found = await leftovers(`s3://${BUCKET}/left/`, options);
    return found
      .map(({ name, resumable, aborted }) => `${name}: ${resumable ? 'goes on' : aborted ? 'aborted' : ''}`)
      .sort();
  };
  const [theirs, ours] = [`s3://${BUCKET}/${foreign}`, `s3://${BUCKET}/left/ours`];
  const young = [`${theirs}: `, `${ours}: `, `${ours}: goes on`];
  expect(await listed()).toEqual(young);
  expect(await listed({ abortBeforeMs: 1000 })).toEqual(young);
  const aborted = [`${theirs}: aborted`, `${ours}: aborted`, `${ours}: goes on`];
  expect(await listed({ abortBeforeMs: Number.POSITIVE_INFINITY })).toEqual(aborted);
  expect(await listed()).toEqual([`${ours}: goes on`]);
  const { bytesReused } = await upload('left/ours');
  expect(bytesReused).toBe(CHUNK);
  expect(await listed()).toEqual([]);
});

/** The bench finds wrong copies by itself. */
import { mkdtempSync, rmSync } from 'node:fs';
import { copyFile, open, truncate } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { assertSame, assertSameSparse } from '../../../bench/compare.js';
import { SPARSE_BYTES, Workspace } from '../../../bench/workspace.js';
import { GiB, KiB, MiB } from '../../../src/core/units.js';

const never = new AbortController().signal;
let folder = '';
let workspace: Workspace;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'blockferry-bench-test-'));
  workspace = await Workspace.open(folder, 0, never);
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

async function change(path: string, position: number, bytes: Uint8Array): Promise<void> {
  const file = await open(path, 'r+');
  await file.write(bytes, 0, bytes.length, position);
  await file.close();
}

test('a copy that is the same passes; one changed byte or one missing byte is found', async () => {
  const source = await workspace.source(5 * MiB);
  const target = workspace.path('copy');
  await copyFile(source, target);
  await assertSame(source, target, never);

  const file = await open(target, 'r+');
  const last = Buffer.alloc(1);
  await file.read(last, 0, 1, 5 * MiB - 1);
  await file.close();
  await change(target, 5 * MiB - 1, Uint8Array.of(255 - (last[0] ?? 0)));
  await expect(assertSame(source, target, never)).rejects.toMatchObject({ code: 'E_INTEGRITY' });

  await copyFile(source, target);
  await truncate(target, 5 * MiB - 1);
  await expect(assertSame(source, target, never)).rejects.toThrow(/has 5242879 bytes, expected 5242880/);
});

test('a sparse copy with data where its source has a hole is found', async (context) => {
  const dataBytes = 4 * MiB;
  const source = await workspace.sparseSource(dataBytes).catch(() => undefined);
  context.skip(source === undefined, 'needs a file system with files of 5 TiB');
  if (source === undefined) return;
  // A file compared with itself is the one copy of 5 TiB that costs nothing.
  await assertSameSparse(source, source, dataBytes, never);
  await change(source, SPARSE_BYTES / 2 - 8 * MiB, Buffer.alloc(2 * MiB, 1));
  await expect(assertSameSparse(source, source, dataBytes, never)).rejects.toThrow(
    /allocated where the source has holes/,
  );
});

test('the bench refuses a folder without enough space before it writes anything', async () => {
  const opening = Workspace.open(folder, 1024 ** 2 * GiB, never);
  await expect(opening).rejects.toMatchObject({ code: 'E_NO_SPACE' });
});

test('a source is made once, at the size that was asked for', async () => {
  const source = await workspace.source(64 * KiB);
  expect(await workspace.source(64 * KiB)).toBe(source);
  const file = await open(source);
  expect((await file.stat()).size).toBe(64 * KiB);
  await file.close();
});

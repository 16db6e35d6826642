import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { systemClock } from '../../../src/core/clock.js';
import { loadHasher } from '../../../src/core/digest.js';
import { TransferError } from '../../../src/core/errors.js';
import { localScheme } from '../../../src/endpoint/local.js';
import { type FileLayer, realFiles } from '../../../src/platform/file-layer.js';
import { BlockBuffers } from '../../../src/transfer/block-buffers.js';
import { ControlBlock } from '../../../src/transfer/control-block.js';
import type { ChunkHost } from '../../../src/transfer/hash-range.js';
import { Pace } from '../../../src/transfer/pace.js';
import type { FileFinding, FileToVerify } from '../../../src/transfer/requests.js';
import { verifyFiles } from '../../../src/transfer/verify-files.js';
import { bytesOf, scratchFolder } from '../../support/copying.js';

async function fileOf(path: string, bytes: Uint8Array): Promise<FileToVerify> {
  const hasher = (await loadHasher('sha256'))();
  hasher.update(bytes);
  const digests = { algorithm: 'sha256', chunkBytes: 1 << 20, bytes: hasher.digest() } as const;
  return { path, size: bytes.length, range: { offset: 0, length: bytes.length }, digests };
}

async function findings(
  folder: string,
  list: readonly FileToVerify[],
  files: Partial<FileLayer>,
  control = ControlBlock.create(),
): Promise<FileFinding[]> {
  const host: ChunkHost = {
    control,
    clock: systemClock,
    pace: new Pace(control.pace, systemClock),
    buffers: new BlockBuffers(),
    newHasher: await loadHasher('sha256'),
    signal: new AbortController().signal,
  };
  const scheme = localScheme({ ...realFiles, ...files });
  const open = scheme.openSource as NonNullable<typeof scheme.openSource>;
  const task = { folder, files: list, blockBytes: 65_536, control: control.shared };
  return verifyFiles(task, { open, host: async () => host });
}

test('a file that cannot be read is one finding, and those behind it are verified all the same', async () => {
  const folder = scratchFolder();
  mkdirSync(join(folder, 'sub'));
  const bytes = bytesOf(200_000, 'file');
  for (const name of ['bad', 'sub/good', 'wrong']) writeFileSync(join(folder, name), bytes);
  const wrong = await fileOf('wrong', bytesOf(200_000, 'other'));
  const list = [await fileOf('bad', bytes), await fileOf('sub/good', bytes), wrong];
  const failing: Partial<FileLayer> = {
    openSync: ((path: string, flags: number) => {
      if (path.endsWith('/bad')) throw Object.assign(new Error('EACCES: permission denied'), { code: 'EACCES' });
      return realFiles.openSync(path, flags);
    }) as FileLayer['openSync'],
  };
  expect(await findings(folder, list, failing)).toEqual([
    { at: 0, problem: 'unreadable', reason: expect.stringContaining('EACCES') },
    { at: 2, problem: 'different', differing: [{ offset: 0, length: 200_000 }] },
  ]);
});

test('a stop is no finding', async () => {
  const folder = scratchFolder();
  const bytes = bytesOf(1000, 'file');
  writeFileSync(join(folder, 'file'), bytes);
  const control = ControlBlock.create();
  control.stop();
  const stopped = await findings(folder, [await fileOf('file', bytes)], {}, control).catch((error: unknown) => error);
  expect(stopped).toBeInstanceOf(TransferError);
  expect(stopped).toMatchObject({ code: 'E_STOPPED' });
});

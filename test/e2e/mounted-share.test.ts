import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, type TestContext, test, vi } from 'vitest';
import { MiB } from '../../src/core/units.js';
import { copy, status } from '../../src/index.js';
import { startCopy } from '../support/copy-process.js';
import {
  CHUNK,
  copyNow,
  expectDone,
  expectSame,
  makeFile,
  pairIn,
  scratchFolder,
  targetIn,
} from '../support/copying.js';
import { runCrashChild } from '../support/crash-run.js';
import { mountShare, type ShareMount, whyNoShare } from '../support/fuse-mount.js';
import { copyNoting } from '../support/noting.js';
import { type Samba, startSamba } from '../support/samba.js';
import { blockferry } from './command.js';

const SIZE = 24 * MiB + 4711;

interface Share {
  readonly samba: Samba;
  readonly mount: ShareMount;
}

async function share(context: TestContext): Promise<Share> {
  const reason = whyNoShare();
  context.skip(reason !== '', reason);
  const samba = await startSamba(scratchFolder());
  onTestFinished(() => samba.stop());
  const mount = await mountShare(samba);
  onTestFinished(() => mount.stop());
  return { samba, mount };
}

test('a file is copied to a mounted share and back', async (context) => {
  const { samba, mount } = await share(context);
  const pair = pairIn(mount.folder, SIZE);
  await copyNow({ source: pair.source, target: pair.target });
  expectDone(pair);
  const back = targetIn(scratchFolder());
  await copyNow({ source: pair.target, target: back.target });
  expectSame(pair.source, back.target);
  // What was flushed is with the mount, which hands it on when the file is closed.
  await vi.waitFor(() => expectSame(join(samba.folder, 'target.img'), pair.source), { timeout: 20_000 });
  // rclone makes a folder of its own there, whose name is a wide dot.
  expect(readdirSync(samba.folder).filter((name) => name !== '．')).toEqual(['target.img']);
});

test('attributes that a share does not keep are told, to it and from it, and fail nothing', async (context) => {
  const { mount } = await share(context);
  const { folder, ...pair } = pairIn(mount.folder, MiB);
  const there = await copyNoting({ ...pair, preserve: true });
  expectSame(pair.source, pair.target);
  expect(there.notes.join()).toMatch(/extended attributes could not be kept/);
  const { target } = targetIn(scratchFolder());
  const back = await copyNoting({ source: pair.target, target, preserve: true });
  expectSame(pair.source, target);
  expect(back.notes.join()).toMatch(/extended attributes could not be read/);
  expect(readdirSync(folder).filter((name) => name.includes('blockferry'))).toEqual([]);
});

test('a copy from a share goes on after the share was mounted anew: inode numbers are not asked', async (context) => {
  const { samba, mount } = await share(context);
  makeFile(join(samba.folder, 'source.img'), SIZE);
  const { target, folder } = targetIn(scratchFolder());
  const options = { source: join(mount.folder, 'source.img'), target, chunkBytes: CHUNK, workers: 2 };
  const first = startCopy({ ...options, limitBytesPerSecond: 6 * MiB });
  await first.event(({ type }) => type === 'checkpoint');
  await first.kill();
  const claimed = (await status(target)).partial?.bytesClaimed ?? 0;
  await mount.unmount();
  await mount.mount();
  const { bytesReused } = await copy(options).result;
  expect(bytesReused).toBeGreaterThanOrEqual(claimed);
  expectSame(join(samba.folder, 'source.img'), target);
  expect(readdirSync(folder)).toEqual(['target.img']);
});

test('a copy to a share goes on after it was killed and the share was mounted anew', async (context) => {
  const { mount } = await share(context);
  const pair = pairIn(mount.folder, SIZE);
  const options = { source: pair.source, target: pair.target, chunkBytes: CHUNK, workers: 2 };
  const first = startCopy({ ...options, limitBytesPerSecond: 6 * MiB });
  await first.event(({ type }) => type === 'checkpoint');
  await first.kill();
  const claimed = (await status(pair.target)).partial?.bytesClaimed ?? 0;
  await mount.unmount();
  await mount.mount();
  const { bytesReused } = await copy(options).result;
  expect(claimed).toBeGreaterThan(0);
  expect(bytesReused).toBeGreaterThanOrEqual(claimed);
  expectDone(pair);
});

test('a commit that was cut short is known also after the share was mounted anew', async (context) => {
  const { mount } = await share(context);
  const pair = pairIn(mount.folder, 4 * MiB);
  const options = { source: pair.source, target: pair.target, chunkBytes: CHUNK };
  const named = { at: 'file-call', call: 'publishNew', nth: 1, when: 'after' } as const;
  expect(await runCrashChild(options, named)).toMatchObject({ killed: true });
  expect(existsSync(pair.journal)).toBe(true);
  await mount.unmount();
  await mount.mount();
  expect(await copy(options).result).toMatchObject({ bytesReused: 4 * MiB, bytesCopied: 0 });
  expectDone(pair);
});

test('a mount that hangs stalls its own copy alone: others of the process go on', {
  timeout: 120_000,
}, async (context) => {
  const { mount } = await share(context);
  const stalled = pairIn(mount.folder, SIZE);
  const run = copy({ ...stalled, chunkBytes: CHUNK, workers: 2, limitBytesPerSecond: 6 * MiB });
  for await (const event of run) {
    if (event.type !== 'progress' || event.bytesDone < 4 * MiB) continue;
    mount.freeze();
    onTestFinished(() => mount.thaw());
    break;
  }
  // More than the process has threads for such things as names and files of its own.
  const others = Array.from({ length: 6 }, () => pairIn(scratchFolder(), SIZE));
  await Promise.all(others.map((pair) => copyNow({ source: pair.source, target: pair.target })));
  for (const pair of others) expectDone(pair);
  await run.suspend();
  await expect(run.result).rejects.toMatchObject({ code: 'E_STOPPED' });
  expect(run.stuck).toBe(true);
  mount.thaw();
  // The stopped copy puts its work on record and lets go, now that it can.
  const again = await vi.waitFor(() => copy({ ...stalled, chunkBytes: CHUNK, workers: 2 }).result, { timeout: 20_000 });
  expect(again.bytesReused).toBeGreaterThanOrEqual(4 * MiB);
  expectDone(stalled);
});

test.for([
  ['in the middle of a copy', true],
  ['before it has begun', false],
] as const)(
  'Ctrl-C leaves a mount that hangs %s, and says what is kept',
  {
    timeout: 120_000,
  },
  async ([, begun], context) => {
    const { mount } = await share(context);
    const pair = pairIn(mount.folder, SIZE);
    const args = ['copy', '--json', '--chunk-size', '256KiB', pair.source, pair.target];
    if (!begun) mount.freeze();
    const { child, event, ended } = blockferry(scratchFolder(), ...args, '--limit', '6MiB');
    await event(({ type }) => (begun ? type === 'checkpoint' : type === 'state'));
    if (begun) mount.freeze();
    onTestFinished(() => mount.thaw());
    let said = '';
    child.stderr.on('data', (text: string) => {
      said += text;
    });
    child.kill('SIGINT');
    await vi.waitFor(() => expect(said).toMatch(/A thread is stuck in a system call of the storage/), {
      timeout: 60_000,
    });
    expect(said).toMatch(/what was on record is kept\n {2}Go on with: /);
    // The kernel lets a process go only when the mount has answered what it was asked.
    mount.thaw();
    expect(await ended).toMatchObject({ exitCode: 130 });
    const again = await blockferry(scratchFolder(), ...args).ended;
    expect(again, again.err).toMatchObject({ exitCode: 0 });
    expectDone(pair);
  },
);

test('a copy whose mount hangs and comes back goes on by itself', async (context) => {
  const { mount } = await share(context);
  const pair = pairIn(mount.folder, SIZE);
  const run = copy({ ...pair, chunkBytes: CHUNK, workers: 2, limitBytesPerSecond: 8 * MiB });
  let frozen = false;
  for await (const event of run) {
    if (event.type !== 'progress' || event.bytesDone < 4 * MiB || frozen) continue;
    frozen = true;
    mount.freeze();
    mount.thaw();
  }
  await run.result;
  expectDone(pair);
});

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest';
import { nativeAvailable } from '../../../src/platform/libc.js';
import { type HeldLock, lockDescriptor } from '../../../src/platform/lock.js';

const native = nativeAvailable();
const built = new URL('../../../dist/src/platform/lock.js', import.meta.url);
const folder = mkdtempSync(join(tmpdir(), 'blockferry-lock-'));
afterAll(() => rmSync(folder, { recursive: true }));

function openFile(name: string): number {
  const fd = openSync(join(folder, name), 'a');
  onTestFinished(() => closeSync(fd));
  return fd;
}

async function lock(fd: number): Promise<HeldLock> {
  const answer = await lockDescriptor(fd);
  if (answer === 'busy') throw new Error('busy');
  onTestFinished(() => answer.release());
  return answer;
}

/** A process that holds the lock until it is killed, and says so. */
async function holder(name: string): Promise<ChildProcess> {
  const program = `
    import { openSync } from 'node:fs';
    import { lockDescriptor } from ${JSON.stringify(built.href)};
    const held = await lockDescriptor(openSync(process.argv[1], 'a'));
    process.stdout.write(held === 'busy' ? 'busy' : 'held');
    process.stdin.resume();
  `;
  const child = spawn(process.execPath, ['--input-type=module', '-e', program, '--', join(folder, name)], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  onTestFinished(() => void child.kill('SIGKILL'));
  const [said] = (await once(child.stdout as NonNullable<typeof child.stdout>, 'data')) as [Buffer];
  expect(said.toString()).toBe('held');
  return child;
}

const WAYS = [
  { way: 'with koffi', off: '0', possible: native },
  { way: 'without koffi', off: '1', possible: process.platform === 'linux' },
];

describe.each(WAYS)('$way', ({ way, off, possible }) => {
  beforeEach(() => {
    vi.stubEnv('BLOCKFERRY_NO_NATIVE', off);
    return () => void vi.unstubAllEnvs();
  });

  test.skipIf(!possible)('one opening of a file holds the lock, the next is told that it is busy', async () => {
    const [first, second] = [openFile(`${way}-one`), openFile(`${way}-one`)];
    const held = await lock(first);
    expect(await lockDescriptor(second)).toBe('busy');
    held.release();
    held.release();
    await vi.waitFor(async () => void (await lock(second)));
    expect(await lockDescriptor(first)).toBe('busy');
  });

  test.skipIf(!possible)('locks of two files do not meet', async () => {
    await lock(openFile(`${way}-left`));
    await lock(openFile(`${way}-right`));
  });

  test.skipIf(!possible || !existsSync(built))('a holder that is killed with -9 leaves no stale lock', async () => {
    const child = await holder(`${way}-killed`);
    const fd = openFile(`${way}-killed`);
    expect(await lockDescriptor(fd)).toBe('busy');
    child.kill('SIGKILL');
    await once(child, 'exit');
    await lock(fd);
  });

  test.skipIf(!possible || !existsSync(built))('a held lock keeps no process alive', async () => {
    const child = await holder(`${way}-alive`);
    child.stdin?.end();
    expect(await once(child, 'exit')).toEqual([0, null]);
  });
});

import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { expect, onTestFinished, test, vi } from 'vitest';
import { errnoOf } from '../../src/core/errors.js';
import { MiB } from '../../src/core/units.js';
import { status } from '../../src/index.js';
import { expectDone, pairIn } from '../support/copying.js';
import { mounted } from '../support/mounts.js';
import { blockferry } from './command.js';

const SIZE = 24 * MiB;

/** Whether a thread of the process waits in the kernel, where no signal reaches it (proc(5), state D). */
function hangs(pid: number): boolean {
  return readdirSync(`/proc/${pid}/task`).some((thread) => {
    try {
      return / D /.test(readFileSync(`/proc/${pid}/task/${thread}/stat`, 'latin1').replace(/^.*\)/, ''));
    } catch (thrown) {
      // Threads come and go.
      if (errnoOf(thrown) === 'ENOENT' || errnoOf(thrown) === 'ESRCH') return false;
      throw thrown;
    }
  });
}

test('a storage that hangs does not hold Ctrl-C: what is on record is kept, and the same command ends it later', {
  timeout: 120_000,
}, async (context) => {
  const mount = await mounted(context, 'ext4', 64);
  const pair = pairIn(mount.folder, SIZE);
  const args = ['copy', '--json', '--chunk-size', '256KiB', pair.source, pair.target];
  const { child, event, ended } = blockferry(pair.folder, ...args, '--limit', '4MiB');
  let said = '';
  child.stderr.on('data', (text: string) => {
    said += text;
  });
  await event(({ type }) => type === 'checkpoint');
  let frozen = true;
  const thaw = (): void => {
    if (frozen) execFileSync('fsfreeze', ['-u', mount.folder]);
    frozen = false;
  };
  execFileSync('fsfreeze', ['-f', mount.folder]);
  onTestFinished(thaw);
  await vi.waitFor(() => expect(hangs(child.pid as number)).toBe(true), { timeout: 20_000 });
  child.kill('SIGINT');
  await vi.waitFor(() => expect(said).toMatch(/A thread is stuck in a system call of the storage/), {
    timeout: 60_000,
  });
  expect(said).toMatch(/what was on record is kept\n {2}Go on with: .*copy --json/);
  // The kernel lets a process go only when its threads are back from the storage.
  thaw();
  expect(await ended).toMatchObject({ exitCode: 130 });
  const { partial } = await status(pair.target);
  expect(partial?.bytesClaimed).toBeGreaterThanOrEqual(4 * MiB);
  const again = await blockferry(pair.folder, ...args).ended;
  expect(again, again.err).toMatchObject({ exitCode: 0 });
  const result = JSON.parse(again.out.trim().split('\n').at(-1) as string) as { bytesReused: number };
  expect(result.bytesReused).toBe(partial?.bytesClaimed);
  expectDone(pair);
});

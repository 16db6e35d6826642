import { randomInt } from 'node:crypto';
import { mkdtempSync, readdirSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, expect, onTestFinished, test, vi } from 'vitest';
import { systemClock } from '../../src/core/clock.js';
import { KiB, MiB } from '../../src/core/units.js';
import { SftpClient } from '../../src/endpoint/sftp/client.js';
import { sftpScheme } from '../../src/endpoint/sftp.js';
import { type CopyOptions, copy, type TransferResult } from '../../src/index.js';
import { expectSame, makeFile, scratchFolder } from '../support/copying.js';
import { runCrashChild, statusOf } from '../support/crash-run.js';
import { inlineTransfer } from '../support/inline-copy.js';
import { Seeded } from '../support/seeded.js';
import { killHard, type Sshd, sshdMissing, startSshd } from '../support/sshd.js';

const missing = sshdMissing();
const seed = Number(process.env.BLOCKFERRY_CRASH_SEED ?? randomInt(2 ** 31));
const SIZE = 24 * MiB + 77;
/** Checkpoints are made every two seconds, so that there are some. */
const SLOW = { chunkBytes: 256 * KiB, workers: 2, limitBytesPerSecond: 8 * MiB } as const;
let sshd: Sshd;

beforeAll(async () => {
  if (missing === '') sshd = await startSshd();
});
afterAll(() => sshd?.stop());
beforeEach((context) => {
  context.skip(missing !== '', missing);
  vi.stubEnv('HOME', sshd.home);
  vi.stubEnv('SSH_AUTH_SOCK', '');
});
afterEach(() => void vi.unstubAllEnvs());

interface Ends {
  readonly source: string;
  readonly target: string;
  /** Both as paths of this machine. */
  readonly paths: readonly [string, string];
  readonly folder: string;
}

function endsOf(way: 'from' | 'to'): Ends {
  const folder = mkdtempSync(join(sshd.start, 'crash-'));
  const here = scratchFolder();
  const paths =
    way === 'to'
      ? ([join(here, 'disk'), join(folder, 'copy')] as const)
      : ([join(folder, 'disk'), join(here, 'copy')] as const);
  makeFile(paths[0], SIZE);
  utimesSync(paths[0], 1_600_000_000, 1_600_000_000);
  const [source, target] = way === 'to' ? [paths[0], sshd.url(paths[1])] : [sshd.url(paths[0]), paths[1]];
  return { source, target, paths, folder: way === 'to' ? folder : here };
}

function expectWhole({ paths, folder }: Ends): void {
  expectSame(...paths);
  expect(readdirSync(folder)).toEqual(['copy']);
}

/** Runs a copy; `disturb` is called when so many bytes are done, and then it goes on at full speed. */
async function disturbed(options: CopyOptions, atBytes: number, disturb: () => unknown): Promise<TransferResult> {
  const run = copy(options);
  let done = false;
  for await (const event of run) {
    if (done || event.type !== 'progress' || event.bytesDone < atBytes) continue;
    done = true;
    await disturb();
    await run.setLimit(0);
  }
  return run.result;
}

test.each(['from', 'to'] as const)(
  'a copy %s a server goes on after a kill -9, and sends again only what was not on record',
  async (way) => {
    const seeded = new Seeded(seed);
    const ends = endsOf(way);
    const options = { ...SLOW, source: ends.source, target: ends.target };
    const killed = await runCrashChild(options, { at: 'checkpoint', nth: 1 });
    expect(killed, `seed ${seed}`).toMatchObject({ killed: true });
    const recorded = (await statusOf(ends.target)).partial?.bytesClaimed ?? 0;
    expect(recorded, `seed ${seed}`).toBeGreaterThan(0);
    await runCrashChild({ ...options, limitBytesPerSecond: 0 }, { at: 'delay', ms: seeded.int(150, 900) });
    const { result, error } = await runCrashChild({ ...options, limitBytesPerSecond: 0 }, { at: 'never' });
    // Killed late enough, the run before may have done all of it.
    if (error?.code !== 'E_TARGET_EXISTS') expect({ seed, error, result }).toMatchObject({ error: undefined });
    expectWhole(ends);
    if (result) expect(result.bytesReused, `seed ${seed}`).toBeGreaterThanOrEqual(recorded);
  },
);

test.each(['from', 'to'] as const)(
  'a copy %s a server whose sessions are killed goes on with new ones',
  async (way) => {
    const ends = endsOf(way);
    const logins = (): number => sshd.log().match(/Accepted publickey/g)?.length ?? 0;
    let before = 0;
    const { bytesCopied } = await disturbed({ ...SLOW, ...ends }, 6 * MiB, () => {
      const sessions = sshd.sessions();
      expect(sessions).not.toEqual([]);
      before = logins();
      for (const pid of sessions) killHard(pid);
    });
    expect(logins()).toBeGreaterThan(before);
    expect(bytesCopied).toBe(SIZE);
    expectWhole(ends);
  },
);

test('a copy to a server that is started anew goes on when it is back', async () => {
  const ends = endsOf('to');
  const { port, scratch } = sshd;
  await disturbed({ ...SLOW, ...ends }, 6 * MiB, async () => {
    await sshd.stop(true);
    await sleep(300);
    sshd = await startSshd({ port, scratch });
  });
  expectWhole(ends);
});

test('a server that is stopped in its tracks is given up after a while, and a new session takes over', async () => {
  const client = new SftpClient({ silenceMs: 500, slowSilenceMs: 1000 });
  onTestFinished(() => client.close());
  const ends = endsOf('to');
  const registry = { sftp: () => sftpScheme(client) };
  const transfer = inlineTransfer({ ...ends, chunkBytes: 256 * KiB, workers: 1, registry, clock: systemClock });
  const stopped: number[] = [];
  onTestFinished(() => stopped.forEach(killHard));
  const errors: string[] = [];
  const listening = (async () => {
    for await (const event of transfer.events) {
      if (event.type === 'retry') errors.push(`${event.error.code}: ${event.error.message}`);
      if (event.type !== 'progress' || event.bytesDone === 0 || stopped.length > 0) continue;
      stopped.push(...sshd.sessions());
      for (const pid of stopped) process.kill(pid, 'SIGSTOP');
    }
  })();
  transfer.setRate(8 * MiB);
  await transfer.run();
  await listening;
  expect(errors[0]).toMatch(/^E_TIMEOUT: sftp:.*has not answered for/);
  expectWhole(ends);
});

/** A background copy to another host gives way there, too. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test, vi } from 'vitest';
import { systemClock } from '../../src/core/clock.js';
import { MiB } from '../../src/core/units.js';
import { parseLocation } from '../../src/endpoint/location.js';
import { partPath } from '../../src/endpoint/part-names.js';
import { PoolRunner } from '../../src/transfer/pool-runner.js';
import { Transfer } from '../../src/transfer/transfer.js';
import { expectSame, makeFile, scratchFolder } from '../support/copying.js';
import { type PeerHost, startPeerHost } from '../support/peer-host.js';

const SIZE = 24 * MiB + 1;
/** Long enough to be looked at. */
const RATE = 16 * MiB;

/** How many descriptors of the file the process has that nothing can be written on: those of early writing. */
function readersOf(pid: number, path: string): number {
  const folder = `/proc/${pid}/fd`;
  const reads = (fd: string): boolean => {
    try {
      const [, flags = ''] = /^flags:\s+(\d+)$/m.exec(readFileSync(`/proc/${pid}/fdinfo/${fd}`, 'latin1')) ?? [];
      return readlinkSync(join(folder, fd)) === path && (Number.parseInt(flags, 8) & 3) === 0;
    } catch {
      // Closed meanwhile.
      return false;
    }
  };
  return readdirSync(folder).filter(reads).length;
}

/** Copies to the host, and answers the most such descriptors that it had of the part meanwhile. */
async function readersDuring(host: PeerHost, name: string, background: boolean): Promise<number> {
  const source = makeFile(join(scratchFolder(), 'source.img'), SIZE) as string;
  const runner = new PoolRunner(1);
  onTestFinished(async () => void (await runner.close()));
  const ends = { source: parseLocation(source), target: parseLocation(host.at(name)), background };
  const how = { algorithm: 'xxh64', overwrite: false, discard: false, sync: true, readBack: false } as const;
  const request = { ...ends, ...how, rateBytesPerSecond: RATE };
  const transfer = new Transfer(request, { runner, clock: systemClock, random: Math.random });
  const target = join(host.root, name);
  let most = 0;
  const watched = (async () => {
    for await (const _ of transfer.events) most = Math.max(most, readersOf(host.pid, partPath(target)));
  })();
  await Promise.all([transfer.run(), watched]);
  expectSame(source, target);
  expect(readersOf(host.pid, target)).toBe(0);
  return most;
}

test.skipIf(process.platform !== 'linux')('what a background copy sends is written out early at the peer', async () => {
  const host = await startPeerHost();
  onTestFinished(() => host.stop());
  vi.stubEnv('BLOCKFERRY_PEER_TOKEN', host.token);
  onTestFinished(() => void vi.unstubAllEnvs());
  expect(await readersDuring(host, 'waited-for', false)).toBe(0);
  expect(await readersDuring(host, 'in-background', true)).toBeGreaterThanOrEqual(1);
});

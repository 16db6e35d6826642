/** The service behind its door: real copies, asked for and followed over the socket. */
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { systemClock } from '../../src/core/clock.js';
import { MiB } from '../../src/core/units.js';
import { ServiceClient } from '../../src/daemon/client.js';
import { startControl } from '../../src/daemon/control/server.js';
import type { JobService } from '../../src/service/job-service.js';
import type { Told } from '../../src/service/told.js';
import { CHUNK, expectDone, pairIn, scratchFolder } from '../support/copying.js';
import { Shelf } from '../support/memory-store.js';
import { testService } from '../support/services.js';

const SIZE = 6 * MiB + 4097;

test('a client follows a job over two starts of the service, without a gap, until its file is whole', async () => {
  const folder = scratchFolder();
  const socketPath = join(folder, 'state', 'control.sock');
  const open = (service: JobService) => startControl({ service, version: '1', socketPath, tokens: folder });
  const shelf = new Shelf();
  const first = await testService(shelf);
  const door = await open(first.service);
  const client = new ServiceClient({ socketPath });
  onTestFinished(() => client.close());

  const pair = pairIn(folder, SIZE);
  const files = [{ source: pair.source, target: pair.target }];
  const options = { chunkBytes: CHUNK, reflink: 'never' } as const;
  const { id } = await client.create({ files, options, autoComplete: true, limitBytesPerSecond: 3 * MiB });
  const { signal } = new AbortController();
  const heard: Told[] = [];
  const copied = (): boolean => heard.some(({ event }) => event.type === 'progress' && event.bytesDone > MiB);
  const listening = (async () => {
    for await (const told of client.events({ after: 0, job: id }, signal)) {
      heard.push(told);
      if (told.event.type === 'state' && told.event.state === 'acknowledged') return;
    }
  })();
  while (!copied()) await systemClock.sleep(10);
  await door.close();
  await first.service.close();
  const second = await testService(shelf);
  const again = await open(second.service);
  onTestFinished(() => again.close());
  expect(await client.change(id, { limitBytesPerSecond: 0 })).toMatchObject({ limitBytesPerSecond: 0 });
  await listening;
  expectDone(pair);
  expect((await client.get(id)).files).toMatchObject([{ state: 'committed', size: SIZE }]);
  const ids = heard.filter(({ event }) => event.type !== 'progress').map((told) => told.id);
  expect(ids).toEqual([...new Set(ids)].sort((a, b) => a - b));
  const all: number[] = [];
  for await (const told of client.events({ after: 0, job: id }, signal)) {
    if (told.event.type !== 'progress') all.push(told.id);
    if (told.id === ids.at(-1)) break;
  }
  expect(all).toEqual(ids);
});

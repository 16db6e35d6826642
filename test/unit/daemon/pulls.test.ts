import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { TransferError } from '../../../src/core/errors.js';
import type { TransferEvent } from '../../../src/core/events.js';
import type { CallRequest } from '../../../src/core/peer-wire.js';
import { type Pulled, Pulls } from '../../../src/daemon/pulls.js';
import { openRoots } from '../../../src/daemon/roots.js';
import type { TransferResult } from '../../../src/transfer/transfer-result.js';
import { FakeClock } from '../../support/fake-clock.js';

const scratch = mkdtempSync(join(tmpdir(), 'pulls-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));
mkdirSync(join(scratch, 'images'));

const request: CallRequest<'pull'> = {
  source: { address: { host: 'h', port: 1, token: 't' }, place: { root: 'r', path: 'p' } },
  place: { root: 'images', path: 'copy' },
  sourceName: 'p',
  options: {
    ...{ algorithm: 'xxh64', rateBytesPerSecond: 0, overwrite: false, discard: false },
    ...{ sync: true, readBack: false, check: true },
  },
};

/** A copy that goes on until it is suspended. */
class Endless implements Pulled {
  suspended = 0;
  #end: (error: Error) => void = () => undefined;
  readonly #result = new Promise<TransferResult>((_resolve, reject) => {
    this.#end = reject;
  });

  readonly events = (async function* () {
    yield { schema: 1, at: 0, type: 'note', message: 'it goes on' } as TransferEvent;
  })();

  run(): Promise<TransferResult> {
    return this.#result;
  }

  suspend(): void {
    this.suspended++;
    this.#end(new TransferError('E_STOPPED', 'stopped'));
  }

  setRate(): void {
    // It has none.
  }
}

async function started() {
  const clock = new FakeClock();
  const works: Endless[] = [];
  const roots = openRoots([`images=${join(scratch, 'images')}`]);
  const engine = async (): Promise<Pulled> => {
    const work = new Endless();
    works.push(work);
    return work;
  };
  const pulls = new Pulls({ roots, clock, engine });
  const id = await pulls.start(request, 'driver');
  return { clock, works, work: works[0] as Endless, pulls, id };
}

test('a pull that nobody asks about for a minute is suspended', async () => {
  const { clock, work, pulls, id } = await started();
  expect((await pulls.news(id, 0, 'driver')).lines).toHaveLength(1);
  await clock.advance(59_000);
  expect(work.suspended).toBe(0);
  await clock.advance(11_000);
  expect(work.suspended).toBe(1);
  await pulls.close();
});

test('what a driver has not confirmed is told again, and the end comes after all of it', async () => {
  const { pulls, id } = await started();
  const first = await pulls.news(id, 0, 'driver');
  expect(await pulls.news(id, 0, 'driver')).toEqual(first);
  pulls.stop(id, 'driver');
  const last = await pulls.news(id, 1, 'driver');
  expect(last).toMatchObject({ ended: true, lines: [expect.stringContaining('E_STOPPED')] });
  await pulls.close();
});

test('a pull is known to its own client alone', async () => {
  const { pulls, id } = await started();
  await expect(pulls.news(id, 0, 'somebody')).rejects.toMatchObject({ code: 'E_STOPPED' });
  expect(() => pulls.stop(id, 'somebody')).toThrow('not known');
  await pulls.close();
});

test('a copy whose driver was killed is taken over by the next one of the same client', async () => {
  const { clock, works, pulls, id } = await started();
  await pulls.news(id, 0, 'driver');
  const next = await clock.runUntil(pulls.start(request, 'driver'));
  expect(next).not.toBe(id);
  expect(works.map(({ suspended }) => suspended)).toEqual([1, 0]);
  await pulls.close();
});

test('a copy whose driver is there is left alone by a second one, and by other clients', async () => {
  const { clock, works, pulls, id } = await started();
  await expect(pulls.start(request, 'somebody')).rejects.toMatchObject({ code: 'E_LOCKED' });
  const second = pulls.start(request, 'driver');
  const refused = expect(second).rejects.toMatchObject({ code: 'E_LOCKED' });
  let heard = 1;
  const asking = (async () => {
    while (heard < 20) await pulls.news(id, heard++, 'driver');
  })();
  await clock.runUntil(Promise.all([refused, asking]));
  expect(works.map(({ suspended }) => suspended)).toEqual([0]);
  await pulls.close();
});

test('a host that ends waits for no driver', async () => {
  const { clock, pulls } = await started();
  await pulls.close();
  expect(clock.sleeping).toBe(0);
});

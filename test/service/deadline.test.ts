/** Jobs that are to be done by some time: their pace, and what is told of those that will be late. */
import { expect, test } from 'vitest';
import { systemClock } from '../../src/core/clock.js';
import { MiB } from '../../src/core/units.js';
import type { JobSpec } from '../../src/service/job-service.js';
import type { Told } from '../../src/service/told.js';
import { CHUNK, expectDone, type Pair, pairIn, scratchFolder } from '../support/copying.js';
import { Shelf } from '../support/memory-store.js';
import { moves, OWNER, reaches, testService } from '../support/services.js';

const SIZE = 12 * MiB;
const inSeconds = (seconds: number): string => new Date(systemClock.wallMs() + seconds * 1000).toISOString();

function specOf({ source, target }: Pair, more: Partial<JobSpec>): JobSpec {
  const options = { chunkBytes: CHUNK, reflink: 'never' } as const;
  return { files: [{ source, target }], options, autoComplete: true, ...more };
}

test('a job with a deadline goes no faster than it has to, and its time is told as that', async () => {
  const { service } = await testService(new Shelf());
  const pair = pairIn(scratchFolder(), SIZE);
  const { id, finishBy } = await service.create(specOf(pair, { finishBy: inSeconds(8) }), OWNER);
  expect(finishBy).toMatch(/^20.*Z$/);
  await moves(service, id, 2 * MiB);
  expect(service.why(id, OWNER).deadline).toEqual({ finishBy: Date.parse(finishBy ?? '') });
  await reaches(service, id, 'acknowledged');
  const { time, createdAt, changedAt } = service.get(id, OWNER);
  expect(changedAt - createdAt).toBeGreaterThan(2500);
  expect(time?.total.deadline).toBeGreaterThan(0.5 * (changedAt - createdAt));
  expectDone(pair);
});

test('a job that cannot be done in time is told so at once, also by the queue, and stays to the limit', async () => {
  const shelf = new Shelf();
  const first = await testService(shelf, { rates: { all: MiB, foreground: 0, high: 0, normal: 0, low: 0 } });
  const pair = pairIn(scratchFolder(), SIZE);
  const { id } = await first.service.create(specOf(pair, { finishBy: inSeconds(5) }), OWNER);
  const stop = new AbortController();
  const told: Told[] = [];
  for await (const one of first.service.events(OWNER, { after: 0, job: id }, stop.signal)) {
    told.push(one);
    if (one.event.type === 'note') stop.abort();
  }
  expect(told.at(-1)?.event).toMatchObject({
    message: expect.stringMatching(/^it cannot be done by .* at the earliest$/),
  });
  expect(service(first).lateByMs).toBeGreaterThan(1000);
  await first.service.close();
  // The deadline is kept with the job; a new one may be set, and none.
  const again = await testService(shelf);
  expect(service(again).finishBy).toMatch(/Z$/);
  expect(await again.service.change(id, { finishBy: '' }, OWNER)).not.toHaveProperty('finishBy');
  await reaches(again.service, id, 'acknowledged');
  expectDone(pair);

  function service({ service: of }: typeof first) {
    return of.get(id, OWNER);
  }
});

test('a deadline that is none, or over, is refused, and the job is as it was', async () => {
  const { service } = await testService(new Shelf());
  const spec = specOf(pairIn(scratchFolder(), MiB), { suspended: true });
  const { id } = await service.create(spec, OWNER);
  for (const finishBy of ['soon', '2020-01-01T00:00Z', '24:30']) {
    await expect(service.create({ ...spec, finishBy }, OWNER)).rejects.toMatchObject({ code: 'E_USAGE' });
    await expect(service.change(id, { finishBy }, OWNER)).rejects.toMatchObject({ code: 'E_USAGE' });
  }
  expect(service.get(id, OWNER)).not.toHaveProperty('finishBy');
  const { finishBy = '' } = await service.change(id, { finishBy: '06:00' }, OWNER);
  expect(Date.parse(finishBy) - systemClock.wallMs()).toBeLessThanOrEqual(25 * 3_600_000);
});

import { afterAll, beforeAll, expect, test } from 'vitest';
import { systemClock } from '../../../src/core/clock.js';
import { ServiceClient } from '../../../src/daemon/client.js';
import { ask, LOOPBACK, startTestControl, type TestControl } from '../../support/control.js';
import { FakeMachines, machine, movingView, PEER } from '../../support/dashboard-migrations.js';
import { FakeMigrations } from '../../support/fake-migrations.js';

let control: TestControl;
let boss: string;
const [machines, migrations] = [new FakeMachines(), new FakeMigrations()];

beforeAll(async () => {
  control = await startTestControl({ machines, migrations, http: LOOPBACK });
  boss = await control.token('boss', 'admin');
  machines.machines = [machine(1, 'web'), machine(2, 'mail', 2, 'off')];
});
afterAll(() => control.stop());

test('the machines of the host are listed by name, with where they can be moved to', async () => {
  const client = new ServiceClient({ socketPath: control.socketPath });
  const { machines: listed, hosts } = await client.machines();
  expect(listed).toEqual([machine(2, 'mail', 2, 'off'), machine(1, 'web')]);
  expect(hosts).toEqual(['local', PEER]);
  expect((await client.service()).movesMachines).toBe(true);
  const { json } = await ask(`${control.url}/v1/openapi.json`, { token: boss });
  expect(json.paths).toMatchObject({ '/v1/machines': { get: { operationId: 'listMachines' } } });
  await client.close();
});

test('only administrators see machines, and hear what happens in migrations', async () => {
  const token = await control.token('robot', 'jobs');
  for (const path of ['/v1/machines', '/v1/events?migrations=1']) {
    const { status, json } = await ask(`${control.url}${path}`, { token });
    expect([path, status, json.error?.message]).toEqual([path, 403, 'robot may not move machines']);
  }
});

test('a service that moves no machines says so, and has no such route', async () => {
  const other = await startTestControl();
  const at = (path: string) => ask({ socketPath: other.socketPath, path });
  expect((await at('/v1/service')).json).toMatchObject({ movesMachines: false });
  expect((await at('/v1/machines')).status).toBe(404);
  await other.stop();
});

/** What an event stream tells, as it comes. */
async function* frames(path: string): AsyncGenerator<Record<string, string>> {
  const answer = await fetch(`${control.url}${path}`, { headers: { authorization: `Bearer ${boss}` } });
  let rest = '';
  for await (const piece of answer.body?.pipeThrough(new TextDecoderStream()) ?? []) {
    const blocks = (rest + piece).split('\n\n');
    rest = blocks.pop() ?? '';
    for (const block of blocks) yield Object.fromEntries(block.split('\n').map((line) => line.split(/: (.*)/)));
  }
}

test('the event stream tells of migrations where it is asked to, without numbers, and of jobs as before', async () => {
  const listening = frames('/v1/events?migrations=1');
  const deaf = frames('/v1/events');
  await Promise.all([listening.next(), deaf.next()]);
  const message = 'to its guest this is a power cut';
  const note = { schema: 1, at: systemClock.wallMs(), type: 'note', message } as const;
  migrations.tell(note, movingView(1, 'start').id);
  const { value: told } = await listening.next();
  expect(Object.keys(told ?? {})).toEqual(['event', 'data']);
  expect(JSON.parse(told?.data ?? '')).toMatchObject({ migration: movingView(1, 'start').id, event: { message } });
  const job = await control.service.create({ files: [{ source: '/a', target: '/b' }] }, { name: 'me', admin: true });
  for (const stream of [listening, deaf]) {
    const { value: next } = await stream.next();
    expect([next?.event, JSON.parse(next?.data ?? '').job]).toEqual(['state', job.id]);
    await stream.return(undefined);
  }
});

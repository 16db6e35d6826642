import { once } from 'node:events';
import { type IncomingMessage, request } from 'node:http';
import { connect, type Socket } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { systemClock } from '../../../src/core/clock.js';
import { ServiceClient } from '../../../src/daemon/client.js';
import type { Told } from '../../../src/service/told.js';
import { ask, LOOPBACK, startTestControl, type TestControl, type TestControlOptions } from '../../support/control.js';
import { FakeClock } from '../../support/fake-clock.js';
import { FakeService } from '../../support/fake-service.js';

const boss = { name: 'boss', admin: true };
const spec = { files: [{ source: '/a', target: '/b' }] };
const ends: (() => Promise<unknown> | void)[] = [];

afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

async function startControl(options: TestControlOptions = {}): Promise<TestControl> {
  const control = await startTestControl(options);
  ends.push(control.stop);
  return control;
}

interface Listening {
  readonly response: IncomingMessage;
  text(): string;
  /** Resolves as soon as the text has it. */
  has(part: string): Promise<void>;
}

async function listenTo(control: TestControl, path: string, headers: Record<string, string> = {}): Promise<Listening> {
  const sent = request({ socketPath: control.socketPath, path, headers, agent: false }).end();
  const [response] = (await once(sent, 'response')) as [IncomingMessage];
  ends.push(() => void sent.destroy());
  let heard = '';
  response.setEncoding('utf8').on('data', (piece) => {
    heard += piece;
  });
  response.on('error', () => undefined);
  const has = async (part: string): Promise<void> => {
    while (!heard.includes(part)) await once(response, 'data');
  };
  return { response, text: () => heard, has };
}

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await systemClock.sleep(5);
}

test('events come as they are told, each with its number, its type and its job', async () => {
  const control = await startControl();
  const { response, text, has } = await listenTo(control, '/v1/events');
  expect(response.headers['content-type']).toBe('text/event-stream; charset=utf-8');
  const { id } = await control.service.create(spec, boss);
  control.service.copied(id, { bytes: 5 });
  await has('event: progress');
  expect(text()).toMatch(/^retry: 1000\nid: 0\n\nid: 1\nevent: state\ndata: \{"id":1,/);
  expect(text()).toMatch(/\n\nid: 1\nevent: progress\ndata: /);
  const [, data = ''] = /event: state\ndata: (.*)\n/.exec(text()) ?? [];
  expect(JSON.parse(data)).toMatchObject({ id: 1, job: id, event: { schema: 1, type: 'state', state: 'queued' } });
});

test('whoever comes back hears what was told after the last event it heard', async () => {
  const control = await startControl();
  const { id } = await control.service.create(spec, boss);
  for (const state of ['connecting', 'transferring', 'transferred'] as const) control.service.move(id, state);
  const asked = await listenTo(control, '/v1/events?after=2');
  await asked.has('"transferred"');
  expect(asked.text().match(/^id: \d+$/gm)).toEqual(['id: 2', 'id: 3', 'id: 4']);
  const back = await listenTo(control, '/v1/events?after=0', { 'last-event-id': '3' });
  await back.has('"transferred"');
  expect(back.text().match(/^id: \d+$/gm)).toEqual(['id: 3', 'id: 4']);
});

test('whoever has heard of events that this service knows nothing of hears what happens from now on', async () => {
  const control = await startControl();
  const { id } = await control.service.create(spec, boss);
  const asked = await listenTo(control, '/v1/events?after=999999999');
  await asked.has('id: 1');
  control.service.move(id, 'connecting');
  await asked.has('"connecting"');
  expect(asked.text().match(/^id: \d+$/gm)).toEqual(['id: 1', 'id: 2']);
});

test('the events of one job are told alone, and owners hear of their own', async () => {
  const control = await startControl({ http: LOOPBACK });
  const anna = new ServiceClient({ url: control.url, token: await control.token('anna', 'jobs') });
  ends.push(() => anna.close());
  const other = await control.service.create(spec, boss);
  const own = await anna.create(spec);
  const stop = new AbortController();
  const heard: Told[] = [];
  const listening = (async () => {
    for await (const told of anna.events({ after: 0 }, stop.signal)) heard.push(told);
  })();
  const one = await listenTo(control, `/v1/events?job=${other.id}&after=0`);
  control.service.move(own.id, 'connecting');
  control.service.move(other.id, 'connecting');
  await one.has('"connecting"');
  await until(() => heard.length === 2);
  stop.abort();
  await listening;
  expect(heard.map(({ job }) => job)).toEqual([own.id, own.id]);
  expect(one.text()).not.toContain(own.id);
});

test('a stream says now and then that it is still there, and ends when its token is removed', async () => {
  const control = await startControl({ http: LOOPBACK, limits: { beatMs: 20 } });
  const token = await control.token('anna', 'jobs');
  const sent = request(`${control.url}/v1/events`, {
    headers: { authorization: `Bearer ${token}` },
    agent: false,
  }).end();
  const [response] = (await once(sent, 'response')) as [IncomingMessage];
  let heard = '';
  response.setEncoding('utf8').on('data', (piece) => {
    heard += piece;
  });
  await until(() => heard.includes(': still here\n\n'));
  await control.forget('anna');
  await once(response, 'end');
  expect(control.service.told.listeners).toBe(0);
});

test('a caller has so many streams and no more, and is told so', async () => {
  const control = await startControl({ http: LOOPBACK, limits: { perCallerMax: 2, streamsMax: 3 } });
  const [anna, bert] = [await control.token('anna', 'jobs'), await control.token('bert', 'jobs')];
  const open = async (token: string): Promise<number> => {
    const headers = { authorization: `Bearer ${token}` };
    const sent = request(`${control.url}/v1/events`, { headers, agent: false }).end();
    ends.push(() => void sent.destroy());
    const [{ statusCode }] = (await once(sent, 'response')) as [IncomingMessage];
    return statusCode ?? 0;
  };
  expect([await open(anna), await open(anna), await open(anna), await open(bert), await open(bert)]).toEqual([
    ...[200, 200, 503, 200, 503],
  ]);
  const refused = await ask(`${control.url}/v1/events`, { token: anna });
  expect(refused.json.error).toMatchObject({ code: 'E_UNAVAILABLE', message: expect.stringContaining('anna has 2') });
  expect(refused.headers['retry-after']).toBe('15');
  expect((await ask(`${control.url}/v1/jobs`, { token: anna })).status).toBe(200);
});

test('a client that never reads is dropped and told so, and others hear everything meanwhile', async () => {
  const clock = new FakeClock();
  const limits = { bufferedBytesMax: 64 * 1024, stallMs: 1000 };
  const control = await startControl({ limits, clock });
  const silent = connect(control.socketPath);
  ends.push(() => void silent.destroy());
  silent.pause();
  silent.write('GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n');
  const other = await listenTo(control, '/v1/events');
  await until(() => control.service.told.listeners === 2);
  const { id } = await control.service.create(spec, boss);
  const message = 'x'.repeat(1000);
  const notes = 2000;
  for (let number = 0; number < notes; number++) {
    control.service.tell(id, { type: 'note', message: `${number} ${message}` });
    if (number % 50 === 0) await systemClock.sleep(0);
  }
  await other.has(`"${notes - 1} x`);
  // The beat sleeps, and the stream that waits for its reader.
  await until(() => clock.sleeping === 2);
  clock.advance(limits.stallMs);
  await until(() => control.service.told.listeners === 1);
  const { text } = await ask({ socketPath: control.socketPath, path: '/metrics' });
  expect(text).toContain('blockferry_event_streams_dropped_total 1');
  let late = '';
  silent.on('data', (piece) => {
    late += piece.toString('latin1');
  });
  silent.resume();
  await once(silent, 'close');
  expect(late).toContain('event: dropped\ndata: {"error":{"code":"E_UNAVAILABLE"');
  expect(other.text().match(/^id: \d+$/gm)).toHaveLength(notes + 2);
});

test('a reader who is far behind gets all that is kept, at its own speed', async () => {
  const control = await startControl({ limits: { bufferedBytesMax: 16 * 1024, stallMs: 60_000 } });
  const { id } = await control.service.create(spec, boss);
  for (let number = 0; number < 3000; number++) control.service.tell(id, { type: 'note', message: 'y'.repeat(900) });
  const client = new ServiceClient({ socketPath: control.socketPath });
  ends.push(() => client.close());
  const ids: number[] = [];
  for await (const told of client.events({ after: 0 }, new AbortController().signal)) {
    ids.push(told.id);
    if (told.id === 3001) break;
  }
  expect(ids).toEqual(Array.from({ length: 3001 }, (_, at) => at + 1));
});

test('a thousand clients hear the same event, and a call is answered meanwhile', async () => {
  const control = await startControl({ http: LOOPBACK });
  const port = Number(new URL(control.url).port);
  const token = await control.token('boss', 'admin');
  const clients = 1000;
  const heard = new Set<Socket>();
  const open = async (): Promise<void> => {
    const socket = connect(port, '127.0.0.1');
    ends.push(() => void socket.destroy());
    let text = '';
    socket.setEncoding('latin1').on('data', (piece) => {
      text += piece;
      if (text.includes('"transferred"')) heard.add(socket);
    });
    socket.write(`GET /v1/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${token}\r\n\r\n`);
    while (!text.includes('retry: 1000')) await once(socket, 'data');
  };
  for (let at = 0; at < clients; at += 50) await Promise.all(Array.from({ length: 50 }, open));
  const { id } = await control.service.create(spec, boss);
  for (let step = 0; step < 5; step++) control.service.copied(id, { bytes: 1 });
  control.service.move(id, 'transferred');
  expect((await ask(`${control.url}/v1/jobs/${id}`, { token })).status).toBe(200);
  await until(() => heard.size === clients);
  expect((await ask(`${control.url}/metrics`, { token })).text).toContain('blockferry_event_streams 1000');
});

test('a client that listens goes on without a gap when the service starts again', async () => {
  const control = await startControl();
  const client = new ServiceClient({ socketPath: control.socketPath });
  ends.push(() => client.close());
  const { id } = await control.service.create(spec, boss);
  const stop = new AbortController();
  const heard: number[] = [];
  const lost: (string | undefined)[] = [];
  const listening = (async () => {
    const onLost = (why?: { error: { code: string } }): number => lost.push(why?.error.code);
    for await (const told of client.events({ onLost }, stop.signal)) heard.push(told.id);
  })();
  await until(() => control.service.told.listeners === 1);
  for (let round = 0; round < 3; round++) {
    const restarted = control.restart();
    control.service.move(id, 'connecting');
    await restarted;
    control.service.move(id, 'queued');
    await until(() => control.service.told.listeners === 1);
  }
  control.service.move(id, 'transferred');
  await until(() => heard.at(-1) === 8);
  stop.abort();
  await listening;
  expect(heard).toEqual([2, 3, 4, 5, 6, 7, 8]);
  expect(lost.filter((code) => code === undefined)).toHaveLength(3);
});

test('listening ends for good where the service refuses, or is not there at first', async () => {
  const control = await startControl();
  const client = new ServiceClient({ socketPath: control.socketPath });
  const none = async (events: AsyncIterable<Told>): Promise<void> => {
    for await (const told of events) throw new Error(`heard ${told.id}`);
  };
  const { signal } = new AbortController();
  await expect(none(client.events({ job: 'none' }, signal))).rejects.toMatchObject({ code: 'E_NO_JOB' });
  await none(client.events({}, AbortSignal.abort()));
  await client.close();
  const away = new ServiceClient({ socketPath: `${control.folder}/none.sock` });
  await expect(none(away.events({}, signal))).rejects.toMatchObject({ code: 'E_NO_SERVICE' });
  await expect(away.list()).rejects.toMatchObject({
    code: 'E_NO_SERVICE',
    hint: expect.stringContaining('blockferry serve'),
  });
  await away.close();
});

test('when the service goes, streams end, and nothing is left', async () => {
  const service = new FakeService();
  const control = await startControl({ service });
  const { response } = await listenTo(control, '/v1/events');
  await until(() => service.told.listeners === 1);
  const ended = once(response, 'close');
  await service.close();
  await ended;
  expect(service.told.listeners).toBe(0);
});

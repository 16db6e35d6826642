import { createHmac } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http';
import { type AddressInfo, createServer as createTcpServer, type Socket } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { systemClock } from '../../../../src/core/clock.js';
import type { JobState } from '../../../../src/core/events.js';
import type { Job } from '../../../../src/service/job.js';
import { Notifier } from '../../../../src/service/notify/notifier.js';
import { WEBHOOK_MS_MAX } from '../../../../src/service/notify/webhook.js';
import type { Told } from '../../../../src/service/told.js';
import { AskedClock, until } from '../../../support/asked-clock.js';
import { jobWith, toldOf } from '../../../support/stored-jobs.js';

interface Posted {
  readonly url: string | undefined;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

/** A receiver that answers the nth post by the nth of these, and all further ones by the last. */
async function receiver(...answers: readonly ((response: ServerResponse) => void)[]) {
  const posts: Posted[] = [];
  const server = createServer(async (request, response) => {
    let body = '';
    for await (const part of request.setEncoding('utf8')) body += part;
    const answer = answers[Math.min(posts.length, answers.length - 1)];
    posts.push({ url: request.url, headers: request.headers, body });
    answer?.(response);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, posts };
}

const ok = (response: ServerResponse) => void response.writeHead(204).end();
const status =
  (code: number, headers: Record<string, string> = {}) =>
  (response: ServerResponse) => {
    response.writeHead(code, headers).end('and more');
  };
const silent = () => undefined;

function notifier(clock: AskedClock | typeof systemClock = systemClock) {
  const notes: string[] = [];
  const tells = new Notifier({ clock, random: () => 0.5, note: (job, sentence) => notes.push(`${job}: ${sentence}`) });
  return { tells, notes };
}

const transferred = (changes: Partial<Job> = {}): Job => jobWith({ state: 'transferred', ...changes });

test('posts the event as it is told everywhere, signed with the time', async () => {
  const { url, posts } = await receiver(ok);
  const { tells, notes } = notifier();
  const job = transferred({ webhook: { url: `${url}/hook?token=t`, secret: 'sesame' } });
  tells.tell(job, toldOf(7, job));
  await until(() => posts.length === 1);
  await tells.close();
  const [post] = posts as [Posted];
  expect(post.url).toBe('/hook?token=t');
  expect(post.headers['content-type']).toBe('application/json');
  expect(JSON.parse(post.body)).toEqual(toldOf(7, job));
  const [, seconds = '', mac] = /^t=(\d+),v1=([0-9a-f]{64})$/.exec(String(post.headers['blockferry-signature'])) ?? [];
  expect(mac).toBe(createHmac('sha256', 'sesame').update(`${seconds}.${post.body}`).digest('hex'));
  expect(Math.abs(Number(seconds) - systemClock.wallMs() / 1000)).toBeLessThan(120);
  expect(notes).toEqual([]);
});

test('without a secret nothing is signed, and a user in the URL is sent as one', async () => {
  const { url, posts } = await receiver(ok);
  const { tells } = notifier();
  const job = transferred({ webhook: { url: url.replace('//', '//ada:p%40ss@') } });
  tells.tell(job, toldOf(1, job));
  await until(() => posts.length === 1);
  await tells.close();
  expect(posts[0]?.headers['blockferry-signature']).toBeUndefined();
  expect(posts[0]?.headers.authorization).toBe(`Basic ${Buffer.from('ada:p@ss').toString('base64')}`);
});

test('tells of the states that people wait for, and of whole jobs alone', async () => {
  const { url, posts } = await receiver(ok);
  const { tells } = notifier();
  const states: readonly JobState[] = [
    ...(['queued', 'connecting', 'transferring', 'suspended', 'error', 'transient-error'] as const),
    ...(['transferred', 'acknowledged', 'cancelled'] as const),
  ];
  for (const [n, state] of states.entries()) {
    const job = jobWith({ state, webhook: { url } });
    tells.tell(job, toldOf(n, job));
    tells.tell(job, { ...toldOf(n, job), file: 0 });
    const note: Told = { id: n, job: job.id, event: { schema: 1, at: 1, type: 'note', message: 'hello' } };
    tells.tell(job, note);
  }
  await until(() => posts.length >= 4);
  await tells.close();
  const told = posts.map(({ body }) => JSON.parse(body).event.state);
  expect(told.sort()).toEqual(['acknowledged', 'cancelled', 'error', 'transferred']);
});

test('a receiver that is away for a moment is asked again, later each time, with a fresh signature', async () => {
  const { url, posts } = await receiver(status(503), status(429, { 'retry-after': '3600' }), ok);
  const clock = new AskedClock();
  const { tells, notes } = notifier(clock);
  const job = transferred({ webhook: { url, secret: 's' } });
  tells.tell(job, toldOf(1, job));
  await clock.passAllBut([WEBHOOK_MS_MAX], () => posts.length === 3);
  const times = posts.map(({ headers }) => Number(/t=(\d+)/.exec(String(headers['blockferry-signature']))?.[1]));
  const waits = times.slice(1).map((time, n) => time - (times[n] ?? 0));
  expect(waits[0]).toBeGreaterThanOrEqual(1);
  expect(waits[1]).toBeGreaterThanOrEqual(120);
  await tells.close();
  expect(notes).toEqual([]);
});

test.each([
  ['a status that stays', status(404), 1, 'answered with status 404'],
  ['a redirect', status(302, { location: 'http://127.0.0.1:1/' }), 1, 'answered with status 302, a redirect, which is'],
  ['a server that fails each time', status(500), 8, 'answered with status 500'],
  ['a connection that breaks', (response: ServerResponse) => void response.destroy(), 8, 'could not be reached'],
])('%s is told the owner of the job in the end', async (_name, answer, attempts, reason) => {
  const { url, posts } = await receiver(answer);
  const clock = new AskedClock();
  const { tells, notes } = notifier(clock);
  const job = transferred({ webhook: { url: `${url.replace('//', '//ada:pass@')}/hook?token=secret` } });
  tells.tell(job, toldOf(1, job));
  await clock.passAllBut([WEBHOOK_MS_MAX], () => notes.length > 0);
  expect(posts).toHaveLength(attempts);
  expect(notes[0]).toContain(`${job.id}: Nobody was told of the state "transferred": http://127.0.0.1`);
  expect(notes[0]).toContain(reason);
  expect(notes[0]).not.toMatch(/secret|pass/);
  await tells.close();
});

test('a hook that hangs holds up nobody else, and is given up in the end', async () => {
  const sockets: Socket[] = [];
  const hanging = createTcpServer((socket) => sockets.push(socket.on('error', silent))).listen(0, '127.0.0.1');
  await once(hanging, 'listening');
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    hanging.close();
  });
  const { url, posts } = await receiver(ok);
  const clock = new AskedClock();
  const { tells, notes } = notifier(clock);
  const hung = `http://127.0.0.1:${(hanging.address() as AddressInfo).port}/`;
  const stuck = Array.from({ length: 20 }, () => transferred({ webhook: { url: hung } }));
  const quick = Array.from({ length: 20 }, () => transferred({ webhook: { url } }));
  for (const [n, job] of [...stuck, ...quick].entries()) tells.tell(job, toldOf(n, job));
  // No time passes meanwhile.
  await until(() => posts.length === quick.length);
  // Nothing but the end of those that hang is waited for.
  await until(() => sockets.length === 4 && clock.sleeping === 4);
  await clock.passAllBut([], () => notes.length > 0);
  expect(notes[0]).toContain('did not answer within 10 seconds');
  await clock.runUntil(tells.close());
  expect(notes).toHaveLength(stuck.length);
});

test('a job whose hook hangs remembers the newest states', async () => {
  const { url, posts } = await receiver(silent);
  const clock = new AskedClock();
  const { tells, notes } = notifier(clock);
  const job = transferred({ webhook: { url } });
  for (let n = 1; n <= 30; n++) tells.tell(job, toldOf(n, job));
  await until(() => posts.length === 1);
  expect(notes).toHaveLength(14);
  expect(notes[0]).toContain('too many others wait before it');
  await clock.runUntil(tells.close());
  expect(notes).toHaveLength(30);
  expect(notes.at(-1)).toContain('the service ends');
});

test.each(['', 'example.org/x', 'ftp://example.org/x', 'file:///etc/passwd'])('%j is no webhook', async (url) => {
  const { tells, notes } = notifier(new AskedClock());
  const job = transferred({ webhook: { url } });
  tells.tell(job, toldOf(1, job));
  await until(() => notes.length > 0);
  expect(notes[0]).toContain('a webhook is no http or https URL');
  await tells.close();
});

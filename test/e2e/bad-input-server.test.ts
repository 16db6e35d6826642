import { existsSync, readFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { MiB } from '../../src/core/units.js';
import { type CopyRun, copy, type TransferEvent, verify } from '../../src/index.js';
import {
  bytesOf,
  CHUNK,
  expectClear,
  failureOf,
  leftIn,
  makeFile,
  scratchFolder,
  targetIn,
} from '../support/copying.js';
import { goodHead, type RawRequest, type RawServer, serveRaw } from '../support/raw-server.js';

const disk = bytesOf(2 * MiB, 'served');
const good = (socket: Socket, request: RawRequest): void => {
  const { first, last } = request.range;
  socket.write(Buffer.concat([Buffer.from(goodHead(request, disk.length)), disk.subarray(first, last + 1)]));
};
const status = (line: string) => (socket: Socket) => {
  socket.write(`HTTP/1.1 ${line}\r\nContent-Length: 0\r\n\r\n`);
};

async function serve(answer: (socket: Socket, request: RawRequest) => unknown, port?: number): Promise<RawServer> {
  const server = await serveRaw(answer, port);
  onTestFinished(() => server.stop());
  return server;
}

/** A port where nobody listens. */
async function closedPort(): Promise<number> {
  const server = await serveRaw(() => undefined);
  await server.stop();
  return Number(new URL(server.url).port);
}

type Retry = TransferEvent & { readonly type: 'retry' };

async function retriesOf(run: Pick<CopyRun, typeof Symbol.asyncIterator>, onRetry = (): unknown => undefined) {
  const retries: Retry[] = [];
  for await (const event of run) {
    if (event.type !== 'retry') continue;
    retries.push(event);
    await onRetry();
  }
  return retries.map(({ chunk, attempt, waitMs, error }) => ({ chunk, attempt, waitMs, code: error.code }));
}

test('a server that is busy at the very first request is asked again when it said, and then copied from', async () => {
  const busy = status('503 Busy\r\nRetry-After: 1');
  const server = await serve((socket, request) => (request.count < 2 ? busy(socket) : good(socket, request)));
  const { target, folder } = targetIn(scratchFolder());
  const run = copy({ source: `${server.url}/disk.img`, target, chunkBytes: CHUNK, workers: 1 });
  expect(await retriesOf(run)).toEqual([
    { chunk: undefined, attempt: 1, waitMs: 1000, code: 'E_UNAVAILABLE' },
    { chunk: undefined, attempt: 2, waitMs: 1000, code: 'E_UNAVAILABLE' },
  ]);
  expect(await run.result).toMatchObject({ bytesCopied: disk.length });
  expect(readFileSync(target).equals(disk)).toBe(true);
  expect(leftIn(folder)).toEqual([]);
});

test('a server that comes up a moment later is copied from', async () => {
  const port = await closedPort();
  const { target } = targetIn(scratchFolder());
  const run = copy({ source: `http://127.0.0.1:${port}/disk.img`, target, chunkBytes: CHUNK, workers: 1 });
  let server: RawServer | undefined;
  const retries = await retriesOf(run, async () => {
    if (!server) server = await serve(good, port);
  });
  expect(retries[0]).toMatchObject({ chunk: undefined, attempt: 1, code: 'E_NETWORK' });
  expect(await run.result).toMatchObject({ bytesCopied: disk.length });
  expect(readFileSync(target).equals(disk)).toBe(true);
});

test('an address where nobody ever answers is given up after a few tries, and nothing is made', async () => {
  const port = await closedPort();
  const { target, folder } = targetIn(scratchFolder());
  const run = copy({ source: `http://127.0.0.1:${port}/disk.img`, target });
  expect((await retriesOf(run)).map(({ attempt }) => attempt)).toEqual([1, 2, 3]);
  expectClear(await failureOf(run.result), { code: 'E_NETWORK', exitCode: 3, names: `${port}` });
  expect(existsSync(target)).toBe(false);
  expect(leftIn(folder)).toEqual([]);
});

test.for([
  ['404 Not Found', 'E_SOURCE_MISSING'],
  ['403 Forbidden', 'E_AUTH'],
] as const)('a server that answers %s at once is not asked again', async ([line, code]) => {
  const refusing = await serve(status(line));
  const run = copy({ source: `${refusing.url}/disk.img`, target: targetIn(scratchFolder()).target });
  expect(await retriesOf(run)).toEqual([]);
  expect(await failureOf(run.result)).toMatchObject({ code });
  expect(refusing.asked).toHaveLength(1);
});

test.for([
  ['ETag: "a"', 0],
  ['X-Nothing: 1', 1],
] as const)('whether a change of the file on a server could be seen is told (%s)', async ([header, notes]) => {
  const server = await serve((socket, request) => {
    const head = goodHead(request, disk.length).replace(/^etag: .*$/im, header);
    socket.write(Buffer.concat([Buffer.from(head), disk.subarray(request.range.first, request.range.last + 1)]));
  });
  const run = copy({ source: `${server.url}/disk.img`, target: targetIn(scratchFolder()).target });
  const told: string[] = [];
  for await (const event of run) if (event.type === 'note') told.push(event.message);
  await run.result;
  expect(told.filter((message) => message.includes('nothing tells when'))).toHaveLength(notes);
});

test('a server that claims a file of absurd size is told so, and nothing is made', async () => {
  const server = await serve((socket, request) => {
    const head = goodHead(request, disk.length).replace(`/${disk.length}`, '/99999999999999999999');
    socket.write(Buffer.concat([Buffer.from(head), disk.subarray(request.range.first, request.range.last + 1)]));
  });
  const { target, folder } = targetIn(scratchFolder());
  const error = await failureOf(copy({ source: `${server.url}/disk.img`, target }).result);
  expectClear(error, { code: 'E_TOO_LARGE', exitCode: 3, names: target });
  expect(leftIn(folder)).toEqual([]);
});

test('a stop ends the wait for a busy server', async () => {
  const busy = await serve(status('503 Busy\r\nRetry-After: 100'));
  const run = copy({ source: `${busy.url}/disk.img`, target: targetIn(scratchFolder()).target });
  expect(await retriesOf(run, () => run.suspend())).toHaveLength(1);
  expect(await failureOf(run.result)).toMatchObject({ code: 'E_STOPPED', exitCode: 130 });
});

test('a comparison asks a busy server again, too', async () => {
  const busy = status('502 Bad Gateway');
  const server = await serve((socket, request) => (request.count < 1 ? busy(socket) : good(socket, request)));
  const target = makeFile(targetIn(scratchFolder()).target, disk.length, 'served') as string;
  const run = verify({ target, source: `${server.url}/disk.img` });
  expect(await retriesOf(run)).toMatchObject([{ attempt: 1, code: 'E_UNAVAILABLE' }]);
  expect(await run.result).toMatchObject({ same: true });
});
